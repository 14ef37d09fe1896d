// SPDX-License-Identifier: Apache-2.0
#include "agent/outbox.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::agent {
namespace {

class OutboxTest : public testing::Test {
 protected:
  Outbox::Settings settings(const std::string& command = "") {
    return {.directory = directory_.path("outbox"),
            .target_directory = directory_.path("target"),
            .command = command,
            .environment = {"PATH=/usr/bin:/bin"}};
  }
  template <class Condition>
  bool run_until(const Condition& condition) {
    const auto until = clock_.monotonic_now() + std::chrono::seconds(20);
    while (!condition() && clock_.monotonic_now() < until) {
      EXPECT_TRUE(loop_.run_once(std::chrono::milliseconds(20)));
    }
    return condition();
  }
  [[nodiscard]] bool is_empty() const {
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path("outbox"))) {
      if (entry.path().extension() == ".json") return false;
    }
    return true;
  }

  os::TempDirectory directory_;
  os::SystemClock clock_;
  base::Log log_{{.fd = 2, .level = base::LogLevel::error, .now = nullptr}};
  os::EpollLoop loop_ = *os::EpollLoop::create(clock_);
};

TEST_F(OutboxTest, delivers_to_a_directory) {
  Outbox outbox(loop_, clock_, log_, settings());
  ASSERT_TRUE(outbox.keep("a.json", "one"));
  ASSERT_TRUE(outbox.keep("b.json", "two"));
  EXPECT_TRUE(run_until([this] { return is_empty(); }));
  EXPECT_EQ(os::read_file(directory_.path("target/a.json"), 100), "one");
  EXPECT_EQ(os::read_file(directory_.path("target/b.json"), 100), "two");
}

TEST_F(OutboxTest, keeps_what_a_command_could_not_deliver_for_later) {
  const std::string deliver =
      "test -e " + directory_.path("line") + " && cp $SEGUE_REPORT " + directory_.path("arrived");
  {
    Outbox outbox(loop_, clock_, log_, settings(deliver));
    ASSERT_TRUE(outbox.keep("a.json", "one"));
    EXPECT_TRUE(run_until(
        [this] { return std::filesystem::exists(directory_.path("outbox/delivery.log")); }));
    EXPECT_FALSE(is_empty());
  }
  ASSERT_TRUE(os::write_file_atomically(directory_.path("line"), "up"));
  Outbox outbox(loop_, clock_, log_, settings(deliver));
  outbox.deliver();
  EXPECT_TRUE(run_until([this] { return is_empty(); }));
  EXPECT_EQ(os::read_file(directory_.path("arrived"), 100), "one");
}

TEST_F(OutboxTest, delivers_also_what_was_kept_under_the_same_name_meanwhile) {
  // The first delivery waits for the test before it ends.
  const std::string arrived = directory_.path("arrived");
  const std::string go_on = directory_.path("go_on");
  Outbox outbox(loop_, clock_, log_,
                settings("cat $SEGUE_REPORT >> " + arrived + " && until test -e " + go_on +
                         "; do sleep 0.01; done"));
  ASSERT_TRUE(outbox.keep("a.json", "one "));
  ASSERT_TRUE(run_until([&] { return os::read_file(arrived, 100) == "one "; }));
  ASSERT_TRUE(outbox.keep("a.json", "two"));
  ASSERT_TRUE(os::write_file_atomically(go_on, ""));
  EXPECT_TRUE(run_until([this] { return is_empty(); }));
  EXPECT_EQ(os::read_file(arrived, 100), "one two");
}

TEST_F(OutboxTest, holds_no_more_than_its_bound) {
  Outbox outbox(loop_, clock_, log_, settings("false"));
  ASSERT_TRUE(os::ensure_private_directory(directory_.path("outbox")));
  for (std::size_t i = 0; i < Outbox::kMaxReports; ++i) {
    ASSERT_TRUE(os::write_file_atomically(directory_.path("outbox/") + std::to_string(i) + ".json",
                                          "x", 0600, os::Durability::buffered));
  }
  ASSERT_TRUE(outbox.keep("last.json", "x"));
  std::size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(directory_.path("outbox"))) {
    if (entry.path().extension() == ".json") ++count;
  }
  EXPECT_EQ(count, Outbox::kMaxReports);
  EXPECT_TRUE(std::filesystem::exists(directory_.path("outbox/last.json")));
}

}  // namespace
}  // namespace segue::agent
