// SPDX-License-Identifier: Apache-2.0
#include "builder/step.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "builder/test_loop.h"
#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::builder {
namespace {

using testing::HasSubstr;

class StepTest : public testing::Test {
 protected:
  StepTest() { EXPECT_TRUE(os::adopt_orphans()); }

  StepOptions shell(const std::string& script) {
    return {.argv = {"/bin/sh", "-c", script},
            .env = {"PATH=/usr/bin:/bin", "HOME=" + folder_.path()},
            .cwd = folder_.path(),
            .log = folder_.path("log"),
            .is_guarded = true};
  }

  StepEnd run(StepOptions options) {
    std::optional<StepEnd> end;
    Step step(here_.loop, here_.clock, others_);
    const auto started = step.start(std::move(options), [&](StepEnd got) { end = std::move(got); });
    EXPECT_TRUE(started) << started.error().to_string();
    EXPECT_TRUE(here_.run_until([&] { return end.has_value(); }));
    EXPECT_TRUE(others_.empty());
    EXPECT_TRUE(os::processes_below(::getpid(), {})->empty()) << "something was left";
    return end.value_or(StepEnd{});
  }

  std::string log() { return os::read_file(folder_.path("log"), 1U << 20U).value_or(""); }

  os::TempDirectory folder_;
  TestLoop here_;
  std::set<pid_t> others_;
};

TEST_F(StepTest, runs_in_its_folder_with_its_environment_and_logs_what_it_prints) {
  const auto end = run(shell("pwd; echo oops >&2; echo \"$HOME$USER\"; read line || echo none"));
  EXPECT_TRUE(end.good) << end.why;
  EXPECT_EQ(log(), folder_.path() + "\noops\n" + folder_.path() + "\nnone\n");
  EXPECT_EQ(end.last_line, "none");
  EXPECT_EQ(end.log_bytes, log().size());
}

TEST_F(StepTest, says_how_it_failed) {
  const auto end = run(shell("printf '\\033broken\\n'; exit 3"));
  EXPECT_FALSE(end.good);
  EXPECT_EQ(end.exit_code, 3);
  EXPECT_EQ(end.why, "exited with 3");
  EXPECT_EQ(end.last_line, "broken");
}

TEST_F(StepTest, says_what_was_fatal_to_git_rather_than_its_advice) {
  EXPECT_EQ(run(shell("echo 'fatal: no such thing'; echo 'Please check.'; exit 1")).last_line,
            "fatal: no such thing");
}

TEST_F(StepTest, captures_what_it_prints_up_to_a_bound) {
  auto options = shell("printf 'a b'; echo note >&2");
  options.capture_bytes = 3;
  auto end = run(options);
  EXPECT_TRUE(end.good);
  EXPECT_EQ(end.captured, "a b");
  EXPECT_EQ(log(), "note\n");
  options.capture_bytes = 2;
  end = run(options);
  EXPECT_FALSE(end.good);
  EXPECT_EQ(end.captured, "a ");
}

TEST_F(StepTest, is_ended_at_its_time_limit_with_all_that_it_started) {
  auto options = shell("(setsid sleep 1000 &); sleep 1000 & sleep 1000");
  options.limits.time_s = 1;
  const auto end = run(std::move(options));
  EXPECT_FALSE(end.good);
  EXPECT_TRUE(end.was_stopped);
  EXPECT_EQ(end.why, "took longer than 1 s");
}

TEST_F(StepTest, takes_what_it_leaves_behind_with_it) {
  const auto end = run(shell("(setsid sleep 1000 &) ; sleep 1000 & echo done"));
  EXPECT_TRUE(end.good) << end.why;
  EXPECT_EQ(end.last_line, "done");
}

TEST_F(StepTest, is_ended_when_it_prints_too_much) {
  auto options = shell("yes");
  options.limits.log_mib = 1;
  const auto end = run(std::move(options));
  EXPECT_FALSE(end.good);
  EXPECT_EQ(end.why, "printed more than 1 MiB");
  EXPECT_EQ(log().size(), 1U << 20U);
}

TEST_F(StepTest, is_ended_when_it_takes_too_much_memory_wherever_that_is) {
  auto options = shell(
      "python3 -c 'import time\nx = [bytearray(b\"x\") * (40 << 20)]\ntime.sleep(1000)' & wait");
  options.limits.memory_mib = 30;
  const auto end = run(std::move(options));
  EXPECT_FALSE(end.good);
  EXPECT_EQ(end.why, "used more than 30 MiB of memory");
}

TEST_F(StepTest, is_ended_when_it_has_too_many_processes) {
  auto options = shell("for i in 1 2 3 4 5 6; do sleep 1000 & done; wait");
  options.limits.processes = 4;
  const auto end = run(std::move(options));
  EXPECT_FALSE(end.good);
  EXPECT_EQ(end.why, "had more than 4 processes");
}

TEST_F(StepTest, cannot_write_a_file_beyond_its_limit) {
  auto options = shell("head -c 3000000 /dev/zero > big");
  options.limits.file_mib = 1;
  const auto end = run(std::move(options));
  EXPECT_FALSE(end.good);
  EXPECT_EQ(std::filesystem::file_size(folder_.path("big")), 1U << 20U);
}

TEST_F(StepTest, destroyed_while_it_runs_leaves_nothing) {
  {
    Step step(here_.loop, here_.clock, others_);
    ASSERT_TRUE(step.start(shell("sleep 1000 & sleep 1000"), [](const StepEnd&) { FAIL(); }));
  }
  EXPECT_TRUE(here_.run_until([] {
    const auto left = os::processes_below(::getpid(), {});
    for (const auto& process : *left) os::kill_or_reap(process);
    return left->empty();
  }));
}

TEST_F(StepTest, that_cannot_begin_says_why) {
  Step step(here_.loop, here_.clock, others_);
  auto options = shell("true");
  options.argv = {"/no/such/program"};
  const auto started = step.start(std::move(options), [](const StepEnd&) { FAIL(); });
  ASSERT_FALSE(started);
  EXPECT_THAT(started.error().to_string(), HasSubstr("/no/such/program"));
}

}  // namespace
}  // namespace segue::builder
