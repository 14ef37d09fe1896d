// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "service/service.h"

namespace segue::service {

struct TextOptions {
  bool with_defaults = false;                                // also what is at its default
  std::vector<std::string> heading;                          // lines of a comment above all
  std::map<std::string, std::vector<std::string>> comments;  // … and above a component, by name
};

// The service as a file that read_service() reads as the same; one form for one meaning. Of what
// only a keeper's own command line can say (control::AttemptOptions::health_cmd, …) nothing.
std::string service_text(const Service& service, const TextOptions& options = {});

}  // namespace segue::service
