// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "base/error.h"
#include "os/epoll_loop.h"
#include "os/unix_socket.h"

namespace segue::keeper {

// Carries the messages of a link, with their descriptors, between a predecessor and a successor
// that do not share a socket. Holds at most one message per direction: a side that reads slowly
// slows the other one down. When one side ends, so does the other.
class Relay {
 public:
  struct Ends {
    os::UniqueFd predecessor;
    os::UniqueFd successor;
    std::unique_ptr<Relay> relay;
  };
  // `loop` outlives it.
  static base::Result<Ends> create(os::EpollLoop& loop);
  ~Relay();
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;

  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

 private:
  struct Side {
    os::UniqueFd fd;
    std::optional<os::Received> held;  // read here, not yet taken by the other side
  };

  Relay(os::EpollLoop& loop, os::UniqueFd a, os::UniqueFd b);
  base::Result<void> watch();
  void on_ready();
  // False: the relay has to end.
  bool forward(Side& from, const Side& to);
  void end();

  os::EpollLoop& loop_;
  std::array<Side, 2> sides_;
  std::array<std::uint32_t, 2> interest_{};
  bool ended_ = false;
  std::uint64_t bytes_ = 0;
};

}  // namespace segue::keeper
