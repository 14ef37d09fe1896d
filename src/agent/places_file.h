// SPDX-License-Identifier: Apache-2.0
// The places of this host, as its administrator writes them:
//   {"segue_places": 1, "places": [{"component": …, "place": DIR, "site": …, "library": …,
//     "root": FILE, "stage_options": [OPTION, …],
//     "stop": …, "start": …, "upgrade": …, "health_command": …, "health_tcp": …, "health_http": …,
//     "health_within_s": N, "health_good_in_row": N, "step_limit_s": N, "undo": true}, …]}
// All but component, place and library may be missing.
#pragma once

#include <string_view>
#include <vector>

#include "base/error.h"
#include "control/agent_options.h"

namespace segue::agent {

inline constexpr std::size_t kMaxPlaces = 64;
inline constexpr std::size_t kMaxPlacesBytes = std::size_t{256} << 10;

base::Result<std::vector<control::PlaceOptions>> read_places(std::string_view bytes);

// What one place says, and that no component has two.
base::Result<void> check_place(const control::PlaceOptions& place);
base::Result<void> check_places(const std::vector<control::PlaceOptions>& places);

}  // namespace segue::agent
