// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "fleet/strategy_layout.h"

namespace segue::fleet {
namespace {

constexpr const char* kKey = "segue_strategy";
constexpr std::uint64_t kFormat = 1;

}  // namespace

base::Result<Strategy> read_strategy(std::string_view bytes) {
  SEGUE_ASSIGN(Strategy strategy,
               read_document<Strategy>(kKey, kFormat, bytes, kMaxStrategyBytes, "the strategy"));
  if (auto checked = check(strategy); !checked) {
    return base::fail(base::ErrorCode::data_loss, "the strategy: {}", checked.error().message());
  }
  return strategy;
}

std::string write_strategy(const Strategy& strategy) {
  return write_document(kKey, kFormat, strategy);
}

}  // namespace segue::fleet
