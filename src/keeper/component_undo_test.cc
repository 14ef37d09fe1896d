// SPDX-License-Identifier: Apache-2.0
// Going back: by the operator, by health, by vote, by death; and whoever takes over from the dead.
#include <gmock/gmock.h>

#include <csignal>

#include "keeper/component_rig.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(Undo, without_anything_to_go_back_to_is_refused) {
  Rig rig;
  rig.to_serving();
  rig.send(UndoRequested{Rig::kUndo, {}});
  EXPECT_EQ(rig.answer_to(Rig::kUndo)->exit, ExitCode::refused);
  EXPECT_THAT(rig.answer_to(Rig::kUndo)->text, HasSubstr("nothing to go back to"));
}

TEST(Undo, after_the_commit_is_a_handoff_to_the_previous_program) {
  Rig rig;
  rig.to_committed();
  rig.clear();
  rig.send(UndoRequested{Rig::kUndo, {}});
  EXPECT_EQ(rig.all<Spawn>().front().launch, Rig::launch("/v1"));
  const Generation v2 = rig.owner();
  rig.hello(rig.newest(), "1");
  rig.activate(rig.newest());
  rig.live(milliseconds(2'100));
  rig.say(v2, Said::committed);
  rig.die(v2, 0);
  EXPECT_THAT(rig.answer_to(Rig::kUndo)->text, HasSubstr("handed back kv v2 → v1"));
  EXPECT_TRUE(rig.component.previous().empty());
}

TEST(Undo, before_the_activation_ends_the_attempt) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.send(UndoRequested{Rig::kUndo, {}});
  EXPECT_EQ(rig.all<SendAbort>().size(), 2U);
  rig.say(rig.owner(), Said::failed, 0, "told to");
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUndo)->exit, ExitCode::done);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
}

TEST(Undo, that_comes_too_late_to_end_the_attempt_hands_back) {
  Rig rig;
  rig.to_attempting();
  rig.send(UndoRequested{Rig::kUndo, {}});
  rig.activate(rig.attempt().successor);
  EXPECT_EQ(rig.attempt().kind, Kind::undo);
  EXPECT_EQ(rig.attempt().request, Rig::kUndo);
}

TEST(Undo, in_probation_keeps_the_frozen_one_until_the_new_one_is_active) {
  Rig rig;
  rig.to_probation();
  const Generation frozen = rig.attempt().predecessor;
  const Generation v2 = rig.owner();
  rig.clear();
  rig.send(UndoRequested{Rig::kUndo, {}});
  EXPECT_EQ(rig.all<Spawn>().front().launch, Rig::launch("/v1"));
  const Generation back = rig.newest();
  rig.hello(back, "1");
  EXPECT_EQ(rig.all<SendAttempt>().front().predecessor, v2);
  EXPECT_FALSE(rig.has<SendEnd>());
  EXPECT_EQ(rig.component.find(frozen)->role, Role::frozen);

  rig.activate(back);
  EXPECT_EQ(rig.all<SendEnd>().front().generation, frozen);
  rig.die(frozen, 0);
  rig.live(milliseconds(2'100));
  rig.say(v2, Said::committed);
  rig.die(v2, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::undone);
  EXPECT_EQ(rig.answer_to(Rig::kUndo)->exit, ExitCode::done);
  EXPECT_TRUE(rig.component.previous().empty());
}

TEST(Undo, right_after_the_commit_waits_for_it) {
  Rig rig;
  rig.to_committing();
  const Generation predecessor = rig.attempt().predecessor;
  rig.send(UndoRequested{Rig::kUndo, {}});
  EXPECT_TRUE(rig.has<ShowQueued>());
  rig.say(predecessor, Said::committed);
  EXPECT_EQ(rig.attempt().kind, Kind::undo);
}

TEST(HandBack, that_fails_leaves_the_new_version_serving_and_says_so) {
  Rig rig;
  rig.to_hand_back();
  const Generation v2 = rig.owner();
  for (int tries = 0; tries < 10 && rig.component.undone(); ++tries) {
    const Generation back = rig.newest();
    rig.hello(back, "1");
    rig.say(v2, Said::failed, static_cast<std::uint64_t>(-SEGUE_REFUSED), "no version fits");
    rig.die(back, 0);
  }
  EXPECT_EQ(rig.answer_to(Rig::kUndo)->exit, ExitCode::failed);
  EXPECT_EQ(rig.component.phase(), Phase::committing);
  const Generation predecessor = rig.attempt().predecessor;
  rig.say(predecessor, Said::committed);
  rig.die(predecessor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text,
              HasSubstr("handing back failed: no version fits"));
  EXPECT_EQ(rig.owner(), v2);
}

TEST(HandBack, while_the_owner_dies_lets_the_frozen_one_reclaim) {
  Rig rig;
  rig.to_hand_back();
  const Generation v2 = rig.owner();
  const Generation frozen = rig.attempt().carried;
  const Generation back = rig.newest();
  rig.hello(back, "1");
  rig.die(v2);
  EXPECT_EQ(rig.component.phase(), Phase::recovering);
  rig.reclaim(frozen);
  EXPECT_EQ(rig.owner(), frozen);
  EXPECT_EQ(rig.answer_to(Rig::kUndo)->exit, ExitCode::done);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::undone);
  EXPECT_EQ(rig.all<Signal>().front().generation, back) << "who was to take over is not needed";
}

TEST(HandBack, whose_new_instance_dies_in_probation_says_that_the_old_owner_stays) {
  Rig rig;
  rig.to_hand_back();
  const Generation v2 = rig.owner();
  const Generation back = rig.newest();
  rig.hello(back, "1");
  rig.activate(back);
  rig.die(back);
  rig.reclaim(v2);
  EXPECT_EQ(rig.owner(), v2);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  EXPECT_EQ(rig.answer_to(Rig::kUndo)->exit, ExitCode::undone);
  EXPECT_EQ(rig.component.previous().back().launch, Rig::launch("/v1"));
}

// ---- Health and votes

control::AttemptOptions with_health() {
  control::AttemptOptions options;
  options.health_cmd = "check";
  return options;
}

TEST(Health, is_checked_again_and_again_and_decides_the_commit) {
  Rig rig;
  rig.to_probation(with_health());
  for (int check = 0; check < 4; ++check) {
    ASSERT_EQ(rig.all<CheckHealth>().size(), static_cast<std::size_t>(check + 1));
    rig.send(HealthChecked{rig.attempt().id, true, "fine"});
    rig.live(Component::kHealthInterval);
  }
  rig.send(HealthChecked{rig.attempt().id, true, "fine"});
  rig.live(milliseconds(100));
  EXPECT_EQ(rig.component.phase(), Phase::committing);
}

TEST(Health, that_is_bad_once_is_looked_at_again_and_twice_is_handed_back) {
  Rig rig;
  rig.to_probation(with_health());
  rig.send(HealthChecked{rig.attempt().id, false, "exited with 1"});
  EXPECT_EQ(rig.component.phase(), Phase::probation);
  rig.live(Component::kHealthInterval);
  rig.send(HealthChecked{rig.attempt().id, false, "exited with 1"});
  EXPECT_EQ(rig.attempt().kind, Kind::undo);
  EXPECT_EQ(rig.attempt().options.probation_ms, 0U);
  EXPECT_THAT(rig.component.undone()->why, HasSubstr("exited with 1"));
}

TEST(Health, without_an_answer_is_never_committed) {
  Rig rig;
  rig.to_probation(with_health());
  rig.live(seconds(5));
  EXPECT_EQ(rig.component.phase(), Phase::probation);
}

TEST(Vote, against_itself_hands_back) {
  Rig rig;
  rig.to_probation();
  rig.say(rig.owner(), Said::vote, 0, "cache is cold");
  EXPECT_EQ(rig.attempt().kind, Kind::undo);
  EXPECT_THAT(rig.component.undone()->why, HasSubstr("cache is cold"));
}

TEST(Vote, where_required_is_waited_for_and_its_lack_hands_back) {
  control::AttemptOptions options;
  options.vote = true;
  Rig rig;
  rig.to_probation(options);
  rig.live(seconds(10));
  EXPECT_EQ(rig.component.phase(), Phase::probation);
  Rig other;
  other.to_probation(options);
  other.live(seconds(10));
  other.say(other.owner(), Said::vote, 1);
  EXPECT_EQ(other.component.phase(), Phase::committing);
  rig.live(Component::kVoteLimit);
  EXPECT_EQ(rig.attempt().kind, Kind::undo);
}

TEST(Vote, of_the_predecessor_does_not_count) {
  Rig rig;
  rig.to_probation();
  rig.say(rig.attempt().predecessor, Said::vote, 0, "me again");
  EXPECT_EQ(rig.attempt().kind, Kind::upgrade);
}

// ---- Deaths in an attempt

TEST(Death, of_the_successor_in_probation_lets_the_predecessor_reclaim) {
  Rig rig;
  rig.to_recovering();
  const Generation predecessor = rig.attempt().predecessor;
  EXPECT_FALSE(rig.has<Vacate>());
  rig.reclaim(predecessor);
  EXPECT_EQ(rig.owner(), predecessor);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::undone);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("v2 was killed by signal 9"));
}

TEST(Death, of_everybody_starts_the_program_that_was_last_committed) {
  Rig rig;
  rig.to_recovering();
  rig.die(rig.attempt().predecessor);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  rig.clear();
  rig.advance(milliseconds(100));
  EXPECT_EQ(rig.all<Spawn>().front().launch, Rig::launch("/v1"));
}

TEST(Death, of_the_successor_with_a_predecessor_that_stays_silent_ends_in_a_restart) {
  Rig rig;
  rig.to_recovering();
  const Generation predecessor = rig.attempt().predecessor;
  rig.live(seconds(7));
  EXPECT_EQ(rig.all<Signal>().back().generation, predecessor);
  EXPECT_TRUE(rig.has<Vacate>());
}

TEST(Death, of_the_predecessor_after_it_sent_everything_lets_the_successor_inherit) {
  Rig rig;
  rig.to_attempting();
  const Generation predecessor = rig.owner();
  const Generation successor = rig.attempt().successor;
  rig.die(predecessor);
  EXPECT_EQ(rig.component.phase(), Phase::recovering);
  rig.activate(successor);
  EXPECT_EQ(rig.component.phase(), Phase::committing) << "there is nothing to go back to";
  rig.say(successor, Said::committed);
  EXPECT_EQ(rig.owner(), successor);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::done);
}

TEST(Death, of_the_predecessor_too_early_fails_the_attempt_and_starts_it_again) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.die(rig.owner());
  rig.say(successor, Said::failed, 0, "the predecessor died");
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  EXPECT_EQ(rig.all<Signal>().front().generation, successor);
}

TEST(Death, of_the_owner_before_the_successor_was_told_is_an_ordinary_crash) {
  Rig rig;
  rig.to_preparing();
  rig.die(rig.owner());
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
}

TEST(Death, of_the_frozen_predecessor_commits) {
  Rig rig;
  rig.to_probation();
  rig.die(rig.attempt().predecessor);
  EXPECT_EQ(rig.component.phase(), Phase::committing);
}

TEST(Death, of_the_frozen_predecessor_while_committing_is_the_commit) {
  Rig rig;
  rig.to_committing();
  rig.die(rig.attempt().predecessor, 0);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::done);
}

// ---- Words out of order

TEST(Order, a_commit_that_is_heard_before_the_activation_counts_if_the_page_agrees) {
  Rig rig;
  rig.to_attempting();
  const Generation predecessor = rig.owner();
  const Generation successor = rig.attempt().successor;
  rig.say(predecessor, Said::committed);
  EXPECT_EQ(rig.component.phase(), Phase::attempting) << "the page names the predecessor";
  rig.page = {2, false, successor};
  rig.say(predecessor, Said::committed);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
  EXPECT_EQ(rig.owner(), successor);
}

TEST(Order, a_reclaim_that_is_heard_before_the_activation_is_the_outcome) {
  Rig rig;
  rig.to_attempting();
  const Generation predecessor = rig.owner();
  rig.reclaim(predecessor);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
  EXPECT_EQ(rig.owner(), predecessor);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::undone);
}

TEST(Order, an_activation_wins_over_an_abort_that_was_too_late) {
  Rig rig;
  control::AttemptOptions options;
  options.timeout_ms = 1'000;
  rig.to_attempting(options);
  rig.advance(seconds(1));
  ASSERT_EQ(rig.component.phase(), Phase::aborting);
  ASSERT_FALSE(rig.attempt().why.empty());
  rig.activate(rig.attempt().successor);
  EXPECT_EQ(rig.component.phase(), Phase::probation);
  EXPECT_EQ(rig.attempt().why, "") << "it is not what this upgrade came to";
}

TEST(Order, an_abort_that_nobody_answers_looks_at_the_page_before_it_kills) {
  Rig rig;
  rig.to_attempting();
  const Generation successor = rig.attempt().successor;
  rig.say(successor, Said::round_begun);
  rig.send(UndoRequested{Rig::kUndo, {}});
  rig.page = {2, false, successor};
  rig.advance(Component::kAbortLimit);
  EXPECT_EQ(rig.owner(), successor);
  EXPECT_FALSE(rig.has<Signal>());
}

TEST(Order, a_commit_without_the_keepers_word_is_accepted) {
  Rig rig;
  rig.to_probation();
  rig.say(rig.attempt().predecessor, Said::committed);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
  EXPECT_TRUE(rig.stepped("attempt.committed_unasked"));
}

TEST(Fault, before_the_activation_ends_the_attempt_and_in_probation_hands_back) {
  Rig rig;
  rig.to_attempting();
  rig.send(FaultInjected{"background"});
  EXPECT_EQ(rig.component.phase(), Phase::aborting);
  Rig other;
  other.to_probation();
  other.send(FaultInjected{"probation"});
  EXPECT_EQ(other.attempt().kind, Kind::undo);
}

// ---- What an older version cannot hold

LossReport one_loss() {
  LossReport report;
  report.known = true;
  report.losses.push_back({LossKind::dropped, "keys", "kv.entry", 3, 2, 14, "longest rest", 9});
  return report;
}

HelloReceived hello_of(Generation generation, LossReport losses) {
  HelloReceived hello{generation, 1, 1, "kv", "2"};
  hello.losses = std::move(losses);
  return hello;
}

TEST(Losses, are_refused_before_the_handoff_begins_where_that_was_asked_for) {
  Rig rig;
  control::AttemptOptions options;
  options.refuse_loss = true;
  rig.to_preparing(options);
  const Generation successor = rig.newest();
  rig.send(hello_of(successor, one_loss()));
  EXPECT_TRUE(rig.all<SendAttempt>().empty());
  rig.die(successor, 0);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::refused);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("'longest rest' (9 records)"));
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(Losses, that_are_not_known_are_refused_likewise) {
  Rig rig;
  control::AttemptOptions options;
  options.refuse_loss = true;
  rig.to_preparing(options);
  rig.send(hello_of(rig.newest(), {}));
  EXPECT_TRUE(rig.all<SendAttempt>().empty());
}

TEST(Losses, do_not_hold_up_who_did_not_ask_for_it) {
  Rig rig;
  rig.to_preparing();
  rig.send(hello_of(rig.newest(), one_loss()));
  EXPECT_EQ(rig.all<SendAttempt>().size(), 1U);
  EXPECT_EQ(rig.attempt().losses.losses.size(), 1U);
}

// ---- What the predecessor does when its successor crashed

TEST(OnCrash, what_the_predecessor_says_of_itself_is_the_aftermath) {
  for (const auto& [how, text] :
       {std::pair("", "as it was when it was frozen"), std::pair("replayed", "has done again"),
        std::pair("arenas", "with its arenas as they were left")}) {
    Rig rig;
    rig.to_recovering();
    const Generation predecessor = rig.attempt().predecessor;
    rig.send(ProgressReceived{
        predecessor, rig.attempt().id, {.phase = SEGUE_PHASE_ENDED, .closed_on_reclaim = 3}});
    rig.page = {rig.page.epoch + 1, false, predecessor};
    rig.say(predecessor, Said::resumed, SEGUE_RESUME_RECLAIMED, how);
    EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::undone);
    EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr(text));
    EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("3 connections closed"));
  }
}

TEST(OnCrash, a_predecessor_that_ends_instead_is_started_again) {
  Rig rig;
  rig.to_recovering();
  const Generation predecessor = rig.attempt().predecessor;
  rig.say(predecessor, Said::failed, 0, "the successor died");
  EXPECT_EQ(rig.component.phase(), Phase::recovering);
  rig.die(predecessor, 0);
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  EXPECT_EQ(rig.answer_to(Rig::kUpgrade)->exit, ExitCode::failed);
  EXPECT_THAT(rig.answer_to(Rig::kUpgrade)->text, HasSubstr("started again, without its state"));
  rig.advance(std::chrono::milliseconds(200));
  EXPECT_EQ(rig.all<Spawn>().back().launch.argv.front(), "/v1");
}

}  // namespace
}  // namespace segue::keeper
