// SPDX-License-Identifier: Apache-2.0
// Weights by which HAProxy gives a canary its share. Pure.
#pragma once

#include <cstdint>
#include <vector>

#include "traffic/share.h"

namespace segue::traffic {

inline constexpr std::uint32_t kMaxProxyWeight = 256;

struct WeightedServer {
  std::uint32_t configured = 0;  // what it weighs beside others of its kind; a canary at least 1
  bool is_canary = false;
  bool counts = true;  // false: gets nothing now, whatever it weighs
};

struct ChosenWeights {
  std::vector<std::uint32_t> weights;  // in the order of the servers; absolute, up to 256
  double share = 0;                    // what the canary gets of them
};

// Canaries together weigh as near to the share as 0 … 256 allow, and within each kind servers weigh
// among each other as they are configured (the share counts for more where both cannot be had). A
// share between 0% and 100% never becomes 0 or all; 0% and 100% are exactly that, with stable ones
// as configured at 0%. One that is configured with 0 and is no canary stays at 0.
ChosenWeights choose_weights(const std::vector<WeightedServer>& servers, std::uint32_t share_ppm);

}  // namespace segue::traffic
