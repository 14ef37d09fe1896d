// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <cstdint>

#include "session.h"

namespace respkv {

class EventLoop;

// A session and its socket. All but the session belongs to the thread of its event loop.
struct Connection : Session {
  EventLoop* home = nullptr;
  segue_conn* handle = nullptr;  // nullptr: closed, to be deleted after this turn of the loop
  int fd = -1;                   // libsegue's
  std::uint32_t epoll_events = 0;
  bool recorded_buffers = false;  // the newest record has input or output, or may have
  bool in_inbox = false;          // of its loop; like the inbox guarded by Server's lock

  std::string outgoing;  // fetched from the session's output; sent up to outgoing_sent
  std::size_t outgoing_sent = 0;
  // How the session was when its output was fetched; meanwhile another loop may have gone on with
  // it.
  bool more_output = false;          // it has some that could not be fetched yet
  bool is_over_when_sent = false;    // what was fetched is its last
  std::size_t unexecuted_bytes = 0;  // of its input
  bool cut_off = false;              // it left too much unread

  // Bytes received and sent since the connection was accepted, by whatever process. They change
  // with each command and would make each client's record change with it, so they do not travel: of
  // a connection that was handed over they are read from the kernel before this process uses it.
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  bool totals_exact = true;

  [[nodiscard]] std::size_t outgoing_left() const { return outgoing.size() - outgoing_sent; }
};

}  // namespace respkv
