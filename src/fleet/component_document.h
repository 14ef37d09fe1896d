// SPDX-License-Identifier: Apache-2.0
// A revision of a component as JSON, one line:
//   {"segue_component": 1, "requires": [FEATURE, …], "service": …, "name": …, "driver": …, …}
// with the members of ComponentSpec under their own names; `contract`, `run` and `attempt` as lists
// of KEY=VALUE as on the command line. What is at its default is left out. A reader passes over
// members that it does not know; a writer that means one to be obeyed names a feature in
// `requires`, and a reader that does not know the feature refuses the whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "fleet/component.h"
#include "tuf/json.h"

namespace segue::fleet {

inline constexpr std::uint64_t kComponentFormat = 1;
inline constexpr std::size_t kMaxComponentBytes = std::size_t{256} << 10;

// One line, without its end. Bytes that are not UTF-8 become U+FFFD: check_component() first.
std::string write_component(const ComponentSpec& spec);

// data_loss: it is damaged, said where. invalid_argument: what check_component() refuses.
// failed_precondition: of a newer format, or it requires what this reader does not know.
base::Result<ComponentSpec> read_component(std::string_view bytes);
// Of a component that people may have written themselves: the first member that read_component()
// passes over, "limits.memroy".
std::optional<std::string> unknown_member_of(const tuf::Json& component);

}  // namespace segue::fleet
