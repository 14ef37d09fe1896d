// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::os {

// Where a service manager listens for what a service says of itself (sd_notify(3)).
class NotifySocket {
 public:
  // `address` is what NOTIFY_SOCKET holds: an absolute path, or '@' and a name in the abstract
  // namespace; anything else is invalid_argument.
  static base::Result<NotifySocket> open(const std::string& address);

  // One datagram, with copies of `fds` (borrowed). Does not wait: unavailable when the manager has
  // gone or its queue is full, and then nothing was said.
  base::Result<void> send(std::string_view text, std::span<const int> fds = {}) const;

 private:
  NotifySocket(UniqueFd fd, std::string address)
      : fd_(std::move(fd)), address_(std::move(address)) {}

  UniqueFd fd_;
  std::string address_;
};

}  // namespace segue::os
