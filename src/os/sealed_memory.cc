// SPDX-License-Identifier: Apache-2.0
#include "os/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace segue::os {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int kSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;

}  // namespace

Result<UniqueFd> make_sealed_memory(const std::string& name, std::string_view bytes) {
  UniqueFd fd(::memfd_create(name.c_str(), MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd) return fail(errno_error("create a memfd", errno));
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail(errno_error("write a memfd", errno));
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  if (::fcntl(fd.get(), F_ADD_SEALS, kSeals) != 0) return fail(errno_error("seal a memfd", errno));
  return fd;
}

Result<std::string> read_sealed_memory(int fd, std::size_t max_bytes) {
  const int seals = ::fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & kSeals) != kSeals) {
    return fail(ErrorCode::failed_precondition, "descriptor {} is not a sealed memfd", fd);
  }
  struct stat status{};
  if (::fstat(fd, &status) != 0) return fail(errno_error("look at a memfd", errno));
  const auto size = static_cast<std::size_t>(status.st_size);
  if (size > max_bytes) {
    return fail(ErrorCode::resource_exhausted, "a memfd of {} bytes; at most {} are read", size,
                max_bytes);
  }
  std::string bytes(size, '\0');
  std::size_t at = 0;
  while (at < size) {
    const ssize_t got = ::pread(fd, bytes.data() + at, size - at, static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return fail(errno_error("read a memfd", errno));
    at += static_cast<std::size_t>(got);
  }
  return bytes;
}

}  // namespace segue::os
