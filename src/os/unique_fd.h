// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "base/error.h"

namespace segue::os {

// Owns a file descriptor, and closes it at the end.
class UniqueFd {
 public:
  UniqueFd() = default;
  explicit UniqueFd(int fd) : fd_(fd) {}
  UniqueFd(UniqueFd&& other) noexcept : fd_(other.release()) {}
  UniqueFd& operator=(UniqueFd&& other) noexcept {
    reset(other.release());
    return *this;
  }
  UniqueFd(const UniqueFd&) = delete;
  UniqueFd& operator=(const UniqueFd&) = delete;
  ~UniqueFd() { reset(); }

  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] explicit operator bool() const { return fd_ >= 0; }
  [[nodiscard]] int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

// Another descriptor of the same open file, closed on exec.
inline base::Result<UniqueFd> duplicate(int fd) {
  UniqueFd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail(base::errno_error("duplicate a descriptor", errno));
  return copy;
}

// Whether exec closes `fd`. All that os/ opens is closed; a process that replaces itself keeps
// some.
inline base::Result<void> set_close_on_exec(int fd, bool close_on_exec) {
  if (::fcntl(fd, F_SETFD, close_on_exec ? FD_CLOEXEC : 0) == 0) return {};
  return fail(base::errno_error("change close-on-exec", errno));
}

}  // namespace segue::os
