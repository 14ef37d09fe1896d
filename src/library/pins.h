// SPDX-License-Identifier: Apache-2.0
// Releases that must stay: a plan names them, a host runs them, or an undo goes back to them.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/error.h"
#include "library/disk.h"

namespace segue::library {

inline constexpr std::string_view kPinsFolder = "pins";

// By the pin's name, the targets "COMPONENT/VERSION" that it holds. data_loss names a pin that
// cannot be read: nothing may be removed then.
base::Result<std::map<std::string, std::set<std::string>>> read_pins(const std::string& library);

// Those of all pins.
base::Result<std::set<std::string>> pinned_targets(const std::string& library);

// Replaces the pin; without targets it is removed. A name is as a component's. Needs the library's
// lock, and that the releases are there.
base::Result<void> write_pin(const Disk& disk, const std::string& name,
                             const std::set<std::string>& targets);

}  // namespace segue::library
