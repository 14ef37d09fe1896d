// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/fd_store.h"

#include <linux/kcmp.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

namespace segue::keeper {
namespace {

// Whether two descriptors are of one open file (kcmp(2)); false where the kernel cannot tell.
bool is_same_file(const os::UniqueFd& one, const os::UniqueFd& other) {
  return ::syscall(SYS_kcmp, ::getpid(), ::getpid(), KCMP_FILE, one.get(), other.get()) == 0;
}

}  // namespace

FdStore::~FdStore() {
  for (const auto& entry : entries_) {
    if (entry.is_watched) loop_.unwatch(entry.fd.get());
  }
}

FdStore::Added FdStore::add(const std::string& name, os::UniqueFd fd, bool poll) {
  const auto same = [&](const Entry& entry) { return is_same_file(entry.fd, fd); };
  if (std::any_of(entries_.begin(), entries_.end(), same)) return Added::known_already;
  if (entries_.size() >= max_) return Added::full;
  const FileIdentity identity = identity_of(fd.get());
  entries_.push_back({name, std::move(fd), identity});
  const Place entry = std::prev(entries_.end());
  // Files and memory never hang up, and epoll(7) refuses them.
  entry->is_watched =
      poll &&
      loop_.watch(entry->fd.get(), 0, [this, entry](std::uint32_t) { drop(entry); }).has_value();
  return Added::kept;
}

std::size_t FdStore::remove(const std::string& name) {
  std::size_t removed = 0;
  for (auto entry = entries_.begin(); entry != entries_.end();) {
    const Place here = entry++;
    if (here->name != name) continue;
    drop(here);
    ++removed;
  }
  return removed;
}

std::set<ino_t> FdStore::socket_inodes() const {
  std::set<ino_t> inodes;
  for (const auto& entry : entries_) {
    struct stat status{};
    if (::fstat(entry.fd.get(), &status) == 0 && S_ISSOCK(status.st_mode)) {
      inodes.insert(status.st_ino);
    }
  }
  return inodes;
}

void FdStore::drop(Place entry) {
  if (entry->is_watched) loop_.unwatch(entry->fd.get());
  entries_.erase(entry);
}

}  // namespace segue::keeper
