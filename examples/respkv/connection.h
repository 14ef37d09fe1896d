// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <cstdint>

#include "session.h"

namespace respkv {

// A session and its socket.
struct Connection : Session {
  segue_conn* handle = nullptr;  // nullptr: closed, to be deleted after this turn of the loop
  int fd = -1;                   // libsegue's
  std::uint32_t epoll_events = 0;
  bool recorded_buffers = false;  // the newest record has input or output

  // Bytes received and sent since the connection was accepted, by whatever process. They change
  // with each command and would make each client's record change with it, so they do not travel: of
  // a connection that was handed over they are read from the kernel before this process uses it.
  std::uint64_t received = 0;
  std::uint64_t sent = 0;
  bool totals_exact = true;
};

}  // namespace respkv
