// SPDX-License-Identifier: Apache-2.0
// Whatever segue.yaml a commit brings: refused with a reason, or commands, a folder below the
// working copy and a rule that makes a version. The same bytes as the facts of a checkout.

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.h"
#include "builder/build_file.h"
#include "builder/git.h"
#include "builder/version_rule.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > segue::builder::kMaxBuildFileBytes) return 0;
  const std::string text(reinterpret_cast<const char*>(data), size);
  (void)segue::builder::parse_seen(text);
  (void)segue::builder::parse_checkout(text);
  const auto file = segue::builder::parse_build_file("segue.yaml", text);
  if (!file) {
    SEGUE_ASSERT(!file.error().message().empty());
    return 0;
  }
  SEGUE_ASSERT(!file->build.empty() && !file->test.empty());
  SEGUE_ASSERT(!file->output.empty() && file->output.front() != '/');
  SEGUE_ASSERT(segue::builder::check_version_rule(file->version).has_value());
  return 0;
}
