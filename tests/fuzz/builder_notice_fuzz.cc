// SPDX-License-Identifier: Apache-2.0
// Whatever lies in the spool: what is taken for a notice says the same when it is written again.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "builder/notice.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const auto notice = segue::builder::parse_notice(input);
  if (!notice) return 0;
  SEGUE_ASSERT(segue::builder::check(*notice).has_value());
  SEGUE_ASSERT(*segue::builder::parse_notice(segue::builder::encode(*notice)) == *notice);
  return 0;
}
