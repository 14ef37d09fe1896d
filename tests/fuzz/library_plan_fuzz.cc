// SPDX-License-Identifier: Apache-2.0
// What the custom data of a plan's target may say that somebody with the key of plans has signed.
// What is accepted is written again with the same meaning.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "library/plan_target.h"
#include "tuf/json.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace library = segue::library;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto custom = segue::tuf::parse_json(text);
  if (!custom) return 0;
  segue::tuf::TargetFile target;
  target.length = 1;
  target.hashes["sha256"] = library::ObjectRef().sha256.hex();
  target.custom = *custom;
  const auto plan = library::parse_plan_target("plans/id.json", target);
  if (!plan) return 0;
  if (library::parse_plan_target("plans/id.json", library::to_target(*plan)) != plan) abort();
  return 0;
}
