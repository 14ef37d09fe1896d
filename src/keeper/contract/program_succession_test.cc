// SPDX-License-Identifier: Apache-2.0
// Whatever a keeper was doing for a program, the next one goes on with it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "keeper/contract/program_rig.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(ProgramSuccession, a_component_that_serves_serves_on_and_can_be_upgraded_and_undone) {
  for (const char* contract : {"listeners", "restart", "fdstore"}) {
    ProgramRig rig(contract);
    rig.to_serving();
    EXPECT_EQ(rig.component.why_not_at_rest(), "");
    ProgramRig next(contract);
    next.resume_from(rig);
    EXPECT_EQ(next.component.phase(), Phase::serving);
    EXPECT_EQ(next.component.owner(), 1U);
    next.upgrade({.probation_ms = 0});
    if (std::string(contract) != "listeners") next.die(1);
    next.ready(2);
    next.advance(milliseconds(1));
    EXPECT_EQ(next.component.owner(), 2U);
    EXPECT_EQ(next.component.previous().back().launch.argv.front(), "/bin/v1");
  }
}

TEST(ProgramSuccession, a_crash_under_the_next_keeper_is_repaired) {
  ProgramRig rig("listeners");
  rig.to_serving();
  ProgramRig next("listeners");
  next.resume_from(rig);
  next.die(1, SIGSEGV);
  next.advance(seconds(1));
  EXPECT_EQ(next.all<Spawn>().back().launch.argv.front(), "/bin/v1");
}

TEST(ProgramSuccession, a_start_goes_on_and_has_no_more_time_than_before) {
  for (const bool becomes_ready : {true, false}) {
    ProgramRig rig("restart");
    rig.to_serving();
    rig.die(1, SIGSEGV);
    rig.advance(seconds(1));
    ASSERT_EQ(rig.component.phase(), Phase::starting);
    rig.send(Spawned{2, 1'002});
    ProgramRig next("restart");
    next.resume_from(rig);
    EXPECT_EQ(next.component.phase(), Phase::starting);
    if (becomes_ready) {
      next.ready(2);
      EXPECT_EQ(next.component.phase(), Phase::serving);
      EXPECT_EQ(next.component.owner(), 2U);
    } else {
      next.advance(seconds(30));
      EXPECT_THAT(next.signals_to(2), testing::Contains(SIGKILL));
    }
  }
}

TEST(ProgramSuccession, an_upgrade_goes_on_where_it_stood) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.send(Spawned{2, 1'002});
  EXPECT_THAT(rig.component.why_not_at_rest(), HasSubstr("under way"));
  ProgramRig preparing("listeners");
  preparing.resume_from(rig);
  EXPECT_EQ(preparing.component.phase(), Phase::preparing);
  preparing.ready(2);
  EXPECT_EQ(preparing.component.phase(), Phase::probation);
  ProgramRig probation("listeners");
  probation.resume_from(preparing);
  EXPECT_EQ(probation.component.owner(), 2U);
  probation.advance(milliseconds(2'001));
  EXPECT_EQ(probation.component.phase(), Phase::serving);
  EXPECT_THAT(probation.signals_to(1), testing::ElementsAre(SIGTERM));
}

TEST(ProgramSuccession, an_upgrade_that_waits_for_the_old_one_starts_the_new_one_afterwards) {
  ProgramRig rig("restart");
  rig.to_serving();
  rig.upgrade();
  ASSERT_EQ(rig.component.phase(), Phase::attempting);
  rig.advance(milliseconds(200));
  ProgramRig next("restart");
  next.resume_from(rig);
  next.advance(milliseconds(100));
  next.send(Exited{1, "ended while it had no keeper", 0});
  ASSERT_EQ(next.all<Spawn>().size(), 1U);
  EXPECT_EQ(next.all<Spawn>().back().launch.argv.front(), "/bin/v2");
  next.ready(2);
  EXPECT_EQ(next.component.attempt()->blackout_ns, 300'000'000U);
}

TEST(ProgramSuccession, a_successor_that_died_without_a_keeper_is_taken_back) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.ready(2);
  ProgramRig next("listeners");
  next.resume_from(rig);
  next.send(Exited{2, "ended while it had no keeper", 0});
  EXPECT_EQ(next.component.owner(), 1U);
  ASSERT_EQ(next.all<Record>().size(), 1U);
  EXPECT_EQ(next.all<Record>().back().attempt.outcome, Outcome::undone);
}

TEST(ProgramSuccession, an_old_one_drains_no_longer_than_before_and_is_written_down) {
  ProgramRig rig("listeners", {.drain_ms = 10'000});
  rig.to_serving();
  rig.upgrade();
  rig.ready(2);
  rig.advance(milliseconds(2'001));
  rig.count(1, 5);
  rig.advance(seconds(6));
  EXPECT_THAT(rig.component.why_not_at_rest(), HasSubstr("has not ended yet"));
  ProgramRig next("listeners", {.drain_ms = 10'000});
  next.resume_from(rig);
  next.advance(seconds(3));
  EXPECT_TRUE(next.signals_to(1).empty());
  next.count(1, 2);
  next.advance(seconds(4));
  EXPECT_THAT(next.signals_to(1), testing::ElementsAre(SIGTERM, SIGKILL));
  next.die(1, SIGKILL);
  ASSERT_EQ(next.all<Record>().size(), 1U);
  const Attempt attempt = next.all<Record>().back().attempt;
  EXPECT_EQ(attempt.outcome, Outcome::done);
  EXPECT_EQ(attempt.drained, 3U);
  EXPECT_EQ(attempt.cut, 2U);
}

TEST(ProgramSuccession, a_found_contract_is_found_still) {
  ProgramRig rig("auto");
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.send(Spawned{1, 1'001});
  rig.send(ProgramTold{1, ProgramTold::Accepting{}});
  ASSERT_EQ(rig.component.settings().contract.upgrade, "listeners");
  EXPECT_TRUE(rig.component.snapshot().contract_found);
}

// ---- Leaving

TEST(ProgramSuccession, an_ejected_program_is_let_go_and_the_answer_says_what_it_costs) {
  struct Row {
    const char* contract;
    std::size_t stored;
    const char* cost;
  };
  for (const Row& row :
       {Row{"listeners", 0, "its sockets end with it"}, Row{"restart", 0, "started after its end"},
        Row{"fdstore", 3, "3 descriptors that it had stored end with it"}}) {
    ProgramRig rig(row.contract);
    rig.to_serving();
    rig.send(EjectRequested{kStop, false, row.stored});
    EXPECT_EQ(rig.answer_to(kStop)->exit, ExitCode::done);
    EXPECT_THAT(rig.text_of(kStop), HasSubstr(row.cost));
    EXPECT_EQ(rig.all<LetGo>().size(), 1U);
    EXPECT_EQ(rig.all<Leave>().size(), 1U);
    EXPECT_TRUE(rig.signals_to(1).empty());
  }
}

TEST(ProgramSuccession, what_only_the_keeper_holds_is_given_up_only_by_force) {
  ProgramRig rig("fdstore");
  rig.to_serving();
  rig.send(EjectRequested{kStop, false, 2, {"heap"}});
  EXPECT_EQ(rig.answer_to(kStop)->exit, ExitCode::refused);
  EXPECT_THAT(rig.text_of(kStop), HasSubstr("(heap)"));
  EXPECT_TRUE(rig.all<LetGo>().empty());
  rig.send(EjectRequested{kUndo, true, 2, {"heap"}});
  EXPECT_EQ(rig.answer_to(kUndo)->exit, ExitCode::done);
}

TEST(ProgramSuccession, during_an_upgrade_nothing_is_ejected) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.send(EjectRequested{kStop, true});
  EXPECT_EQ(rig.answer_to(kStop)->exit, ExitCode::refused);
  EXPECT_TRUE(rig.all<LetGo>().empty());
}

}  // namespace
}  // namespace segue::keeper
