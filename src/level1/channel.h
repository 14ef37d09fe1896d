// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "base/error.h"
#include "level1/message.h"
#include "os/unique_fd.h"

namespace segue::level1 {

// One end of the socket to the program (SOCK_SEQPACKET, one message each). What the socket does not
// take waits, in order, up to a bound.
class Channel {
 public:
  static constexpr std::size_t kMaxQueued = std::size_t{1} << 16;

  explicit Channel(os::UniqueFd socket) : socket_(std::move(socket)) {}

  [[nodiscard]] int fd() const { return socket_.get(); }
  [[nodiscard]] bool wants_to_write() const { return !queue_.empty(); }

  // `fd` is borrowed; -1: none. unavailable: the program has closed its end.
  base::Result<void> send(Message message, int fd = -1);
  base::Result<void> flush();

  struct Received {
    Message message;
    os::UniqueFd fd;
  };
  // nullopt: nothing is there. unavailable: the program has closed its end. data_loss: it has sent
  // something that is no message, or another number of descriptors than it says.
  base::Result<std::optional<Received>> receive();
  // The same, waiting for up to `timeout_ms`, and sending what waits meanwhile.
  base::Result<std::optional<Received>> receive_within(int timeout_ms);

 private:
  struct Queued {
    std::string bytes;
    os::UniqueFd fd;
  };

  os::UniqueFd socket_;
  std::deque<Queued> queue_;
};

}  // namespace segue::level1
