// SPDX-License-Identifier: Apache-2.0
// All rules of a component's specification that can be told without a host. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"

namespace segue::fleet {

// `field` is where, as in the component's document: "health.interval_ms", "volumes[0].target".
struct ComponentProblem {
  std::string field;
  std::string text;

  bool operator==(const ComponentProblem&) const = default;
};

inline constexpr std::size_t kMaxWords = 1'000;           // of a command; of the environment
inline constexpr std::size_t kMaxLaunchBytes = 96 << 10;  // of both: a keeper's request holds them
inline constexpr std::size_t kMaxPlaces = 100;            // secrets, volumes, ports
inline constexpr std::size_t kMaxSelected = 1'000;        // names, sites, labels

// In the order of the fields; nothing: it is fine.
std::vector<ComponentProblem> problems_of(const ComponentSpec& spec);
// invalid_argument: the first of them, "FIELD: TEXT".
base::Result<void> check_component(const ComponentSpec& spec);

}  // namespace segue::fleet
