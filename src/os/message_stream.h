// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"

namespace segue::os {

// Messages over a stream socket between two processes of one program: four bytes with the length,
// the most significant first, then the message. What waits to be sent is bounded.
class MessageStream {
 public:
  static constexpr std::size_t kMaxMessageBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMaxWaitingBytes = std::size_t{64} << 20;

  struct Handler {
    std::function<void(std::string_view message)> received;
    // Once, and nothing more is called: the other end has closed (unavailable), or sent what is no
    // message (data_loss).
    std::function<void(const base::Error& why)> ended;
  };
  // A connected socket that does not block. The loop outlives it. Callbacks may not destroy it.
  static base::Result<std::unique_ptr<MessageStream>> open(EpollLoop& loop, UniqueFd socket,
                                                           Handler handler);
  ~MessageStream();
  MessageStream(const MessageStream&) = delete;
  MessageStream& operator=(const MessageStream&) = delete;

  // In their order. invalid_argument: too long, or empty. resource_exhausted: too much waits.
  // unavailable: it has ended. Then nothing of it is sent.
  base::Result<void> send(std::string_view message);
  [[nodiscard]] bool has_sent_all() const { return out_.empty(); }

 private:
  MessageStream(EpollLoop& loop, UniqueFd socket, Handler handler)
      : loop_(loop), socket_(std::move(socket)), handler_(std::move(handler)) {}

  void ready(std::uint32_t events);
  base::Result<void> read();
  base::Result<void> take();
  base::Result<void> write();
  void end(const base::Error& why);

  EpollLoop& loop_;
  UniqueFd socket_;  // none: it has ended
  Handler handler_;
  std::string in_;
  std::string out_;
  bool waits_to_write_ = false;
};

}  // namespace segue::os
