// SPDX-License-Identifier: Apache-2.0
#include "builder/build_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::builder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr const char* kWhole = R"(
name: chat
build: [./configure, make]
test: make check
output: out
version: "1.2.{commits}"
build_environment: {CFLAGS: -O2}
build_limits: {time_s: 60, memory_mib: 512, processes: 20, log_mib: 1, file_mib: 100}
command: [./chat]      # how it runs: `segue run --file`
listen: {main: "tcp:0.0.0.0:1"}
)";

std::string problem_of(const std::string& text) {
  const auto file = parse_build_file("segue.yaml", text);
  return file ? "" : file.error().message();
}

// kWhole with one line changed.
std::string with(const std::string& key, const std::string& line) {
  std::string text = kWhole;
  const auto start = text.find("\n" + key + ":") + 1;
  text.replace(start, text.find('\n', start) - start, line);
  return text;
}

TEST(BuildFile, every_key_arrives) {
  const auto file = parse_build_file("segue.yaml", kWhole);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->component, "chat");
  EXPECT_THAT(file->build, ElementsAre("./configure", "make"));
  EXPECT_THAT(file->test, ElementsAre("make check"));
  EXPECT_EQ(file->output, "out");
  EXPECT_EQ(file->version, "1.2.{commits}");
  EXPECT_THAT(file->environment, ElementsAre("CFLAGS=-O2"));
  const Limits limits{
      .time_s = 60, .memory_mib = 512, .processes = 20, .log_mib = 1, .file_mib = 100};
  EXPECT_EQ(file->limits, limits);
}

TEST(BuildFile, refuses_what_is_missing_unknown_or_dangerous) {
  EXPECT_THAT(problem_of(with("test", "tset: make check")),
              HasSubstr("segue.yaml:4: there is no key 'tset'; did you mean 'test'?"));
  EXPECT_THAT(problem_of(with("test", "")), HasSubstr("'test' is missing"));
  EXPECT_THAT(problem_of(with("build", "build: []")), HasSubstr("one to 64 shell commands"));
  EXPECT_THAT(problem_of(with("output", "output: ../other")), HasSubstr("not a folder below"));
  EXPECT_THAT(problem_of(with("output", "output: /etc")), HasSubstr("not a folder below"));
  EXPECT_THAT(problem_of(with("output", "output: a/.git/b")), HasSubstr("not a folder below"));
  EXPECT_THAT(problem_of(with("name", "name: ../x")), HasSubstr("segue.yaml:2:"));
  EXPECT_THAT(problem_of(with("version", "version: '{comits}'")), HasSubstr("'{comits}'"));
  EXPECT_THAT(problem_of(with("build_environment", "build_environment: {SEGUE_REF: x}")),
              HasSubstr("'SEGUE_REF' cannot be set"));
  EXPECT_THAT(problem_of(with("build_limits", "build_limits: {time_s: 0}")),
              HasSubstr("build_limits.time_s: '0' is not a whole number"));
  EXPECT_THAT(problem_of(with("build_limits", "build_limits: {times: 1}")),
              HasSubstr("no key 'build_limits.times'; did you mean 'time_s'?"));
}

TEST(Limits, are_the_smaller_of_what_is_asked_and_allowed) {
  const Limits asked{.time_s = 10, .memory_mib = 9'000};
  const Limits allowed{.time_s = 60, .memory_mib = 1'000, .processes = 7};
  const Limits got = within(asked, allowed);
  EXPECT_EQ(got.time_s, 10U);
  EXPECT_EQ(got.memory_mib, 1'000U);
  EXPECT_EQ(got.processes, 7U);
}

}  // namespace
}  // namespace segue::builder
