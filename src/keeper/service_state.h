// SPDX-License-Identifier: Apache-2.0
// What a service manager gets to know of a component (sd_notify(3)). Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/time.h"
#include "keeper/decider.h"

namespace segue::keeper {

struct ServiceState {
  bool ready = false;      // an instance serves, or has served: a crash is the keeper's to repair
  bool reloading = false;  // an upgrade or an undo is under way
  bool stopping = false;
  std::string status;  // one line for `systemctl status`

  bool operator==(const ServiceState&) const = default;
};

// `before` is the last one of the same component.
ServiceState service_state_of(const Decider& component, const ServiceState& before);

// What to tell a manager that knows `before`; empty: nothing.
std::string notification(const ServiceState& before, const ServiceState& now,
                         base::MonotonicTime at);

// What the environment says of the manager, meant for one process alone.
struct ManagerVariables {
  std::string notify_socket;               // empty: there is none
  std::optional<base::Duration> watchdog;  // the manager ends who is silent for so long
  std::vector<std::string> fd_names;       // of the descriptors from 3 on

  bool operator==(const ManagerVariables&) const = default;
};
// Takes them out of `environment` (NAME=value), whoever they are meant for: instances must neither
// speak to the manager nor take its descriptors for theirs. Those meant for another process than
// `pid` are not returned.
ManagerVariables take_manager_variables(std::vector<std::string>& environment, std::int32_t pid);

// What the manager keeps for the next keeper.
enum class Kept {
  listener,
  stored,  // what a program has stored with the keeper
};
// Its name as FDNAME, where ':' is not allowed; and back: nullopt, it is none of this kind.
std::string kept_name_of(Kept kind, const std::string& name);
std::optional<std::string> name_of_kept(Kept kind, const std::string& kept_name);

}  // namespace segue::keeper
