// SPDX-License-Identifier: Apache-2.0
// Where a service of a compose.yaml touches its host.
#pragma once

#include <vector>

#include "config/sections.h"
#include "service/compose_service.h"

namespace segue::service {

std::vector<fleet::PublishedPort> read_compose_ports(const config::Place& place,
                                                     config::Findings& findings);
// Into the component, with a comment for each volume that has to be filled.
void read_compose_volumes(const config::Place& place, const ComposeTop& top,
                          const ComposeOptions& options, ComposeService& service,
                          config::Findings& findings);
std::vector<fleet::Secret> read_compose_secrets(const config::Place& place, const ComposeTop& top,
                                                config::Findings& findings);

}  // namespace segue::service
