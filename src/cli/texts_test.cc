// SPDX-License-Identifier: Apache-2.0
// Lines for people, and the judgements of `segue doctor`.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/doctor.h"
#include "cli/progress_text.h"

namespace segue::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

const Json kAttempt = Json::parse(R"({"id":1,"kind":"upgrade","outcome":"done","from":"1","to":"2",
    "phase":"background","tries":1,"rounds":3,"records":12,"bytes":2048,"fds":1001,
    "connections_moved":1000,"connections_lost":0,"predicted_blackout_ns":250000,"blackout_ns":0,
    "frozen_max_ns":0,"began":"2026-01-31T12:00:00.000Z","duration_ms":2100.5,"activated_ms":null,
    "why":""})");

TEST(ProgressLine, shows_the_stage_the_amounts_and_the_predicted_blackout) {
  const std::string line = progress_line(kAttempt, "attempting");
  for (const char* part : {"[###....]", "background", "v1 → v2", "3 rounds", "2.0 KiB",
                           "1,001 descriptors", "blackout predicted 0.25 ms"}) {
    EXPECT_THAT(line, HasSubstr(part));
  }
}

TEST(ProgressLine, shows_the_measured_blackout_once_there_is_one) {
  Json attempt = kAttempt;
  attempt["blackout_ns"] = 80'000;
  attempt["tries"] = 2;
  const std::string line = progress_line(attempt, "probation");
  EXPECT_THAT(line, HasSubstr("blackout 0.08 ms  try 2"));
  EXPECT_NE(progress_key(attempt, "probation"), progress_key(kAttempt, "attempting"));
}

TEST(ProgressLine, bears_an_empty_object) {
  EXPECT_FALSE(progress_line(Json::object(), "").empty());
}

TEST(StatusLines, have_what_an_operator_asks_for) {
  const Json status = {{"name", "kv"},        {"phase", "attempting"}, {"version", "1"},
                       {"service", "respkv"}, {"generation", 3U},      {"pid", 42},
                       {"uptime_s", 4'000.0}, {"connections", 1'000U}, {"listeners", {"main"}},
                       {"previous", nullptr}, {"old_processes", 1U},   {"hung", true},
                       {"attempt", kAttempt}};
  std::string text;
  for (const auto& line : status_lines(status)) text += line + "\n";
  for (const char* part :
       {"kv: attempting, but it does not answer", "v1 of respkv, generation 3, pid 42",
        "1 h 06 min", "1,000", "main", "predicted 0.25 ms, measured -"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
  EXPECT_THAT(status_line(status),
              HasSubstr("kv attempting v1 generation 3 pid 42 connections 1000"));
}

TEST(HistoryLine, has_a_blackout_only_where_there_was_one) {
  EXPECT_THAT(history_line(kAttempt), Not(HasSubstr("blackout")));
  Json activated = kAttempt;
  activated["activated_ms"] = 50.0;
  activated["why"] = "the health check failed";
  EXPECT_THAT(history_line(activated),
              HasSubstr("1,000 connections, 0 lost  the health check failed"));
}

TEST(EventLine, has_time_name_and_fields) {
  const Json event = {
      {"n", 1}, {"at", "2026-01-31T12:00:00.000Z"}, {"event", "x.y"}, {"a", 1}, {"b", "c"}};
  EXPECT_EQ(event_line(event), "2026-01-31T12:00:00.000Z  x.y  a=1  b=c");
}

TEST(Doctor, judges_limits) {
  EXPECT_EQ(judge_descriptors(1'000'000, 1'000'000).health, Health::ok);
  EXPECT_EQ(judge_descriptors(1'024, 20'000).health, Health::warn);
  EXPECT_EQ(judge_descriptors(256, 512).health, Health::fail);
  EXPECT_EQ(judge_memory(std::uint64_t{8} << 30).health, Health::ok);
  EXPECT_EQ(judge_memory(1 << 20).health, Health::warn);
}

TEST(Doctor, judges_kernels_by_their_numbers) {
  EXPECT_EQ(judge_kernel("6.18.0-1-amd64").health, Health::ok);
  EXPECT_EQ(judge_kernel("6.1.0").health, Health::ok);
  EXPECT_EQ(judge_kernel("5.15.0").health, Health::warn);
  EXPECT_EQ(judge_kernel("5.9.3").health, Health::fail);
  EXPECT_EQ(judge_kernel("4.19").health, Health::fail);
  EXPECT_EQ(judge_kernel("").health, Health::fail);
}

TEST(Doctor, names_a_remedy_for_everything_that_is_wrong) {
  const auto findings = examine_host(ComponentFolders({"/proc/nowhere/segue", "/proc/nowhere"}));
  bool folder_fails = false;
  for (const auto& finding : findings) {
    EXPECT_EQ(finding.remedy.empty(), finding.health == Health::ok) << finding.what;
    folder_fails |= finding.what == "runtime directory" && finding.health == Health::fail;
  }
  EXPECT_TRUE(folder_fails);
}

}  // namespace
}  // namespace segue::cli
