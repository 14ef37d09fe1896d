// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "config/sections.h"
#include "fleet/gate.h"

namespace segue::service {

// What `gates` says, by name, each layer over the one before.
void read_gates(const config::Layers& layers, std::vector<fleet::Gate>& gates,
                config::Findings& findings);

// The tables of keys, for whoever lists them.
config::Keys gate_keys(fleet::GateKind kind, fleet::Gate& gate, config::Findings& findings);
config::Keys gate_arm_keys(fleet::GateKind kind, fleet::GateArm& arm, config::Findings& findings);

}  // namespace segue::service
