// SPDX-License-Identifier: Apache-2.0
// The blackout stays under the budget, or there is none: late attempts are taken back, and after a
// bounded number of rounds and attempts the predecessor just goes on.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "handoff/clock.h"
#include "handoff/test_process.h"
#include "handoff/test_service.h"
#include "handoff/unique_fd.h"

namespace segue::handoff::test {
namespace {

void spend(uint64_t ns) {
  const uint64_t until = monotonic_ns() + ns;
  while (monotonic_ns() < until) continue;
}

class Budget : public HandoffTest {
 protected:
  // Changes records in every turn, as a busy service does.
  static void change_some(Service& service, int& step) {
    if (!service.active()) return;
    ++step;
    for (int i = 0; i < 40; ++i) service.put("k" + std::to_string(i), std::to_string(step));
  }
};

TEST_F(Budget, successor_that_applies_too_slowly_ends_the_handoff_after_the_bound_of_rounds) {
  ServiceOptions o = options();
  o.budget_us = 10'000;
  o.max_rounds = 6;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 40; ++i) first.put("k" + std::to_string(i), "v");
  ServiceOptions slow = options();
  slow.hooks.put = [](const std::string&) { spend(1'000'000); };
  Service second(slow);
  ASSERT_EQ(second.start(), SEGUE_OK);
  int step = 0;
  ASSERT_TRUE(run({&first, &second}, [&] {
    change_some(first, step);
    return second.ended();
  }));
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(first.has("freeze")) << "nothing was predicted to fit";
  EXPECT_EQ(first.progress().rounds, 6U);
  EXPECT_GT(first.progress().predicted_ns, 10'000'000U);
  EXPECT_NE(first.error().find("over the budget of 10000 us after 6 rounds"), std::string::npos)
      << first.error();
  EXPECT_EQ(second.events.back(), "terminate 2");
  EXPECT_EQ(second.error(), first.error()) << "both sides know why";
}

TEST_F(Budget, late_successor_is_tried_again_and_given_up_after_the_bound_of_attempts) {
  ServiceOptions o = options();
  o.budget_us = 20'000;
  o.max_attempts = 3;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  first.put("k", "v");
  uint32_t rounds_at_first_freeze = 0;
  first.on_event = [&](const std::string& event) {
    if (event == "freeze" && rounds_at_first_freeze == 0) {
      rounds_at_first_freeze = first.progress().rounds;
    }
  };
  ServiceOptions slow = options();
  int yields = 0;
  slow.hooks.acquire = [] { return spend(25'000'000), 0; };
  slow.hooks.yield = [&] { ++yields; };
  Service second(slow);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_TRUE(first.active());
  EXPECT_FALSE(second.has("activate"));
  EXPECT_EQ(first.count("freeze"), 3U);
  EXPECT_EQ(first.count("resume 1"), 3U);
  EXPECT_EQ(yields, 3) << "what was acquired is given up each time";
  EXPECT_EQ(first.progress().attempts, 3U);
  EXPECT_GE(first.progress().rounds, rounds_at_first_freeze + 2) << "a round before each attempt";
  EXPECT_GE(first.progress().frozen_max_ns, 25'000'000U);
  EXPECT_EQ(first.progress().blackout_ns, 0U);
  EXPECT_NE(first.error().find("after 3 attempts"), std::string::npos) << first.error();
}

TEST_F(Budget, attempt_that_was_late_once_succeeds_and_brings_what_changed_meanwhile) {
  ServiceOptions o = options();
  o.budget_us = 200'000;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  ServiceOptions slow = options();
  bool late = true;
  slow.hooks.acquire = [&] { return spend(std::exchange(late, false) ? 210'000'000 : 0), 0; };
  Service second(slow);
  ASSERT_EQ(second.start(), SEGUE_OK);
  int step = 0;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    change_some(first, step);
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(first.count("resume 1"), 1U);
  EXPECT_EQ(first.progress().attempts, 2U);
  EXPECT_EQ(second.data, first.data);
  EXPECT_LE(second.progress().blackout_ns, 200'000'000U);
}

class CutShort : public Budget, public testing::WithParamInterface<bool> {};

TEST_P(CutShort, changes_that_did_not_fit_into_a_late_attempt_arrive_with_the_next) {
  const bool among_connections = GetParam();
  bool late = false;
  ServiceOptions o = options();
  o.budget_us = 100'000;
  const auto slow = [&late] { spend(late ? 3'000'000 : 0); };
  if (among_connections) {
    o.hooks.encode_connection = slow;
  } else {
    o.hooks.encode = [slow](const std::string&) { slow(); };
  }
  Service first(o);
  first.on_event = [&](const std::string& event) {
    late = event == "freeze" && first.count("freeze") == 1;
  };
  ASSERT_EQ(first.start(), SEGUE_OK);
  std::vector<UniqueFd> clients;
  clients.reserve(80);
  for (int i = 0; i < 40; ++i) clients.emplace_back(first.connect("old"));
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  int step = 0;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    if (!first.has("freeze")) {  // and nothing is changed a second time after it
                      change_some(first, step);
                      for (auto& [id, state] : first.connections) {
                        state = std::to_string(step);
                        segue_conn_touch(segue_conn_find(first.instance.get(), id));
                      }
                      for (int i = 0; i < 40; ++i) clients.emplace_back(first.connect("new"));
                    }
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_GE(first.count("resume 1"), 1U) << "no attempt was cut short: this test proves nothing";
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.connections, first.connections);
}

INSTANTIATE_TEST_SUITE_P(Budget, CutShort, testing::Bool(), [](const auto& among_connections) {
  return among_connections.param ? "among_connections" : "among_records";
});

TEST_F(Budget, successor_never_activates_past_the_deadline) {
  constexpr uint64_t kBudgetNs = 100'000'000;
  for (const uint64_t percent : {0U, 30U, 81U, 100U, 150U}) {
    const TemporaryDirectory directory;
    ServiceOptions o = options();
    o.directory = directory.path();
    o.budget_us = kBudgetNs / 1000;
    o.max_attempts = 1;
    Service first(o);
    ASSERT_EQ(first.start(), SEGUE_OK);
    ServiceOptions slow = o;
    slow.hooks.acquire = [percent] { return spend(kBudgetNs / 100 * percent), 0; };
    Service second(slow);
    ASSERT_EQ(second.start(), SEGUE_OK);
    ASSERT_TRUE(run({&first, &second}, [&] { return first.ended() || second.ended(); }));
    EXPECT_NE(first.active(), second.active());
    EXPECT_TRUE(percent <= 80 || first.active()) << "a fifth is kept in reserve: " << percent;
    EXPECT_TRUE(first.active() || second.progress().blackout_ns <= kBudgetNs) << percent;
  }
}

// Both sides' clocks run at once here: the deadline passes while the successor acquires.
TEST_F(Budget, one_side_wins_when_activation_and_deadline_race) {
  constexpr uint64_t kBudgetNs = 20'000'000;
  const auto blackout_of = [](Service& service, const std::string& question) -> std::string {
    if (question != "blackout") return "";
    return std::to_string(service.progress().blackout_ns);
  };
  ServiceProcess::Behaviour racing;
  racing.options = options();
  racing.options.budget_us = kBudgetNs / 1000;
  racing.options.max_attempts = 1000;
  racing.options.max_rounds = 1000;
  racing.answer = blackout_of;
  auto current = std::make_unique<ServiceProcess>(racing);
  ASSERT_TRUE(current->wait_for("activate first"));
  uint64_t longest_ns = 0;
  for (uint64_t turn = 0; turn < 8; ++turn) {
    // From clearly late to just in time, around the deadline of 16 ms; then at once.
    const auto attempt = std::make_shared<uint64_t>(turn);
    racing.options.hooks.acquire = [attempt] {
      const uint64_t step = (*attempt)++;
      return spend(step < 8 ? 17'500'000 - step * 500'000 : 0), 0;
    };
    ASSERT_EQ(current->ask("put turn " + std::to_string(turn)), "ok");
    auto next = std::make_unique<ServiceProcess>(racing);
    ASSERT_TRUE(next->wait_for("activate")) << current->ask("error");
    EXPECT_TRUE(current->ends());
    EXPECT_EQ(next->ask("get turn"), std::to_string(turn));
    longest_ns = std::max<uint64_t>(longest_ns, std::stoull(next->ask("blackout")));
    current = std::move(next);
  }
  RecordProperty("longest_blackout_us", static_cast<int>(longest_ns / 1000));
}

// ---- Tables without dirty tracking
// ---------------------------------------------------------------

class Rebuffed : public HandoffTest {
 protected:
  static int rebuffs(const Service& service) { return segue_table_rebuffs(service.table); }
};

TEST_F(Rebuffed, changes_are_refused_from_the_background_to_the_end_and_not_in_the_successor) {
  ServiceOptions o = options();
  o.table_flags = SEGUE_TABLE_REBUFFED;
  o.vote_required = true;
  o.budget_us = 200'000;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (int i = 0; i < 10'000; ++i) first.put("k" + std::to_string(i), "v");
  EXPECT_EQ(rebuffs(first), 0);
  ServiceOptions slow = o;
  bool late = true;
  slow.hooks.acquire = [&] { return spend(std::exchange(late, false) ? 210'000'000 : 0), 0; };
  Service second(slow);
  first.on_event = [&](const std::string& event) { EXPECT_EQ(rebuffs(first), 1) << event; };
  second.on_event = [&](const std::string& event) { EXPECT_EQ(rebuffs(second), 0) << event; };
  ASSERT_EQ(second.start(), SEGUE_OK);
  uint32_t phases = 0;
  ASSERT_TRUE(run({&first, &second},
                  [&] {
                    const uint32_t phase = first.progress().phase;
                    phases |= 1U << phase;
                    const bool handing_over =
                        phase >= SEGUE_PHASE_BACKGROUND && phase <= SEGUE_PHASE_PROBATION;
                    EXPECT_EQ(rebuffs(first), handing_over ? 1 : 0) << phase;
                    EXPECT_EQ(rebuffs(second), 0) << phase;
                    if (second.active()) segue_vote(second.instance.get(), 1, nullptr);
                    return first.ended() && second.active();
                  }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(first.count("resume 1"), 1U) << "between two attempts too";
  for (const uint32_t phase :
       {SEGUE_PHASE_BACKGROUND, SEGUE_PHASE_REHEARSAL, SEGUE_PHASE_PROBATION}) {
    EXPECT_NE(phases & 1U << phase, 0U) << phase;
  }
  EXPECT_EQ(second.data, first.data);
  second.on_event = nullptr;
  second.put("k0", "changed");
  Service third(o);
  ASSERT_EQ(third.start(), SEGUE_OK);
  ASSERT_TRUE(run({&second, &third}, [&] {
    if (third.active()) segue_vote(third.instance.get(), 1, nullptr);
    return second.ended() && third.active();
  }));
  EXPECT_EQ(third.data["k0"], "changed");
}

TEST_F(Rebuffed, changes_are_accepted_again_after_the_handoff_has_failed) {
  ServiceOptions o = options();
  o.table_flags = SEGUE_TABLE_REBUFFED;
  Service first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  ServiceOptions failing = o;
  failing.fail_acquire = true;
  Service second(failing);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] { return second.ended(); }));
  EXPECT_TRUE(first.active());
  EXPECT_TRUE(first.has("freeze"));
  EXPECT_EQ(rebuffs(first), 0);
}

TEST_F(Rebuffed, table_with_tracking_never_refuses) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run({&first, &second}, [&] {
    EXPECT_EQ(rebuffs(first), 0);
    return first.ended() && second.active();
  }));
}

}  // namespace
}  // namespace segue::handoff::test
