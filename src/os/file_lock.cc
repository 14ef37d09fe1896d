// SPDX-License-Identifier: Apache-2.0
#include "os/file_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>

namespace segue::os {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxHolderBytes = 200;
constexpr std::chrono::milliseconds kBetweenTries{50};

std::string read_holder(int fd) {
  std::array<char, kMaxHolderBytes> text{};
  const ssize_t got = ::pread(fd, text.data(), text.size(), 0);
  std::string holder(text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  std::erase_if(holder, [](char c) { return c < ' '; });
  return holder.empty() ? "another process" : holder;
}

// For people only: that it cannot be written takes nothing from the lock.
void write_holder(int fd, const std::string& holder) {
  const std::string text = holder.substr(0, kMaxHolderBytes);
  if (::ftruncate(fd, 0) == 0) (void)!::pwrite(fd, text.data(), text.size(), 0);
}

}  // namespace

Result<FileLock> FileLock::acquire(const std::string& path, const std::string& holder,
                                   base::Duration max_wait) {
  UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644));
  if (!fd) return fail(errno_error(fmt::format("open {}", path), errno));
  const auto deadline = std::chrono::steady_clock::now() + max_wait;
  while (::flock(fd.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return fail(errno_error(fmt::format("lock {}", path), errno));
    }
    if (std::chrono::steady_clock::now() >= deadline) {
      return fail(ErrorCode::deadline_exceeded,
                  "{} is locked by {} after {} s of waiting: let it finish, or wait longer", path,
                  read_holder(fd.get()),
                  std::chrono::duration_cast<std::chrono::seconds>(max_wait).count());
    }
    ::poll(nullptr, 0, static_cast<int>(kBetweenTries.count()));
  }
  write_holder(fd.get(), holder);
  return FileLock(std::move(fd));
}

}  // namespace segue::os
