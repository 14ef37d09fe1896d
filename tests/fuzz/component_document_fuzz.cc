// SPDX-License-Identifier: Apache-2.0
// A component's specification as a damaged disk or a stranger may give it. What is accepted is
// written and read as the same, and nothing is wrong with it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "fleet/component_check.h"
#include "fleet/component_document.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace segue::fleet;  // NOLINT(google-build-using-namespace)
  const auto spec = read_component({reinterpret_cast<const char*>(data), size});
  if (!spec) return 0;
  const auto again = read_component(write_component(*spec));
  if (!problems_of(*spec).empty() || !again || !(*again == *spec)) std::abort();
  return 0;
}
