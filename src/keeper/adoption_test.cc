// SPDX-License-Identifier: Apache-2.0
#include "keeper/adoption.h"

#include <gtest/gtest.h>

namespace segue::keeper {
namespace {

using std::chrono::seconds;

const MonotonicTime kNow{seconds(500)};

Instance instance(Generation generation, Role role, const std::string& version) {
  Instance made;
  made.generation = generation;
  made.role = role;
  made.version = version;
  made.launch.argv = {"/v" + version};
  return made;
}

// v1 (1) was handing over to v2 (2) when the keeper died.
ComponentSnapshot in_attempt() {
  ComponentSnapshot saved;
  saved.phase = Phase::attempting;
  saved.last_generation = 2;
  saved.last_attempt = 1;
  saved.owner = 1;
  saved.service = "kv";
  saved.owner_launch.argv = {"/v1"};
  saved.instances = {instance(1, Role::serving, "1"), instance(2, Role::successor, "2")};
  Attempt attempt;
  attempt.id = 1;
  attempt.predecessor = 1;
  attempt.successor = 2;
  attempt.launch.argv = {"/v2"};
  attempt.from = "1";
  attempt.to = "2";
  saved.attempt = attempt;
  return saved;
}

FoundInstance found(Generation generation, bool rejoined) {
  return {.generation = generation,
          .pid = static_cast<std::int32_t>(1'000 + generation),
          .rejoined = rejoined,
          .service = "kv",
          .version = std::to_string(generation),
          .connections = 5};
}

TEST(Adoption, at_rest_takes_the_owner_as_it_is) {
  ComponentSnapshot saved = in_attempt();
  saved.attempt.reset();
  saved.instances.pop_back();
  saved.instances[0].active_since = MonotonicTime(seconds(7));
  const AdoptionPlan plan = plan_adoption(saved, {found(1, true)}, 1, kNow);
  EXPECT_TRUE(plan.concluded.empty());
  EXPECT_EQ(plan.component.phase, Phase::serving);
  EXPECT_EQ(plan.component.owner, 1U);
  ASSERT_EQ(plan.component.instances.size(), 1U);
  EXPECT_EQ(plan.component.instances[0].active_since, MonotonicTime(seconds(7)));
  EXPECT_EQ(plan.component.instances[0].connections, 5U);
  EXPECT_TRUE(plan.component.instances[0].channel_open);
}

TEST(Adoption, an_upgrade_that_both_sides_finished_is_written_down_and_can_be_undone) {
  const AdoptionPlan plan = plan_adoption(in_attempt(), {found(1, false), found(2, true)}, 2, kNow);
  ASSERT_EQ(plan.concluded.size(), 1U);
  EXPECT_EQ(plan.concluded[0].outcome, Outcome::done);
  EXPECT_TRUE(plan.concluded[0].activated);
  EXPECT_EQ(plan.concluded[0].ended, kNow);
  ASSERT_EQ(plan.component.previous.size(), 1U);
  EXPECT_EQ(plan.component.previous[0].version, "1");
  EXPECT_EQ(plan.component.owner_launch.argv[0], "/v2");
  const Instance& old = plan.component.instances[0];
  EXPECT_EQ(old.role, Role::ending) << "the predecessor ends, and has a minute for it";
  EXPECT_EQ(old.end_policy, EndPolicy::committed);
  EXPECT_EQ(old.ending_since, kNow);
}

TEST(Adoption, where_the_predecessor_owns_the_upgrade_has_failed_and_the_successor_ends) {
  const AdoptionPlan plan = plan_adoption(in_attempt(), {found(1, true), found(2, false)}, 1, kNow);
  ASSERT_EQ(plan.concluded.size(), 1U);
  EXPECT_EQ(plan.concluded[0].outcome, Outcome::failed);
  EXPECT_EQ(plan.concluded[0].why, "the keeper died");
  EXPECT_TRUE(plan.component.previous.empty());
  EXPECT_EQ(plan.component.owner_launch.argv[0], "/v1");
  EXPECT_EQ(plan.component.instances[1].end_policy, EndPolicy::refused);
}

TEST(Adoption, where_the_predecessor_owns_again_the_upgrade_was_undone) {
  ComponentSnapshot saved = in_attempt();
  saved.phase = Phase::probation;
  saved.attempt->activated = MonotonicTime(seconds(400));
  const AdoptionPlan plan = plan_adoption(saved, {found(1, true)}, 1, kNow);
  ASSERT_EQ(plan.concluded.size(), 1U);
  EXPECT_EQ(plan.concluded[0].outcome, Outcome::undone);
  EXPECT_EQ(plan.component.owner, 1U);
}

// v2 (2) is being undone by a handoff to v1 (3), while v1 (1) still waits frozen.
ComponentSnapshot in_hand_back() {
  ComponentSnapshot saved = in_attempt();
  saved.last_generation = 3;
  saved.owner = 2;
  saved.instances = {instance(1, Role::frozen, "1"), instance(2, Role::serving, "2"),
                     instance(3, Role::successor, "1")};
  saved.undone = saved.attempt;
  saved.attempt->kind = Kind::undo;
  saved.attempt->id = 2;
  saved.attempt->predecessor = 2;
  saved.attempt->successor = 3;
  saved.attempt->carried = 1;
  saved.attempt->launch.argv = {"/v1"};
  saved.attempt->from = "2";
  saved.attempt->to = "1";
  return saved;
}

TEST(Adoption, a_finished_way_back_undoes_the_upgrade) {
  const AdoptionPlan plan = plan_adoption(in_hand_back(), {found(3, true)}, 3, kNow);
  ASSERT_EQ(plan.concluded.size(), 2U);
  EXPECT_EQ(plan.concluded[0].outcome, Outcome::done);
  EXPECT_EQ(plan.concluded[1].outcome, Outcome::undone);
  EXPECT_TRUE(plan.component.previous.empty());
  EXPECT_EQ(plan.component.owner_launch.argv[0], "/v1");
}

TEST(Adoption, where_the_way_back_failed_the_upgrade_stays_and_is_named_as_bad) {
  const AdoptionPlan plan = plan_adoption(in_hand_back(), {found(2, true)}, 2, kNow);
  ASSERT_EQ(plan.concluded.size(), 2U);
  EXPECT_EQ(plan.concluded[0].outcome, Outcome::failed);
  EXPECT_TRUE(plan.concluded[1].hand_back_failed);
  ASSERT_EQ(plan.component.previous.size(), 1U);
  EXPECT_EQ(plan.component.owner_launch.argv[0], "/v2");
}

TEST(Adoption, whoever_was_ending_already_goes_on_doing_so) {
  ComponentSnapshot saved = in_attempt();
  saved.attempt.reset();
  saved.instances[1].role = Role::ending;
  saved.instances[1].end_policy = EndPolicy::committed;
  saved.instances[1].ending_since = MonotonicTime(seconds(490));
  const AdoptionPlan plan = plan_adoption(saved, {found(1, true), found(2, false)}, 1, kNow);
  EXPECT_EQ(plan.component.instances[1].ending_since, MonotonicTime(seconds(490)));
  EXPECT_FALSE(plan.component.instances[1].channel_open);
}

}  // namespace
}  // namespace segue::keeper
