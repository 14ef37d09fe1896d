// SPDX-License-Identifier: Apache-2.0
// The file of a host's places. What is accepted can be acted on.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "agent/places_file.h"
#include "health/http_answer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  if (const auto places = segue::agent::read_places(bytes)) {
    if (!segue::agent::check_places(*places)) std::abort();
  }
  const auto answer = segue::health::parse_http_answer(bytes);
  if (answer.status != 0 && (!answer.is_whole || answer.status > 999)) std::abort();
  if (const auto target = segue::health::parse_http_target(bytes)) {
    if (target->path.empty() || target->address.empty()) std::abort();
  }
  return 0;
}
