// SPDX-License-Identifier: Apache-2.0
// What may be said of a component, by section.
#pragma once

#include "config/sections.h"
#include "service/service.h"

namespace segue::service {

config::Keys component_keys(ServiceComponent& component, config::Findings& findings);
config::Keys release_keys(fleet::ReleaseSource& release, config::Findings& findings);
config::Keys limit_keys(fleet::Limits& limits, config::Findings& findings);
config::Keys health_keys(fleet::HealthCheck& health, config::Findings& findings);
config::Keys sharing_keys(fleet::Sharing& sharing, config::Findings& findings);
config::Keys host_keys(fleet::HostSelector& hosts, config::Findings& findings);
config::Keys volume_keys(fleet::Volume& volume, config::Findings& findings);

// "[ADDRESS:]HOST_PORT:PORT".
base::Result<fleet::PublishedPort> parse_port(const std::string& text);
// "SOURCE:TARGET[:ro]".
base::Result<fleet::Volume> parse_volume(const std::string& text);

// The key for a field as fleet::problems_of() names it: "limits.memory" for "limits.memory_bytes".
std::string key_of_field(const std::string& field);

}  // namespace segue::service
