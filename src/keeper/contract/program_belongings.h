// SPDX-License-Identifier: Apache-2.0
// What a keeper holds for a program, on its way to the next keeper.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "keeper/contract/fd_store.h"
#include "keeper/saved_state.h"
#include "keeper/service_manager.h"
#include "os/unique_fd.h"

namespace segue::keeper {

struct ProgramBelongings {
  os::UniqueFd notify;  // none: it is bound anew
  std::vector<KeptFd> sockets;
  std::vector<FdStore::Entry> stored;
  std::string binary_name;
  std::map<Generation, pid_t> announced;
  bool is_inherited = false;             // from this process's last program
  bool is_adoption = false;              // of a program that outlived its keeper
  std::vector<std::string> lost_stored;  // names of those that went with that keeper
};

// Of this process as another program: takes the descriptors that `saved` names.
ProgramBelongings inherited_belongings(const SavedPrograms& saved);
// Of a keeper that has died: what the service manager has kept (those of its stored descriptors
// that the dead keeper did not know of are closed), and else what `processes` still hold.
ProgramBelongings found_belongings(const SavedPrograms& saved, KeptFds kept,
                                   std::span<const pid_t> processes);
// Of a program that starts anew: what the service manager has kept.
ProgramBelongings kept_belongings(KeptFds kept);

}  // namespace segue::keeper
