// SPDX-License-Identifier: Apache-2.0
// Times and windows as people, or whoever writes a plan, may write them.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plan/time_expression.h"
#include "plan/window.h"

namespace {

namespace plan = segue::plan;

void require(bool holds) {
  if (!holds) std::abort();
}

class Utc final : public plan::Zones {
 public:
  segue::base::Result<plan::ZonePeriod> period_at(const std::string& /*zone*/,
                                                  plan::Instant /*instant*/) const override {
    return plan::ZonePeriod{plan::Instant::min(), plan::Instant::max(), plan::seconds(0), "UTC"};
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const Utc utc;
  const plan::Instant now = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1);
  if (const auto time = plan::parse_time_expression(bytes)) {
    if (const auto resolved = plan::resolve(*time, utc, "UTC", now)) {
      require(time->kind == plan::TimeExpression::Kind::instant || time->date ||
              resolved->instant >= now);
    }
  } else {
    require(!time.error().message().empty());
  }
  if (const auto window = plan::parse_window(bytes)) {
    const auto again = plan::parse_window(plan::to_string(*window));
    require(again.has_value() && *again == *window);
    const auto span = plan::next_span(*window, utc, "UTC", now);
    require(span.has_value() && span->from < span->to && span->to > now);
  }
  return 0;
}
