// SPDX-License-Identifier: Apache-2.0
#include "load/model.h"

namespace segue::load {

WriteModel::Verdict WriteModel::check(std::uint32_t key,
                                      std::optional<std::uint32_t> stored) const {
  const std::uint32_t held = stored.value_or(0);
  if (held < keys_[key].acknowledged) return Verdict::lost;
  return held > keys_[key].sent ? Verdict::wrong : Verdict::good;
}

}  // namespace segue::load
