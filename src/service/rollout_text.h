// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "fleet/strategy.h"
#include "service/yaml_text.h"

namespace segue::service {

// `rollout`, as read_rollout() reads it.
void write_rollout(YamlText& yaml, const fleet::Strategy& strategy);

}  // namespace segue::service
