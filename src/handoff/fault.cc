// SPDX-License-Identifier: Apache-2.0
#include "handoff/fault.h"

#include <csignal>
#include <cstdlib>
#include <string>
#include <vector>

namespace segue::handoff {
namespace {

struct Fault {
  std::string where;  // ROLE:POINT
  std::string action;
  bool struck = false;
};

std::vector<Fault> parse() {
  std::vector<Fault> faults;
  const char* variable = getenv("SEGUE_UNSAFE_FAULT");
  std::string_view rest = variable == nullptr ? std::string_view{} : std::string_view(variable);
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find(','));
    rest.remove_prefix(entry.size() + (entry.size() < rest.size() ? 1 : 0));
    const size_t colon = entry.rfind(':');
    if (colon == std::string_view::npos) continue;
    faults.push_back({std::string(entry.substr(0, colon)), std::string(entry.substr(colon + 1))});
  }
  return faults;
}

}  // namespace

bool fault(std::string_view role, std::string_view point) {
  static std::vector<Fault> faults = parse();
  if (faults.empty()) return false;
  const std::string where = std::string(role) + ":" + std::string(point);
  for (Fault& entry : faults) {
    if (entry.struck || entry.where != where) continue;
    entry.struck = true;
    if (entry.action == "kill") raise(SIGKILL);
    if (entry.action == "stop") raise(SIGSTOP);
    return entry.action == "error";
  }
  return false;
}

}  // namespace segue::handoff
