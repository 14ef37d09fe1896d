// SPDX-License-Identifier: Apache-2.0
// A service as a file says it. Values only.
#pragma once

#include <string>
#include <vector>

#include "fleet/component.h"
#include "fleet/strategy.h"

namespace segue::service {

struct ServiceComponent {
  fleet::ComponentSpec spec;
  fleet::Strategy strategy;

  bool operator==(const ServiceComponent&) const = default;
};

struct Service {
  std::string name;
  std::vector<ServiceComponent> components;  // in the file's order, which is that of deployment

  bool operator==(const Service&) const = default;
};

}  // namespace segue::service
