// SPDX-License-Identifier: Apache-2.0
#include "keeper/types.h"

#include <fmt/format.h>

#include <array>

#include "base/assert.h"
#include "control/text.h"
#include "segue/segue.h"

namespace segue::keeper {
namespace {

template <std::size_t count, class Enum>
std::string_view name_at(const std::array<std::string_view, count>& names, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  SEGUE_ASSERT(index < count);
  return names[index];
}

}  // namespace

std::string_view to_string(Phase phase) {
  static constexpr std::array<std::string_view, kPhaseCount> kNames = {
      "idle",     "starting",  "backoff",    "serving",    "preparing", "attempting", "aborting",
      "retrying", "probation", "committing", "recovering", "stopping",  "stopped"};
  return name_at(kNames, phase);
}

std::string_view to_string(Role role) {
  static constexpr std::array<std::string_view, kRoleCount> kNames = {
      "starting", "standby", "successor", "serving", "frozen", "ending"};
  return name_at(kNames, role);
}

std::string_view to_string(Kind kind) {
  static constexpr std::array<std::string_view, kKindCount> kNames = {"upgrade", "rehearse",
                                                                      "undo"};
  return name_at(kNames, kind);
}

std::string_view to_string(Outcome outcome) {
  static constexpr std::array<std::string_view, kOutcomeCount> kNames = {
      "running", "done", "failed", "undone", "refused"};
  return name_at(kNames, outcome);
}

std::string_view attempt_phase_name(std::uint32_t segue_phase) {
  static constexpr std::array<std::string_view, SEGUE_PHASE_ENDED + 1> kNames = {
      "idle",       "meeting",   "background", "rehearsal",
      "foreground", "probation", "committed",  "ended"};
  return segue_phase < kNames.size() ? kNames[segue_phase] : "unknown";
}

std::string Instance::label() const {
  if (!version.empty()) return version;
  const std::string& program = launch.argv.front();
  return fmt::format("{} (generation {})", program.substr(program.rfind('/') + 1), generation);
}

}  // namespace segue::keeper
