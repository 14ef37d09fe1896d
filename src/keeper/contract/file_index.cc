// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/file_index.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>

#include "os/process.h"

namespace segue::keeper {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFiles = std::size_t{1} << 20;

// `link` is /proc/PID/fd/N: its own permissions say how the file was opened.
FileIdentity identity_at(const std::string& link) {
  constexpr std::string_view kAnonymous = "anon_inode:";
  char target[64];
  const ssize_t size = ::readlink(link.c_str(), target, sizeof target);
  if (size <= 0) return {};
  if (std::string_view(target, static_cast<std::size_t>(size)).starts_with(kAnonymous)) return {};
  struct stat file{};
  struct stat opened{};
  if (::stat(link.c_str(), &file) != 0 || ::lstat(link.c_str(), &opened) != 0) return {};
  const std::uint32_t access =
      ((opened.st_mode & S_IRUSR) != 0 ? 1U : 0U) | ((opened.st_mode & S_IWUSR) != 0 ? 2U : 0U);
  return {file.st_dev, file.st_ino, access};
}

}  // namespace

FileIdentity identity_of(int fd) {
  return identity_at(fmt::format("/proc/self/fd/{}", fd));
}

FileIndex::FileIndex(std::span<const pid_t> processes) {
  for (const pid_t pid : processes) {
    std::error_code error;
    fs::directory_iterator entries(fmt::format("/proc/{}/fd", pid), error);
    for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
      if (places_.size() >= kMaxFiles) return;
      const std::string name = entries->path().filename().string();
      int fd = -1;
      const auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), fd);
      if (wrong != std::errc() || end != name.data() + name.size()) continue;
      const FileIdentity identity = identity_at(entries->path().string());
      if (identity.is_known()) places_.try_emplace(identity, pid, fd);
    }
  }
}

os::UniqueFd FileIndex::fetch(const FileIdentity& wanted) const {
  const auto place = places_.find(wanted);
  if (!wanted.is_known() || place == places_.end()) return {};
  const auto [pid, number] = place->second;
  const auto process = os::open_process(pid);
  if (!process) return {};
  os::UniqueFd fd(static_cast<int>(::syscall(SYS_pidfd_getfd, process->get(), number, 0)));
  // The holder may have closed it meanwhile, and opened another.
  if (fd && identity_of(fd.get()) != wanted) fd.reset();
  return fd;
}

}  // namespace segue::keeper
