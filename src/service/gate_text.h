// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "fleet/gate.h"
#include "service/yaml_text.h"

namespace segue::service {

void write_gates(YamlText& yaml, const std::vector<fleet::Gate>& gates);

}  // namespace segue::service
