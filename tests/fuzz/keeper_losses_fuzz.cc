// SPDX-License-Identifier: Apache-2.0
// Whatever an instance says of losses, it stays within bounds, and more than can be read counts as
// a loss.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "handoff/fields.h"
#include "keeper/losses.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (!segue::handoff::is_record(input)) return 0;  // as read_frame() checks
  const auto report = segue::keeper::losses_of(input);
  SEGUE_ASSERT(report.known);
  SEGUE_ASSERT(report.losses.size() <= 64);
  SEGUE_ASSERT(!report.more || segue::keeper::loses(report));
  const auto lines = segue::keeper::loss_lines(report, "v2");
  SEGUE_ASSERT(lines.size() == report.losses.size() + (report.more ? 1 : 0));
  for (const auto& line : lines) SEGUE_ASSERT(!line.empty() && line.size() < 2'048);
  SEGUE_ASSERT(segue::keeper::loss_text(report, "v2").empty() != segue::keeper::loses(report));
  SEGUE_ASSERT(!segue::keeper::losses_json(report, "v2").empty());
  return 0;
}
