// SPDX-License-Identifier: Apache-2.0
// What the decider does on the ways that people and instances usually go.
#include <gmock/gmock.h>

#include <csignal>

#include "keeper/component_rig.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

// ---- Starting

TEST(Run, is_done_when_the_first_instance_is_active) {
  Rig rig;
  rig.to_starting();
  const Generation first = rig.newest();
  rig.hello(first, "1");
  EXPECT_EQ(rig.all<SendStart>().size(), 1U);
  EXPECT_FALSE(rig.answer_to(Rig::kRun));
  rig.activate(first);
  EXPECT_EQ(rig.answer_to(Rig::kRun)->exit, ExitCode::done);
  EXPECT_EQ(rig.owner(), first);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(Run, fails_and_the_keeper_ends_when_the_program_ends_at_once) {
  Rig rig;
  rig.to_starting();
  rig.send(Exited{rig.newest(), "exited with 2", 0});
  EXPECT_EQ(rig.answer_to(Rig::kRun)->exit, ExitCode::failed);
  EXPECT_THAT(rig.answer_to(Rig::kRun)->text, HasSubstr("exited with 2"));
  EXPECT_EQ(rig.all<Leave>().front().exit, ExitCode::failed);
}

TEST(Run, reports_the_exit_even_when_the_channel_closes_first) {
  Rig rig;
  rig.to_starting();
  const Generation first = rig.newest();
  rig.send(ChannelClosed{first, ""});
  rig.send(Exited{first, "exited with 2", 0});
  EXPECT_THAT(rig.answer_to(Rig::kRun)->text, HasSubstr("exited with 2"));
}

TEST(Run, fails_when_the_program_is_never_ready) {
  Rig rig({.start_ms = 1'000});
  rig.to_starting();
  rig.advance(seconds(1));
  EXPECT_THAT(rig.answer_to(Rig::kRun)->text, HasSubstr("not active within 1.00 s"));
  EXPECT_EQ(rig.all<Signal>().front().signal, SIGKILL);
}

TEST(Run, is_refused_for_a_component_that_runs) {
  Rig rig;
  rig.to_serving();
  rig.send(RunRequested{Rig::kSecond, Rig::launch("/v1")});
  EXPECT_EQ(rig.answer_to(Rig::kSecond)->exit, ExitCode::refused);
}

// ---- Crashes outside an attempt

TEST(Crash, vacates_the_ownership_and_starts_the_same_program_again) {
  Rig rig;
  rig.to_serving();
  const Generation first = rig.owner();
  rig.clear();
  rig.die(first);
  EXPECT_EQ(rig.all<Vacate>().front().generation, first);
  EXPECT_FALSE(rig.has<Spawn>());
  rig.advance(Component::kFirstBackoff);
  EXPECT_EQ(rig.all<Spawn>().front().launch, Rig::launch("/v1"));
}

TEST(Crash, waits_longer_each_time_up_to_a_bound_and_then_gives_up) {
  Rig rig({.max_restarts = 10});
  rig.to_serving();
  std::vector<base::Duration> waits;
  for (int crash = 0; crash < 10; ++crash) {
    rig.die(rig.owner());
    ASSERT_EQ(rig.component.phase(), Phase::backoff);
    waits.push_back(rig.component.next_deadline() - rig.now);
    rig.advance(waits.back());
    rig.hello(rig.newest(), "1");
    rig.activate(rig.newest());
  }
  EXPECT_EQ(waits.front(), milliseconds(100));
  EXPECT_EQ(waits[1], milliseconds(200));
  EXPECT_EQ(waits.back(), seconds(10));
  rig.die(rig.owner());
  EXPECT_EQ(rig.component.phase(), Phase::stopped);
  EXPECT_EQ(rig.all<Leave>().front().exit, ExitCode::failed);
}

TEST(Crash, counts_from_the_beginning_after_a_healthy_minute) {
  Rig rig({.max_restarts = 1});
  rig.to_serving();
  for (int crash = 0; crash < 5; ++crash) {
    rig.die(rig.owner());
    ASSERT_EQ(rig.component.phase(), Phase::backoff) << crash;
    rig.advance(milliseconds(100));
    rig.hello(rig.newest(), "1");
    rig.activate(rig.newest());
    rig.live(seconds(62));
  }
}

TEST(Crash, of_a_restart_that_never_becomes_active_counts_too) {
  Rig rig({.max_restarts = 2});
  rig.to_backoff();
  rig.advance(milliseconds(100));
  rig.die(rig.newest());
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  rig.advance(milliseconds(200));
  rig.die(rig.newest());
  EXPECT_EQ(rig.component.phase(), Phase::stopped);
}

TEST(Hang, of_the_owner_is_reported_and_nobody_is_killed) {
  Rig rig;
  rig.to_serving();
  rig.advance(seconds(8));
  EXPECT_TRUE(rig.component.find(rig.owner())->hung);
  EXPECT_FALSE(rig.has<Signal>());
  rig.send(PongReceived{rig.owner(), 3});
  EXPECT_FALSE(rig.component.find(rig.owner())->hung);
  EXPECT_TRUE(rig.stepped("instance.answers_again"));
}

// ---- Upgrades

TEST(Upgrade, goes_through_probation_and_commit_to_a_predecessor_that_has_gone) {
  Rig rig;
  rig.to_probation();
  const Attempt attempt = rig.attempt();
  EXPECT_FALSE(rig.has<SendCommit>());
  rig.live(milliseconds(2'100));
  EXPECT_EQ(rig.all<SendCommit>().front().generation, attempt.successor);
  rig.say(attempt.predecessor, Said::committed);
  EXPECT_FALSE(rig.answer_to(Rig::kUpgrade)) << "the predecessor is still there";
  rig.now += milliseconds(20);
  rig.die(attempt.predecessor, 0);
  const auto answer = rig.answer_to(Rig::kUpgrade);
  EXPECT_EQ(answer->exit, ExitCode::done);
  EXPECT_EQ(answer->text,
            "upgraded kv v1 → v2: blackout 0.08 ms, 0 connections moved, 0 lost, 0 rounds, "
            "predecessor gone after 0.02 s");
  EXPECT_EQ(rig.component.previous().back().launch, Rig::launch("/v1"));
}

TEST(Upgrade, without_probation_commits_at_once) {
  Rig rig;
  control::AttemptOptions options;
  options.probation_ms = 0;
  rig.to_probation(options);
  EXPECT_EQ(rig.component.phase(), Phase::committing);
}

TEST(Upgrade, to_another_service_is_refused_by_name) {
  Rig rig;
  rig.to_preparing();
  const Generation successor = rig.newest();
  rig.hello(successor, "2", "shop");
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::refused);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("is of the service 'shop'"));
  EXPECT_FALSE(rig.has<SendAttempt>());
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(Upgrade, of_an_unknown_protocol_is_refused) {
  Rig rig;
  rig.to_preparing();
  rig.send(HelloReceived{rig.newest(), 7, 9, "kv", "2"});
  EXPECT_FALSE(rig.has<SendAttempt>());
  rig.die(rig.newest(), 0);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("protocols 7 to 9"));
}

TEST(Upgrade, while_one_runs_is_refused_and_says_which_and_since_when) {
  Rig rig;
  rig.to_attempting();
  rig.now += milliseconds(2'500);
  rig.upgrade({}, Rig::kSecond);
  EXPECT_EQ(rig.answer_to(Rig::kSecond)->exit, ExitCode::refused);
  EXPECT_THAT(rig.answer_to(Rig::kSecond)->text, HasSubstr("upgrade 1 (v1 → v2)"));
  EXPECT_THAT(rig.answer_to(Rig::kSecond)->text, HasSubstr("2.50 s"));
  EXPECT_EQ(rig.component.phase(), Phase::attempting);
}

TEST(Upgrade, that_is_queued_begins_when_the_other_has_ended) {
  Rig rig;
  rig.to_attempting();
  control::AttemptOptions options;
  options.queue = true;
  rig.upgrade(options, Rig::kSecond);
  EXPECT_EQ(rig.all<ShowQueued>().front().request, Rig::kSecond);
  rig.upgrade(options, 99);
  EXPECT_EQ(rig.answer_to(99)->exit, ExitCode::refused) << "only one can wait";

  const Generation successor = rig.attempt().successor;
  rig.say(rig.owner(), Said::failed, 0, "no");
  rig.die(successor, 0);
  EXPECT_TRUE(rig.answer_to(Rig::kUpgrade));
  EXPECT_EQ(rig.component.phase(), Phase::preparing);
  EXPECT_EQ(rig.attempt().request, Rig::kSecond);
}

TEST(Upgrade, fails_with_the_instances_own_words_and_the_predecessor_goes_on) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.report_phase(SEGUE_PHASE_REHEARSAL);
  rig.say(rig.owner(), Said::failed, 0, "rehearsal: table keys, key a differs");
  rig.say(successor, Said::failed, 0, "told so");
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->text,
            "kv was not upgraded v1 → v2: rehearsal: table keys, key a differs; v1 goes on");
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(Upgrade, refused_before_the_background_phase_touched_nothing) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.report_phase(SEGUE_PHASE_MEETING);
  rig.report_phase(SEGUE_PHASE_ENDED);
  rig.say(rig.owner(), Said::failed, 0, "form entry: versions 3 to 4 against 1 to 2");
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::refused);
}

TEST(Upgrade, that_the_successor_ends_later_has_failed_before_the_predecessor_says_how_far_it_was) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.report_phase(SEGUE_PHASE_MEETING);
  rig.send(ProgressReceived{successor, rig.attempt().id, {.phase = SEGUE_PHASE_REHEARSAL}});
  rig.say(successor, Said::failed, 0, "the service's own check failed: the sum is odd");
  rig.die(successor, 0);
  rig.say(rig.owner(), Said::failed, 0, "the successor refused");
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
}

TEST(Upgrade, whose_successor_crashes_names_the_signal) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.report_phase(SEGUE_PHASE_BACKGROUND);
  rig.die(successor);
  EXPECT_EQ(rig.component.phase(), Phase::aborting) << "the predecessor has not said it is over";
  rig.say(rig.owner(), Said::failed, 0, "the successor died");
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("v2 was killed by signal 9"));
}

TEST(Upgrade, whose_successor_never_says_hello_ends_at_the_limit) {
  Rig rig;
  control::AttemptOptions options;
  options.start_ms = 500;
  rig.to_preparing(options);
  const Generation successor = rig.newest();
  rig.advance(milliseconds(500));
  EXPECT_EQ(rig.component.phase(), Phase::aborting);
  rig.advance(seconds(2));
  EXPECT_EQ(rig.all<Signal>().back().generation, successor);
  rig.die(successor);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
}

TEST(Upgrade, where_nothing_moves_on_is_aborted_and_the_successor_killed) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.report_phase(SEGUE_PHASE_FOREGROUND);
  rig.live(seconds(20));
  EXPECT_EQ(rig.all<SendAbort>().size(), 2U);
  EXPECT_EQ(rig.all<Signal>().front().generation, successor);
}

TEST(Upgrade, past_its_timeout_is_ended_and_its_outcome_is_a_timeout) {
  Rig rig;
  control::AttemptOptions options;
  options.timeout_ms = 1'000;
  options.retries = 5;
  rig.to_attempting(options);
  const Generation successor = rig.attempt().successor;
  rig.advance(seconds(1));
  rig.say(rig.owner(), Said::failed, 0, "told to");
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::unknown);
}

TEST(Upgrade, that_was_over_budget_is_tried_again_from_the_beginning) {
  Rig rig;
  rig.to_retrying();
  EXPECT_EQ(rig.component.phase(), Phase::retrying);
  rig.clear();
  rig.advance(Component::kRetryDelay);
  EXPECT_EQ(rig.all<Spawn>().front().launch, Rig::launch("/v2"));
  EXPECT_EQ(rig.attempt().tries, 2U);
  const Generation successor = rig.newest();
  rig.hello(successor, "2");
  rig.say(rig.owner(), Said::resumed, SEGUE_RESUME_LATE);
  rig.report_phase(SEGUE_PHASE_BACKGROUND);
  rig.say(rig.owner(), Said::failed, 0, "over budget again");
  rig.die(successor, 0);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("in 2 tries"));
}

TEST(Upgrade, that_was_refused_is_never_tried_again) {
  Rig rig;
  control::AttemptOptions options;
  options.retries = 5;
  rig.to_attempting(options);
  const Generation successor = rig.attempt().successor;
  rig.say(rig.owner(), Said::failed, static_cast<std::uint64_t>(-SEGUE_REFUSED), "no");
  rig.die(successor, 0);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::refused);
}

TEST(Upgrade, words_of_an_earlier_try_are_not_heard) {
  Rig rig;
  rig.to_retrying();
  const AttemptId old = rig.attempt().id;
  rig.advance(Component::kRetryDelay);
  rig.hello(rig.newest(), "2");
  rig.send(EventReceived{rig.owner(), old, Said::failed, "late word", 0});
  EXPECT_EQ(rig.component.phase(), Phase::attempting);
}

TEST(Rehearsal, that_ends_well_changes_nothing) {
  Rig rig;
  rig.to_serving();
  const Generation owner = rig.owner();
  rig.upgrade({}, Rig::kUpgrade, Kind::rehearse);
  const Generation successor = rig.newest();
  rig.hello(successor, "2");
  EXPECT_EQ(rig.all<SendAttempt>().front().kind, Kind::rehearse);
  rig.say(owner, Said::rehearsed);
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::done);
  EXPECT_EQ(rig.owner(), owner);
  EXPECT_TRUE(rig.component.previous().empty());
}

// ---- The predecessor's end

TEST(Predecessor, that_ends_slowly_is_reported_raised_and_killed) {
  Rig rig;
  rig.to_committing();
  const Generation predecessor = rig.attempt().predecessor;
  rig.say(predecessor, Said::committed);
  rig.live(milliseconds(1'100));
  EXPECT_TRUE(rig.stepped("instance.ends_slowly"));
  EXPECT_FALSE(rig.has<RaisePriority>());
  rig.live(seconds(10));
  EXPECT_EQ(rig.all<RaisePriority>().front().generation, predecessor);
  EXPECT_FALSE(rig.answer_to(Rig::kUpgrade));
  rig.live(seconds(5));
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("predecessor not gone yet"));
  EXPECT_FALSE(rig.has<Signal>());
  rig.live(seconds(45));
  EXPECT_EQ(rig.all<Signal>().front().signal, SIGKILL);
  rig.die(predecessor);
  EXPECT_EQ(rig.all<Finish>().size(), 2U) << "run and upgrade are answered once each";
}

TEST(Predecessor, that_does_not_answer_the_commit_is_ended_once_the_successor_answers) {
  Rig rig;
  rig.to_committing();
  const Generation predecessor = rig.attempt().predecessor;
  rig.live(seconds(13));
  EXPECT_EQ(rig.all<SendCommit>().size(), 2U);
  EXPECT_EQ(rig.all<SendEnd>().front().generation, predecessor);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(Predecessor, is_kept_while_the_successor_answers_no_more) {
  Rig rig;
  rig.to_committing();
  rig.advance(seconds(60));
  EXPECT_EQ(rig.component.phase(), Phase::committing);
  EXPECT_FALSE(rig.has<SendEnd>());
}

// ---- Stopping

TEST(Fence, that_a_side_cannot_do_itself_is_the_keepers_for_the_two_of_one_attempt_only) {
  Rig rig;
  rig.to_probation();
  const Generation predecessor = rig.attempt().predecessor;
  const Generation successor = rig.attempt().successor;
  const auto kills = [&](Generation asks, Generation other) {
    rig.clear();
    rig.send(FenceAsked{asks, other});
    const auto signals = rig.all<Signal>();
    return signals.size() == 1 && signals[0].generation == other && signals[0].signal == SIGKILL;
  };
  EXPECT_FALSE(kills(predecessor, predecessor));
  EXPECT_FALSE(kills(77, successor));
  EXPECT_FALSE(kills(predecessor, 77));
  EXPECT_TRUE(kills(predecessor, successor));
  EXPECT_TRUE(rig.stepped("instance.fenced"));
  EXPECT_TRUE(kills(successor, predecessor));
  Rig at_rest;
  at_rest.to_serving();
  const Generation owner = at_rest.owner();
  at_rest.clear();
  at_rest.send(FenceAsked{owner, owner});
  EXPECT_FALSE(at_rest.has<Signal>());
}

TEST(Stop, asks_terminates_and_kills_and_then_the_keeper_ends) {
  Rig rig({.grace_ms = 1'000});
  rig.to_stopping();
  EXPECT_EQ(rig.all<SendEnd>().front().reason, std::uint32_t{SEGUE_END_STOPPED});
  rig.advance(seconds(1));
  EXPECT_EQ(rig.all<Signal>().back().signal, SIGTERM);
  rig.advance(seconds(1));
  EXPECT_EQ(rig.all<Signal>().back().signal, SIGKILL);
  rig.die(rig.owner());
  EXPECT_EQ(rig.answer_to(Rig::kStop)->exit, ExitCode::done);
  EXPECT_EQ(rig.all<Leave>().size(), 1U);
}

TEST(Stop, in_probation_ends_the_frozen_one_first_so_that_it_cannot_take_over) {
  Rig rig;
  rig.to_probation();
  const Generation frozen = rig.attempt().predecessor;
  const Generation owner = rig.owner();
  rig.clear();
  rig.send(StopRequested{Rig::kStop});
  ASSERT_EQ(rig.all<SendEnd>().size(), 1U);
  EXPECT_EQ(rig.all<SendEnd>().front().generation, frozen);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  rig.die(frozen, 0);
  EXPECT_EQ(rig.all<SendEnd>().back().generation, owner);
  rig.die(owner, 0);
  EXPECT_TRUE(rig.answer_to(Rig::kStop));
}

TEST(Stop, twice_is_answered_twice) {
  Rig rig;
  rig.to_stopping();
  rig.send(StopRequested{Rig::kSecond});
  rig.die(rig.owner(), 0);
  EXPECT_TRUE(rig.answer_to(Rig::kStop));
  EXPECT_TRUE(rig.answer_to(Rig::kSecond));
}

}  // namespace
}  // namespace segue::keeper
