// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstddef>
#include <string>

namespace segue::base {
namespace {

using namespace std::chrono_literals;

class LogTest : public testing::Test {
 protected:
  LogTest() { EXPECT_EQ(::pipe(ends_.data()), 0); }
  ~LogTest() override {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }

  Log::Options options() { return {.fd = ends_[1]}; }

  std::string read_line() {
    std::string line(2 * Log::kMaxLineBytes, '\0');
    const auto size = ::read(ends_[0], line.data(), line.size());
    line.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return line;
  }

 private:
  std::array<int, 2> ends_{};
};

TEST_F(LogTest, writes_an_event_and_its_fields_on_one_line) {
  const Log log(options());
  log.info("handoff.started", {{"component", "web"}, {"epoch", 7}, {"quick", true}});
  EXPECT_EQ(read_line(), "level=info event=handoff.started component=web epoch=7 quick=true\n");
}

TEST_F(LogTest, quotes_values_that_could_be_misread) {
  const Log log(options());
  log.error("x", {{"a", "two words"}, {"b", ""}, {"c", "k=\"v\"\n"}});
  EXPECT_EQ(read_line(), "level=error event=x a=\"two words\" b=\"\" c=\"k=\\\"v\\\"\\n\"\n");
}

TEST_F(LogTest, leaves_out_events_below_its_level) {
  auto quiet = options();
  quiet.level = LogLevel::warning;
  const Log log(quiet);
  log.debug("a");
  log.info("b");
  log.warning("c");
  EXPECT_EQ(read_line(), "level=warning event=c\n");
}

TEST_F(LogTest, stamps_lines_with_the_time_it_is_given) {
  auto stamped = options();
  stamped.now = [] { return RealTime(1'700'000'000s + 42us); };
  Log(stamped).info("x");
  EXPECT_EQ(read_line(), "ts=2023-11-14T22:13:20.000042Z level=info event=x\n");
}

TEST_F(LogTest, drops_the_fields_that_would_make_a_line_too_long_and_says_so) {
  const Log log(options());
  log.info("x", {{"big", std::string(Log::kMaxLineBytes, 'b')}, {"small", 1}});
  EXPECT_EQ(read_line(), "level=info event=x small=1 cut=true\n");
}

}  // namespace
}  // namespace segue::base
