// SPDX-License-Identifier: Apache-2.0
// Attempts that are taken back or fail, and what the next one then finds.
#include <gtest/gtest.h>
#include <unistd.h>

#include "handoff/clock.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

using LateRound = HandoffTest;

TEST_F(LateRound, changes_that_a_final_round_could_not_send_arrive_with_the_next) {
  bool frozen = false;
  int slow_freezes = 2;
  ServiceOptions slow = options();
  slow.budget_us = 20'000;
  slow.max_attempts = 10;
  slow.hooks.freeze = [&] { frozen = true; };
  slow.hooks.resume = [&](int) {
    frozen = false;
    --slow_freezes;
  };
  slow.hooks.encode = [&](const std::string&) {
    const uint64_t until = monotonic_ns() + (frozen && slow_freezes > 0 ? 3'000'000 : 0);
    while (monotonic_ns() < until) {
    }
  };
  Service first(slow);
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  for (int i = 0; i < 100; ++i) first.put("k" + std::to_string(i), "old");
  const int client = first.connect("c");
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  int step = 0;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (!first.active()) return first.ended() && second.active();
                    ++step;
                    for (int i = 0; i < 60; ++i) {
                      first.put("k" + std::to_string(i), std::to_string(step));
                    }
                    return false;
                  }))
      << first.error() << " / " << second.error();
  EXPECT_GE(first.count("resume 1"), 1U) << "no final round was cut short: the test proves nothing";
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
  close(client);
}

TEST_F(LateRound, predecessor_can_be_met_again_after_a_failed_attempt) {
  ServiceOptions failing = options();
  failing.fail_check = true;
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  for (int i = 0; i < 3; ++i) {
    Service bad(failing);
    ASSERT_EQ(bad.start(), SEGUE_OK);
    ASSERT_TRUE(run({&first, &bad}, [&] { return bad.ended(); })) << i;
    EXPECT_TRUE(first.active());
  }
  Service good(options());
  hand_over(first, good);
}

TEST_F(LateRound, listeners_and_arenas_that_only_the_new_version_has_are_there_when_it_is_active) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  Service second(options());
  ASSERT_EQ(segue_listen(second.instance.get(), "extra", "tcp:127.0.0.1:0", 4), SEGUE_OK);
  segue_arena* arena = segue_arena_open(second.instance.get(), "fresh", 1, 8192);
  ASSERT_NE(arena, nullptr);
  hand_over(first, second);
  EXPECT_NE(segue_arena_data(arena), nullptr);
  EXPECT_EQ(segue_unlisten(second.instance.get(), "extra"), SEGUE_OK);
  EXPECT_EQ(segue_unlisten(second.instance.get(), "main"), SEGUE_OK);
}

}  // namespace
}  // namespace segue::handoff::test
