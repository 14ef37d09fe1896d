// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/program_belongings.h"

#include <algorithm>
#include <utility>

namespace segue::keeper {
namespace {

// Out of what the service manager has kept: the same file, or where that cannot be told, the name.
os::UniqueFd take_kept(std::vector<KeptFd>& kept, const SavedHeld& wanted) {
  const auto found = std::find_if(kept.begin(), kept.end(), [&](const KeptFd& one) {
    if (one.name != wanted.name) return false;
    return !wanted.identity.is_known() || identity_of(one.fd.get()) == wanted.identity;
  });
  if (found == kept.end()) return {};
  os::UniqueFd fd = std::move(found->fd);
  kept.erase(found);
  return fd;
}

FdStore::Entry entry_of(const SavedHeld& saved, os::UniqueFd fd) {
  return {saved.name, std::move(fd), saved.identity, saved.is_watched};
}

}  // namespace

ProgramBelongings inherited_belongings(const SavedPrograms& saved) {
  ProgramBelongings belongings;
  belongings.notify = os::UniqueFd(saved.notify_fd);
  belongings.is_inherited = true;
  for (const auto& socket : saved.sockets) {
    belongings.sockets.push_back({socket.name, os::UniqueFd(socket.fd)});
  }
  for (const auto& stored : saved.stored) {
    belongings.stored.push_back(entry_of(stored, os::UniqueFd(stored.fd)));
  }
  belongings.binary_name = saved.binary_name;
  for (const auto& main : saved.announced) belongings.announced[main.generation] = main.pid;
  return belongings;
}

ProgramBelongings found_belongings(const SavedPrograms& saved, KeptFds kept,
                                   std::span<const pid_t> processes) {
  ProgramBelongings belongings;
  const FileIndex index(processes);
  const auto find = [&](std::vector<KeptFd>& pool, const SavedHeld& wanted) {
    os::UniqueFd fd = take_kept(pool, wanted);
    return fd ? std::move(fd) : index.fetch(wanted.identity);
  };
  for (const auto& socket : saved.sockets) {
    if (os::UniqueFd fd = find(kept.listeners, socket)) {
      belongings.sockets.push_back({socket.name, std::move(fd)});
    }
  }
  for (const auto& stored : saved.stored) {
    if (os::UniqueFd fd = find(kept.stored, stored)) {
      belongings.stored.push_back(entry_of(stored, std::move(fd)));
    } else {
      belongings.lost_stored.push_back(stored.name);
    }
  }
  belongings.binary_name = saved.binary_name;
  for (const auto& main : saved.announced) belongings.announced[main.generation] = main.pid;
  belongings.is_adoption = true;
  return belongings;
}

ProgramBelongings kept_belongings(KeptFds kept) {
  ProgramBelongings belongings;
  for (auto& socket : kept.listeners) {
    if (socket.fd) belongings.sockets.push_back(std::move(socket));
  }
  for (auto& stored : kept.stored) {
    const FileIdentity identity = identity_of(stored.fd.get());
    belongings.stored.push_back({stored.name, std::move(stored.fd), identity, true});
  }
  return belongings;
}

}  // namespace segue::keeper
