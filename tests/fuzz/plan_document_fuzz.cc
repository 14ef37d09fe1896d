// SPDX-License-Identifier: Apache-2.0
// Plans and the state of a place as a damaged disk or a stranger may leave them. What is accepted
// is written and read as the same, and a decider can go on with it.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "plan/decider.h"
#include "plan/plan_document.h"

namespace {

namespace plan = segue::plan;

void require(bool holds) {
  if (!holds) std::abort();
}

// One zone, whose clocks change once.
class OneZone final : public plan::Zones {
 public:
  segue::base::Result<plan::ZonePeriod> period_at(const std::string& /*zone*/,
                                                  plan::Instant instant) const override {
    const plan::Instant change = std::chrono::sys_days(std::chrono::year(2026) / 10 / 25);
    if (instant < change) {
      return plan::ZonePeriod{plan::Instant::min(), change, plan::seconds(7'200), "S"};
    }
    return plan::ZonePeriod{change, plan::Instant::max(), plan::seconds(3'600), "W"};
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const OneZone zones;
  if (const auto read = plan::read_plan(bytes)) {
    const auto again = plan::read_plan(plan::write_plan(*read));
    require(again.has_value() && *again == *read);
    (void)plan::check_schedule(*read, zones);
    (void)plan::publishing_freeze_of(*read);
  }
  if (const auto state = plan::read_place_state(bytes)) {
    const auto again = plan::read_place_state(plan::write_place_state(*state));
    require(again.has_value() && *again == *state);
    plan::PlaceDecider decider(
        {.component = "chat", .site = "berlin", .stops = true, .starts = true}, zones, *state);
    const plan::Now now{.real = std::chrono::sys_days(std::chrono::year(2026) / 12 / 1),
                        .monotonic = {}};
    require(decider.resume(now).size() <= 4 * plan::PlaceDecider::kMaxPlans + 4);
    (void)decider.next_deadline(now);
  }
  return 0;
}
