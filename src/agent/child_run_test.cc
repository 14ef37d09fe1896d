// SPDX-License-Identifier: Apache-2.0
#include "agent/child_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "os/temp_directory.h"

namespace segue::agent {
namespace {

using testing::HasSubstr;
using testing::Lt;
using testing::SizeIs;

class ChildRunTest : public testing::Test {
 protected:
  ChildRun::Result run(const std::string& command,
                       base::Duration limit = std::chrono::seconds(20)) {
    std::optional<ChildRun::Result> result;
    ChildRun child(loop_, clock_,
                   {.argv = {"/bin/sh", "-c", command},
                    .env = {"PATH=/usr/bin:/bin"},
                    .output = directory_.path("output"),
                    .limit = limit},
                   [&](const ChildRun::Result& found) { result = found; });
    child.start();
    const auto until = clock_.monotonic_now() + std::chrono::seconds(30);
    while (!result && clock_.monotonic_now() < until) {
      EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(50)));
    }
    return result.value_or(ChildRun::Result{});
  }

  os::TempDirectory directory_;
  os::SystemClock clock_;
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
};

TEST_F(ChildRunTest, tells_how_it_ended_and_what_it_said_last) {
  const auto result = run("echo one; echo 'two  ' >&2; echo; exit 3");
  EXPECT_TRUE(result.ended);
  EXPECT_EQ(result.exit_code, 3);
  EXPECT_EQ(result.last_line, "two");
  EXPECT_EQ(result.text, "exited with 3: two");
}

TEST_F(ChildRunTest, an_answer_is_whole_however_much_it_says) {
  const auto result = run("printf 'first\\n{'; head -c 100000 /dev/zero | tr '\\0' x; echo '}'");
  EXPECT_EQ(result.last_line, "{" + std::string(100'000, 'x') + "}");
  EXPECT_THAT(result.text, SizeIs(Lt(5'000U)));
}

TEST_F(ChildRunTest, a_signal_is_no_exit_code_of_a_program) {
  const auto result = run("kill -9 $$");
  EXPECT_TRUE(result.ended);
  EXPECT_EQ(result.exit_code, 128 + 9);
}

TEST_F(ChildRunTest, at_its_limit_it_is_killed) {
  const auto result = run("sleep 60", std::chrono::milliseconds(100));
  EXPECT_FALSE(result.ended);
  EXPECT_THAT(result.text, HasSubstr("did not end within 0.10 s"));
}

TEST_F(ChildRunTest, what_it_leaves_behind_may_go_on_printing) {
  const auto result =
      run("(trap '' HUP; while [ ! -e " + directory_.path("end") +
          " ]; do echo still; done; touch " + directory_.path("ended") + ") & echo started");
  EXPECT_EQ(result.exit_code, 0);
  std::ofstream(directory_.path("end")) << "";
  const auto until = clock_.monotonic_now() + std::chrono::seconds(20);
  while (!std::filesystem::exists(directory_.path("ended")) && clock_.monotonic_now() < until) {
    EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(10)));
  }
  EXPECT_TRUE(std::filesystem::exists(directory_.path("ended")));
}

TEST_F(ChildRunTest, a_program_that_is_not_there_is_a_failure) {
  std::optional<ChildRun::Result> result;
  ChildRun child(loop_, clock_,
                 {.argv = {directory_.path("none")},
                  .env = {},
                  .output = directory_.path("output"),
                  .limit = std::chrono::seconds(20)},
                 [&](const ChildRun::Result& found) { result = found; });
  child.start();
  EXPECT_FALSE(result);
  EXPECT_TRUE(loop_.run_once(std::chrono::seconds(1)));
  ASSERT_TRUE(result);
  EXPECT_FALSE(result->ended);
  EXPECT_THAT(result->text, HasSubstr("none"));
}

}  // namespace
}  // namespace segue::agent
