// SPDX-License-Identifier: Apache-2.0
#include "cli/rollout_changes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/test_progress.h"

namespace segue::cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> told(RolloutChanges& changes, const Json& progress) {
  std::vector<std::string> lines;
  for (const auto& change : changes.look(progress)) lines.push_back(change.line(3'723'000));
  return lines;
}

TEST(RolloutChanges, tells_first_what_is_not_as_it_was_before) {
  RolloutChanges changes;
  EXPECT_THAT(
      told(changes, test_progress()),
      ElementsAre("01:02:03 rollout: running",
                  "01:02:03 step 1 canary 1%: done, 3 of 3 moved, 10% of new connections",
                  "01:02:03 step 2 canary 10%: baking, 0 of 0 moved, 10% of new connections",
                  "01:02:03 host h1 canary: good, revision 5, 120 connections",
                  "01:02:03 host h2 canary: good, revision 5, 120 connections",
                  "01:02:03 host h3 canary: good, revision 5, 120 connections",
                  "01:02:03 gate errors: wait: not enough data: 12 requests",
                  "01:02:03 waits: for 23 s more to pass without trouble"));
}

TEST(RolloutChanges, tells_nothing_again_of_which_only_figures_have_moved) {
  RolloutChanges changes;
  Json progress = test_progress();
  (void)changes.look(progress);
  EXPECT_THAT(told(changes, progress), IsEmpty());
  progress["waits_for"] = "2 min 5 s more to pass without trouble";
  progress["gates"][0]["text"] = "not enough data: 1,312 requests";
  progress["instances"][0]["connections"] = 7;
  progress["traffic"]["canary"] = 99;
  progress["remaining_ms"] = 1;
  EXPECT_THAT(told(changes, progress), IsEmpty());
}

TEST(RolloutChanges, tells_each_change_once) {
  RolloutChanges changes;
  Json progress = test_progress();
  (void)changes.look(progress);
  progress["step"] = 2;
  progress["step_phase"] = "moving";
  progress["steps"][1]["state"] = "done";
  progress["steps"][2]["state"] = "current";
  progress["instances"][3]["standing"] = "moving";
  progress["instances"][3]["activity"] = "handing-off";
  progress["gates"] = Json::array();
  progress["waits_for"] = "h1 to be moved, for 0 s";
  EXPECT_THAT(told(changes, progress),
              ElementsAre("01:02:03 step 2 canary 10%: done, 0 of 0 moved, 10% of new connections",
                          "01:02:03 step 3 1 host: moving, 0 of 1 moved",
                          "01:02:03 host h1: handing-off, revision 4, 120 connections",
                          "01:02:03 waits: for h1 to be moved, for 0 s"));
  progress["instances"][3]["standing"] = "good";
  progress["instances"][3]["activity"] = "idle";
  progress["instances"][3]["revision"] = 5;
  progress["instances"][3]["handoff"] = {{"connections", 119}, {"lost", 1}, {"blackout_us", 950}};
  EXPECT_THAT(told(changes, progress),
              ElementsAre("01:02:03 host h1: good, revision 5, 120 connections, moved 119, lost 1, "
                          "blackout 0.95 ms"));
  EXPECT_THAT(told(changes, progress), IsEmpty());
}

TEST(RolloutChanges, counts_hosts_where_not_all_have_lines_of_their_own) {
  RolloutChanges changes;
  Json progress = test_progress();
  progress["step"] = 3;
  progress["step_phase"] = "moving";
  progress["steps"][3] = test_step("rest", "wave", "current", 5'000, 17);
  (void)changes.look(progress);
  progress["steps"][3]["moved"] = 18;
  EXPECT_THAT(told(changes, progress),
              ElementsAre("01:02:03 step 4 rest: moving, 18 of 5000 moved"));
}

TEST(RolloutChanges, are_objects_for_programs) {
  RolloutChanges changes;
  Json progress = test_progress();
  (void)changes.look(progress);
  progress["gates"][0]["verdict"] = "bad";
  const auto list = changes.look(progress);
  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].json(5), (Json{{"time_ms", 5},
                                   {"what", "gate"},
                                   {"subject", "errors"},
                                   {"text", "bad: not enough data: 12 requests"},
                                   {"now", progress["gates"][0]}}));
}

}  // namespace
}  // namespace segue::cli
