// SPDX-License-Identifier: Apache-2.0
#include "load/pace.h"

#include <gtest/gtest.h>

namespace segue::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(Pace, default_one_is_never_due) {
  EXPECT_EQ(Pace().due(), base::MonotonicTime::max());
  EXPECT_EQ(Pace(base::MonotonicTime{}, seconds(1), 0).due(), base::MonotonicTime::max());
}

TEST(Pace, spreads_events_evenly_and_does_not_drift) {
  const base::MonotonicTime start{seconds(100)};
  Pace pace(start, milliseconds(500), 100);
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(pace.due(), start + milliseconds(5 * i));
    pace.advance();
  }
}

TEST(Pace, faster_than_the_tick_is_served_in_groups_never_early) {
  const base::MonotonicTime start{};
  Pace pace(start, seconds(1), 10'000);
  for (int i = 0; i < 50'000; ++i) {
    const base::MonotonicTime exact = start + std::chrono::microseconds(100) * i;
    EXPECT_GE(pace.due(), exact);
    EXPECT_LT(pace.due() - exact, Pace::kTick);
    EXPECT_EQ((pace.due() - start) % Pace::kTick, base::Duration(0));
    pace.advance();
  }
}

}  // namespace
}  // namespace segue::load
