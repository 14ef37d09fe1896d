// SPDX-License-Identifier: Apache-2.0

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "keeper/contract/program_rig.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::HasSubstr;

TEST(ProgramComponent, serves_when_the_program_says_ready) {
  ProgramRig rig("listeners");
  rig.to_serving();
  EXPECT_EQ(rig.answer_to(kRun)->exit, ExitCode::done);
  EXPECT_EQ(rig.component.owner(), 1U);
}

TEST(ProgramComponent, accepting_on_every_socket_is_a_sign_of_readiness) {
  ProgramRig rig("listeners");
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.advance(milliseconds(100));
  EXPECT_GE(rig.orders<ProgramOrder::LookAccepting>(), 3U);
  rig.send(ProgramTold{1, ProgramTold::Accepting{}});
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(ProgramComponent, strict_readiness_takes_no_other_sign) {
  ProgramRig rig("listeners", {.ready = "notify"});
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.send(ProgramTold{1, ProgramTold::Accepting{}});
  rig.advance(seconds(5));
  EXPECT_EQ(rig.component.phase(), Phase::starting);
  rig.ready(1);
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(ProgramComponent, one_that_is_never_ready_is_killed_and_the_answer_says_what_is_missing) {
  ProgramRig rig("listeners");
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.advance(seconds(31));
  EXPECT_EQ(rig.answer_to(kRun)->exit, ExitCode::failed);
  EXPECT_THAT(rig.text_of(kRun), HasSubstr("READY=1"));
  EXPECT_THAT(rig.signals_to(1), testing::Contains(SIGKILL));
}

TEST(ProgramComponent, extended_starts_wait_longer) {
  ProgramRig rig("listeners");
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.advance(seconds(29));
  Notice more;
  more.extend_timeout = seconds(20);
  rig.tell(1, more);
  rig.advance(seconds(10));
  EXPECT_EQ(rig.component.phase(), Phase::starting);
  rig.advance(seconds(11));
  EXPECT_NE(rig.component.phase(), Phase::starting);
}

// ---- listeners

TEST(ProgramComponent, listeners_stop_the_old_one_after_the_probation) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  EXPECT_TRUE(rig.signals_to(1).empty());
  rig.ready(2);
  EXPECT_EQ(rig.component.phase(), Phase::probation);
  EXPECT_TRUE(rig.signals_to(1).empty()) << "both serve";
  rig.advance(milliseconds(2'001));
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGTERM));
  rig.count(1, 9);
  rig.count(1, 2);
  rig.die(1);
  const auto answer = rig.answer_to(kUpgrade);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->exit, ExitCode::done);
  EXPECT_EQ(answer->attempt->drained, 7U);
  EXPECT_EQ(answer->attempt->cut, 2U);
  EXPECT_THAT(answer->text, HasSubstr("at most 2 were cut"));
}

TEST(ProgramComponent, listeners_end_what_is_left_at_the_drain_limit) {
  ProgramRig rig("listeners", {.stop_signal = "QUIT", .drain_ms = 10'000});
  rig.to_serving();
  rig.upgrade();
  rig.ready(2);
  rig.advance(milliseconds(2'001));
  rig.count(1, 5);
  rig.advance(seconds(13));
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGQUIT, SIGTERM, SIGKILL));
  rig.die(1, SIGKILL);
  EXPECT_EQ(rig.answer_to(kUpgrade)->attempt->cut, 5U);
  EXPECT_THAT(rig.text_of(kUpgrade), HasSubstr("5 were cut at the limit of 10.0 s"));
}

TEST(ProgramComponent, listeners_cut_no_more_than_the_rate_allows) {
  ProgramRig rig("listeners", {.drain_ms = 1'000, .reconnect_per_second = 4});
  rig.to_serving();
  rig.upgrade();
  rig.ready(2);
  rig.advance(milliseconds(2'001));
  rig.count(1, 10);
  rig.advance(milliseconds(1'001));
  EXPECT_EQ(rig.orders<ProgramOrder::Cut>(), 1U);
  rig.send(ProgramTold{1, ProgramTold::Cut{4, 6}});
  rig.advance(milliseconds(999));
  EXPECT_EQ(rig.orders<ProgramOrder::Cut>(), 1U);
  rig.advance(milliseconds(1));
  EXPECT_EQ(rig.orders<ProgramOrder::Cut>(), 2U);
  rig.send(ProgramTold{1, ProgramTold::Cut{4, 2}});
  rig.advance(seconds(1));
  rig.send(ProgramTold{1, ProgramTold::Cut{2, 0}});
  rig.die(1);
  EXPECT_EQ(rig.answer_to(kUpgrade)->attempt->cut, 10U);
}

TEST(ProgramComponent, listeners_go_on_with_the_old_one_when_the_new_one_dies) {
  for (const bool in_probation : {false, true}) {
    ProgramRig rig("listeners");
    rig.to_serving();
    rig.upgrade();
    if (in_probation) rig.ready(2);
    rig.die(2, SIGSEGV);
    EXPECT_EQ(rig.answer_to(kUpgrade)->exit, in_probation ? ExitCode::undone : ExitCode::failed);
    EXPECT_EQ(rig.component.owner(), 1U);
    EXPECT_EQ(rig.component.phase(), Phase::serving);
    EXPECT_TRUE(rig.signals_to(1).empty());
  }
}

TEST(ProgramComponent, listeners_undo_in_probation_ends_the_new_one) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.ready(2);
  rig.send(UndoRequested{kUndo, {}});
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::undone);
  EXPECT_EQ(rig.answer_to(kUndo)->exit, ExitCode::done);
  EXPECT_THAT(rig.signals_to(2), testing::ElementsAre(SIGTERM));
  EXPECT_EQ(rig.component.owner(), 1U);
}

TEST(ProgramComponent, listeners_undo_afterwards_starts_the_previous_program) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.ready(2);
  rig.advance(seconds(3));
  rig.die(1);
  rig.send(UndoRequested{kUndo, {}});
  EXPECT_EQ(rig.all<Spawn>().back().launch.argv.front(), "/bin/v1");
  rig.ready(3);
  rig.advance(seconds(3));
  rig.die(2);
  EXPECT_EQ(rig.answer_to(kUndo)->exit, ExitCode::done);
  EXPECT_TRUE(rig.component.previous().empty());
}

TEST(ProgramComponent, a_bad_health_check_in_probation_takes_it_back) {
  ProgramRig rig("listeners");
  rig.to_serving();
  control::AttemptOptions options;
  options.health_cmd = "false";
  rig.upgrade(options);
  rig.ready(2);
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(rig.all<CheckHealth>().size(), static_cast<std::size_t>(i + 1));
    EXPECT_EQ(rig.all<CheckHealth>().back().generation, 2U);
    rig.send(HealthChecked{1, false, "no"});
    rig.advance(milliseconds(501));
  }
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::undone);
  EXPECT_EQ(rig.component.owner(), 1U);
}

// ---- restart

TEST(ProgramComponent, restart_starts_the_new_one_when_the_old_one_has_ended) {
  ProgramRig rig("restart");
  rig.to_serving();
  rig.upgrade();
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGTERM));
  EXPECT_EQ(rig.all<Spawn>().size(), 1U);
  rig.advance(milliseconds(300));
  rig.die(1);
  EXPECT_EQ(rig.all<Spawn>().size(), 2U);
  rig.advance(milliseconds(200));
  rig.ready(2);
  rig.advance(seconds(3));
  const auto answer = rig.answer_to(kUpgrade);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->exit, ExitCode::done);
  EXPECT_EQ(answer->attempt->blackout_ns, 500'000'000U);
  EXPECT_THAT(answer->text, HasSubstr("new connections waited and were not refused"));
}

TEST(ProgramComponent, restart_goes_back_to_the_old_program) {
  for (const bool was_ready : {false, true}) {
    ProgramRig rig("restart");
    rig.to_serving();
    rig.upgrade();
    rig.die(1);
    if (was_ready) rig.ready(2);
    rig.die(2, SIGSEGV);
    ASSERT_EQ(rig.newest(), 3U);
    EXPECT_EQ(rig.all<Spawn>().back().launch.argv.front(), "/bin/v1");
    rig.ready(3);
    EXPECT_EQ(rig.answer_to(kUpgrade)->exit, was_ready ? ExitCode::undone : ExitCode::failed);
    EXPECT_THAT(rig.text_of(kUpgrade), HasSubstr("serves again"));
    EXPECT_EQ(rig.component.owner(), 3U);
  }
}

TEST(ProgramComponent, restart_undone_while_the_old_one_stops_starts_it_again) {
  ProgramRig rig("restart");
  rig.to_serving();
  rig.upgrade();
  rig.send(UndoRequested{kUndo, {}});
  rig.die(1);
  EXPECT_EQ(rig.all<Spawn>().back().launch.argv.front(), "/bin/v1");
  rig.ready(rig.newest());
  EXPECT_EQ(rig.answer_to(kUndo)->exit, ExitCode::done);
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::failed);
}

TEST(ProgramComponent, restart_goes_on_starting_the_old_program_when_that_fails_too) {
  ProgramRig rig("restart");
  rig.to_serving();
  rig.upgrade();
  rig.die(1);
  rig.die(2, SIGSEGV);
  rig.die(3, SIGSEGV);
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::failed);
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  rig.advance(seconds(1));
  EXPECT_EQ(rig.all<Spawn>().back().launch.argv.front(), "/bin/v1");
  rig.ready(rig.newest());
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

// ---- signal

control::ContractOptions nginx() {
  return {.stop_signal = "QUIT",
          .upgrade_signal = "USR2",
          .new_pid = "/run/nginx.pid",
          .retire_signal = "WINCH",
          .resume_signal = "HUP"};
}

void start_nginx(ProgramRig& rig) {
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.send(Spawned{1, 1'001});
  rig.advance(milliseconds(1'100));
  ASSERT_EQ(rig.component.phase(), Phase::serving);
}

TEST(ProgramComponent, signal_follows_the_new_main_process) {
  ProgramRig rig("signal", nginx());
  start_nginx(rig);
  rig.upgrade();
  EXPECT_EQ(rig.orders<ProgramOrder::PlaceBinary>(), 1U);
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGUSR2));
  rig.advance(milliseconds(60));
  EXPECT_GE(rig.orders<ProgramOrder::LookNewMain>(), 2U);
  rig.send(ProgramTold{1, ProgramTold::NewMain{5'000}});
  rig.advance(milliseconds(1'100));
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGUSR2, SIGWINCH));
  rig.advance(milliseconds(2'001));
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGUSR2, SIGWINCH, SIGQUIT));
  rig.die(1);
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::done);
  EXPECT_EQ(rig.component.find(rig.component.owner())->pid, 5'000);
}

TEST(ProgramComponent, signal_lets_the_old_one_accept_again_when_the_new_one_dies) {
  ProgramRig rig("signal", nginx());
  start_nginx(rig);
  rig.upgrade();
  rig.send(ProgramTold{1, ProgramTold::NewMain{5'000}});
  rig.advance(milliseconds(1'100));
  rig.die(2, SIGSEGV);
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGUSR2, SIGWINCH, SIGHUP));
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::undone);
}

TEST(ProgramComponent, signal_follows_a_daemon_into_the_background) {
  ProgramRig rig("signal", nginx());
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.send(Spawned{1, 1'001});
  rig.die(1);
  rig.advance(milliseconds(100));
  EXPECT_EQ(rig.component.phase(), Phase::starting);
  EXPECT_GE(rig.orders<ProgramOrder::LookNewMain>(), 3U);
  rig.send(ProgramTold{1, ProgramTold::NewMain{5'000}});
  EXPECT_EQ(rig.orders<ProgramOrder::Adopt>(), 1U);
  rig.send(Spawned{1, 5'000});
  rig.advance(milliseconds(1'100));
  EXPECT_EQ(rig.component.phase(), Phase::serving);
}

TEST(ProgramComponent, signal_gives_up_a_daemon_that_never_shows) {
  ProgramRig rig("signal", nginx());
  rig.send(RunRequested{kRun, {{"/bin/v1"}, "/", {}}});
  rig.die(1);
  rig.advance(seconds(31));
  EXPECT_EQ(rig.answer_to(kRun)->exit, ExitCode::failed);
  EXPECT_EQ(rig.all<Leave>().size(), 1U);
}

TEST(ProgramComponent, signal_refuses_other_arguments) {
  ProgramRig rig("signal", nginx());
  start_nginx(rig);
  rig.send(UpgradeRequested{kUpgrade, Kind::upgrade, {{"/bin/v2", "-x"}, "/", {}}, {}});
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::refused);
}

// ---- Crashes, hangs, the end

TEST(ProgramComponent, a_crash_is_followed_by_a_start) {
  ProgramRig rig("fdstore");
  rig.to_serving();
  rig.die(1, SIGSEGV);
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
  rig.advance(milliseconds(150));
  EXPECT_EQ(rig.newest(), 2U);
}

TEST(ProgramComponent, one_that_stops_pinging_is_aborted_then_killed) {
  ProgramRig rig("listeners", {.watchdog_ms = 1'000});
  rig.to_serving();
  Notice ping;
  ping.watchdog = Notice::Watchdog::ping;
  for (int i = 0; i < 5; ++i) {
    rig.advance(milliseconds(900));
    rig.tell(1, ping);
  }
  EXPECT_TRUE(rig.signals_to(1).empty());
  rig.advance(milliseconds(1'001));
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGABRT));
  rig.advance(seconds(3));
  EXPECT_THAT(rig.signals_to(1), testing::ElementsAre(SIGABRT, SIGKILL));
  rig.die(1, SIGKILL);
  EXPECT_EQ(rig.component.phase(), Phase::backoff);
}

TEST(ProgramComponent, stop_ends_every_instance_and_then_the_keeper) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.send(StopRequested{kStop});
  EXPECT_EQ(rig.answer_to(kUpgrade)->exit, ExitCode::failed);
  EXPECT_FALSE(rig.signals_to(1).empty() || rig.signals_to(2).empty());
  rig.die(2);
  EXPECT_FALSE(rig.answer_to(kStop));
  rig.die(1);
  EXPECT_EQ(rig.answer_to(kStop)->exit, ExitCode::done);
  EXPECT_EQ(rig.all<Leave>().size(), 1U);
}

TEST(ProgramComponent, a_second_upgrade_is_refused_or_waits) {
  ProgramRig rig("listeners");
  rig.to_serving();
  rig.upgrade();
  rig.send(UpgradeRequested{kStop, Kind::upgrade, {{"/bin/v3"}, "/", {}}, {}});
  EXPECT_EQ(rig.answer_to(kStop)->exit, ExitCode::refused);
}

}  // namespace
}  // namespace segue::keeper
