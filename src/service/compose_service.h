// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "config/sections.h"
#include "service/compose_file.h"

namespace segue::service {

// What the top of the file says to its services.
struct ComposeTop {
  std::map<std::string, std::string> secret_files;  // by name, absolute
  std::set<std::string> volumes;                    // names
};

struct ComposeService {
  ServiceComponent component;
  std::vector<std::string> comments;
  std::vector<std::string> after;  // names
  int line = 1;
};

ComposeService read_compose_service(const std::string& name, const config::Place& place,
                                    const ComposeTop& top, const ComposeOptions& options,
                                    config::Findings& findings);

}  // namespace segue::service
