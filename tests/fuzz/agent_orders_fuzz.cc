// SPDX-License-Identifier: Apache-2.0
// What the unprivileged half of a fleet's agent may tell the other. What is accepted is written as
// it was read, and names an instance that is safe in a path.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/executor_protocol.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto order = segue::agent::read_order(bytes)) {
    const std::string written = segue::agent::write_order(*order);
    const auto again = segue::agent::read_order(written);
    if (!again || segue::agent::write_order(*again) != written) std::abort();
    if (const auto* watch = std::get_if<segue::agent::Watch>(&*order)) {
      const std::string& name = watch->key.component;
      if (name.empty() || name.find('/') != std::string::npos || name == "..") std::abort();
    }
  }
  if (const auto answer = segue::agent::read_answer(bytes)) {
    if (segue::agent::write_answer(*answer).empty()) std::abort();
  }
  return 0;
}
