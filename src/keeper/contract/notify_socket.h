// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::keeper {

// The socket behind $NOTIFY_SOCKET (sd_notify(3)): datagrams, with the sender's credentials as the
// kernel knows them. Removed from the file system when it is destroyed.
class NotifySocket {
 public:
  static base::Result<NotifySocket> open(const std::string& path);
  // One that an earlier program of this process has opened, with what waits in it.
  static NotifySocket resume(const std::string& path, os::UniqueFd fd) {
    return {path, std::move(fd)};
  }
  NotifySocket(NotifySocket&& other) noexcept = default;
  NotifySocket& operator=(NotifySocket&& other) noexcept = default;
  ~NotifySocket();

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] const std::string& path() const { return path_; }

  struct Message {
    std::string bytes;
    pid_t sender = 0;
    uid_t user = 0;
    std::vector<os::UniqueFd> fds;
    bool is_whole = true;  // false: longer than a message may be, or descriptors were lost
  };
  // nullopt: none waits.
  base::Result<std::optional<Message>> receive();

 private:
  NotifySocket(std::string path, os::UniqueFd fd) : path_(std::move(path)), fd_(std::move(fd)) {}

  std::string path_;
  os::UniqueFd fd_;
};

}  // namespace segue::keeper
