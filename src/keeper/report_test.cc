// SPDX-License-Identifier: Apache-2.0
#include "keeper/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "keeper/component_rig.h"
#include "keeper/outcome_text.h"

namespace segue::keeper {
namespace {

using control::ExitCode;
using std::chrono::milliseconds;
using testing::EndsWith;
using testing::HasSubstr;

Attempt an_attempt() {
  Attempt attempt;
  attempt.id = 3;
  attempt.from = "1";
  attempt.to = "2";
  attempt.launch.argv = {"/v2"};
  attempt.activated = MonotonicTime(milliseconds(50));
  attempt.committed = MonotonicTime(milliseconds(2'050));
  attempt.ended = MonotonicTime(milliseconds(2'070));
  attempt.predecessor_gone = milliseconds(20);
  attempt.blackout_ns = 80'000;
  attempt.from_progress = {.rounds = 3, .records = 9, .fds = 1'001, .connections = 1'000};
  attempt.to_progress = {.records = 9, .connections = 1'000};
  attempt.outcome = Outcome::done;
  return attempt;
}

// ---- Texts

TEST(OutcomeText, of_an_upgrade_is_one_line_with_its_figures) {
  EXPECT_EQ(outcome_text("respkv", an_attempt()),
            "upgraded respkv v1 → v2: blackout 0.08 ms, 1,000 connections moved, 0 lost, 3 rounds, "
            "predecessor gone after 0.02 s");
}

TEST(OutcomeText, counts_connections_that_did_not_arrive) {
  Attempt attempt = an_attempt();
  attempt.to_progress.connections = 990;
  EXPECT_EQ(connections_lost(attempt), 10U);
  attempt.to_progress.connections = 1'005;  // new ones
  EXPECT_EQ(connections_lost(attempt), 0U);
}

TEST(OutcomeText, of_each_outcome_says_what_serves_and_has_its_exit_code) {
  Attempt attempt = an_attempt();
  attempt.why = "because";
  attempt.aftermath = "v1 goes on";
  const auto expect = [&](Outcome outcome, std::string_view text, ExitCode exit) {
    attempt.outcome = outcome;
    EXPECT_EQ(outcome_text("kv", attempt), text);
    EXPECT_EQ(exit_code_of(attempt), exit);
  };
  expect(Outcome::failed, "kv was not upgraded v1 → v2: because; v1 goes on", ExitCode::failed);
  expect(Outcome::refused, "kv was not upgraded v1 → v2: because; nothing was touched",
         ExitCode::refused);
  expect(Outcome::undone, "kv v1 → v2 was undone: because; v1 goes on", ExitCode::undone);
  attempt.tries = 3;
  expect(Outcome::failed, "kv was not upgraded v1 → v2 in 3 tries: because; v1 goes on",
         ExitCode::failed);
  attempt.timed_out = true;
  attempt.outcome = Outcome::failed;
  EXPECT_EQ(exit_code_of(attempt), ExitCode::unknown);
}

TEST(OutcomeText, of_a_rehearsal_and_of_an_undo) {
  Attempt attempt = an_attempt();
  attempt.kind = Kind::rehearse;
  EXPECT_EQ(
      outcome_text("kv", attempt),
      "rehearsed kv v1 → v2: 9 records and 1,001 descriptors read alike on both sides; nothing "
      "was changed");
  attempt.kind = Kind::undo;
  EXPECT_THAT(outcome_text("kv", attempt), HasSubstr("handed back kv v1 → v2: blackout 0.08 ms"));
}

// ---- JSON

TEST(Report, times_are_utc_with_milliseconds) {
  EXPECT_EQ(utc_text(base::RealTime(milliseconds(1'700'000'000'123))), "2023-11-14T22:13:20.123Z");
}

TEST(Report, an_attempt_has_its_figures_and_null_where_there_is_none) {
  Attempt attempt = an_attempt();
  const Now now{MonotonicTime(milliseconds(3'000)),
                base::RealTime(milliseconds(1'700'000'003'000))};
  std::string json = attempt_json(attempt, now);
  for (const char* part :
       {R"("id":3,"kind":"upgrade","outcome":"done","from":"1","to":"2")", R"("rounds":3)",
        R"("connections_moved":1000,"connections_lost":0)", R"("blackout_ns":80000)",
        R"("began":"2023-11-14T22:13:20.000Z","duration_ms":2070)", R"("activated_ms":50)",
        R"("committed_ms":2050)", R"("predecessor_gone_s":0.02)"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
  attempt.activated.reset();
  attempt.predecessor_gone.reset();
  json = attempt_json(attempt, now);
  EXPECT_THAT(json, HasSubstr(R"("activated_ms":null)"));
  EXPECT_THAT(json, HasSubstr(R"("predecessor_gone_s":null)"));
  EXPECT_THAT(json, HasSubstr(R"("connections_moved":0)"));
}

TEST(Report, numbers_of_steps_are_numbers_and_versions_are_text) {
  const Step step{
      "instance.hello", {{"generation", "4"}, {"version", "2"}, {"reason", "x"}}, false};
  EXPECT_EQ(step_json(step, 7, {{}, base::RealTime(milliseconds(1'700'000'000'000))}),
            R"({"n":7,"at":"2023-11-14T22:13:20.000Z","event":"instance.hello",)"
            R"("generation":4,"version":"2","reason":"x"})");
}

TEST(Report, the_status_of_a_serving_component) {
  Rig rig;
  rig.to_serving();
  const std::string json =
      status_json(rig.component, {.keeper_pid = 9, .epoch = 1, .listeners = {"main"}},
                  {rig.now, base::RealTime()});
  for (const char* part :
       {R"("name":"kv","phase":"serving")",
        R"("service":"kv","version":"1","generation":1,"pid":1001)",
        R"("old_processes":0,"keeper_pid":9)", R"("previous":null,"listeners":["main"])",
        R"("instances":[{"generation":1,"role":"serving")", R"("attempt":null})"}) {
    EXPECT_THAT(json, HasSubstr(part));
  }
}

TEST(Report, the_status_in_every_phase_is_an_object) {
  for (auto enter :
       {&Rig::to_starting, &Rig::to_backoff, &Rig::to_aborting, &Rig::to_retrying,
        &Rig::to_committing, &Rig::to_recovering, &Rig::to_hand_back, &Rig::to_stopped}) {
    Rig rig;
    (rig.*enter)();
    const std::string json = status_json(rig.component, {}, {rig.now, base::RealTime()});
    EXPECT_EQ(json.front(), '{');
    EXPECT_EQ(json.back(), '}');
  }
}

TEST(Report, replies_wrap_what_was_written_before) {
  EXPECT_EQ(wrapped_reply("event", R"({"n":1})"), R"({"event":{"n":1}})");
  EXPECT_EQ(last_reply_with("status", "{}"), R"({"done":true,"exit":0,"status":{}})");
  EXPECT_EQ(last_reply("kv", ExitCode::refused, "no", nullptr, {}),
            R"({"done":true,"exit":4,"name":"kv","text":"no"})");
  EXPECT_EQ(queued_reply("x \"y\""), R"({"queued":"x \"y\""})");
  const Attempt attempt = an_attempt();
  EXPECT_THAT(last_reply("kv", ExitCode::done, "yes", &attempt, {}), EndsWith("}}"));
}

}  // namespace
}  // namespace segue::keeper
