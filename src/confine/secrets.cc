// SPDX-License-Identifier: Apache-2.0
#include "confine/secrets.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>

#include "os/files.h"
#include "os/private_file.h"
#include "os/unique_fd.h"

namespace segue::confine {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr unsigned long kFlags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

Result<void> write_secret(const std::string& path, const std::string& contents) {
  const os::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0400));
  if (!file) return fail(errno_error("make " + path, errno));
  std::string_view rest = contents;
  while (!rest.empty()) {
    const ssize_t size = ::write(file.get(), rest.data(), rest.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) return fail(errno_error("write " + path, errno));
    rest.remove_prefix(static_cast<std::size_t>(size));
  }
  return {};
}

}  // namespace

Result<void> check_secrets(const std::vector<control::ContainerSecret>& secrets) {
  std::size_t left = kMaxSecretBytes;
  for (const auto& secret : secrets) {
    SEGUE_TRY(os::check_private_file(secret.file));
    SEGUE_ASSIGN(const std::string contents, os::read_file(secret.file, left));
    left -= contents.size();
  }
  if (secrets.empty() || ::geteuid() == 0) return {};
  return fail(ErrorCode::failed_precondition,
              "secrets: only root can give a process files that nobody else sees");
}

Result<void> show_secrets(const std::vector<control::ContainerSecret>& secrets,
                          const std::string& folder) {
  if (secrets.empty()) return {};
  SEGUE_TRY(check_secrets(secrets));
  SEGUE_TRY(os::ensure_private_directory(folder));
  if (::unshare(CLONE_NEWNS) != 0) return fail(errno_error("make a mount namespace", errno));
  // What is mounted on the host later is seen here, too, and nothing of here on the host.
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_SLAVE, nullptr) != 0) {
    return fail(errno_error("part from the host's mounts", errno));
  }
  const std::string data = fmt::format("mode=0700,size={}", 2 * kMaxSecretBytes);
  if (::mount("secrets", folder.c_str(), "tmpfs", kFlags, data.c_str()) != 0) {
    return fail(errno_error("mount " + folder, errno));
  }
  for (const auto& secret : secrets) {
    SEGUE_ASSIGN(const std::string contents, os::read_file(secret.file, kMaxSecretBytes));
    SEGUE_TRY(write_secret(folder + "/" + secret.name, contents));
  }
  if (::mount(nullptr, folder.c_str(), nullptr, kFlags | MS_REMOUNT | MS_RDONLY, nullptr) != 0) {
    return fail(errno_error("protect " + folder, errno));
  }
  return {};
}

}  // namespace segue::confine
