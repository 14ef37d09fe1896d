// SPDX-License-Identifier: Apache-2.0
#include "container/lifecycle.h"

#include <gtest/gtest.h>

#include <initializer_list>
#include <random>
#include <set>
#include <vector>

namespace segue::container {
namespace {

constexpr auto kDone = StepEvent::done;
constexpr auto kFailed = StepEvent::failed;
constexpr auto kEnded = StepEvent::ended;
constexpr auto kUnwanted = StepEvent::unwanted;

std::vector<Step> steps_of(std::initializer_list<StepEvent> events, bool offers = true) {
  Lifecycle lifecycle(offers);
  std::vector<Step> steps;
  for (const StepEvent event : events) {
    if (lifecycle.on(event)) steps.push_back(lifecycle.step());
  }
  return steps;
}

TEST(Lifecycle, an_instance_is_started_serves_and_is_cleared_away) {
  EXPECT_EQ(steps_of({kDone, kDone, kDone, kDone, kDone, kEnded, kDone, kDone, kDone}),
            (std::vector{Step::create, Step::start, Step::look_at_container, Step::offer,
                         Step::serve, Step::collect, Step::hear_out, Step::remove, Step::end}));
}

TEST(Lifecycle, nobody_wants_it_before_it_has_the_keepers_channel_so_it_is_killed_and_removed) {
  EXPECT_EQ(steps_of({kDone, kDone, kDone, kDone, kUnwanted, kDone, kDone, kDone, kDone}),
            (std::vector{Step::create, Step::start, Step::look_at_container, Step::offer,
                         Step::kill, Step::collect, Step::hear_out, Step::remove, Step::end}));
  EXPECT_EQ(steps_of({kDone, kUnwanted, kDone, kDone}),
            (std::vector{Step::create, Step::remove, Step::end}));
  EXPECT_EQ(steps_of({kDone, kDone, kUnwanted, kDone, kDone}),
            (std::vector{Step::create, Step::start, Step::kill, Step::collect}));
  EXPECT_EQ(steps_of({kUnwanted}), std::vector{Step::end});
}

TEST(Lifecycle, what_serves_does_not_depend_on_who_started_it) {
  EXPECT_EQ(steps_of({kDone, kDone, kDone, kDone, kDone, kUnwanted, kFailed, kDone}).back(),
            Step::serve);
}

TEST(Lifecycle, a_program_that_is_offered_nothing_serves_as_long_as_it_is_wanted) {
  EXPECT_EQ(steps_of({kDone, kDone, kDone, kDone, kUnwanted, kDone, kDone, kDone, kDone}, false),
            (std::vector{Step::create, Step::start, Step::look_at_container, Step::serve,
                         Step::kill, Step::collect, Step::hear_out, Step::remove, Step::end}));
  EXPECT_EQ(steps_of({kDone, kDone, kDone, kDone, kEnded, kDone, kDone, kDone}, false),
            (std::vector{Step::create, Step::start, Step::look_at_container, Step::serve,
                         Step::collect, Step::hear_out, Step::remove, Step::end}));
}

TEST(Lifecycle, a_container_that_ends_before_it_asks_is_cleared_away) {
  EXPECT_EQ(steps_of({kDone, kDone, kDone, kDone, kEnded, kFailed, kFailed, kFailed}),
            (std::vector{Step::create, Step::start, Step::look_at_container, Step::offer,
                         Step::collect, Step::hear_out, Step::remove, Step::end}));
}

TEST(Lifecycle, whatever_happens_it_ends_and_what_was_created_is_removed_before) {
  std::mt19937 generator(7);
  std::uniform_int_distribution<int> any(0, kStepEventCount - 1);
  for (int run = 0; run < 10'000; ++run) {
    Lifecycle lifecycle(run % 2 == 0);
    std::set<Step> seen{lifecycle.step()};
    for (int i = 0; i < 1'000 && lifecycle.step() != Step::end; ++i) {
      const Step before = lifecycle.step();
      const auto event = static_cast<StepEvent>(any(generator));
      lifecycle.on(event);
      if (before == Step::create && lifecycle.step() == Step::end) {
        ASSERT_EQ(event, kFailed);
      } else if (lifecycle.step() == Step::end) {
        ASSERT_EQ(seen.contains(Step::create), seen.contains(Step::remove));
      }
      seen.insert(lifecycle.step());
    }
    ASSERT_EQ(lifecycle.step(), Step::end);
  }
}

}  // namespace
}  // namespace segue::container
