// SPDX-License-Identifier: Apache-2.0
// Whatever answers instead of Prometheus: it is refused, or within its bounds, and a value that a
// rule gets is a number.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "prometheus/query.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace prometheus = segue::prometheus;
  const std::string_view body(reinterpret_cast<const char*>(data), size);
  const auto answer = prometheus::parse_answer(body);
  if (!answer) return 0;
  SEGUE_ASSERT(answer->samples.size() <= prometheus::kMaxSamples);
  if (const auto value = prometheus::single_value(*answer); value && *value) {
    SEGUE_ASSERT(std::isfinite(**value));
  }
  if (const auto clusters = prometheus::rate_clusters(*answer, *answer)) {
    for (const auto& cluster : *clusters) {
      SEGUE_ASSERT(cluster.requests > 0 && cluster.failures <= cluster.requests);
    }
  }
  return 0;
}
