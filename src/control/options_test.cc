// SPDX-License-Identifier: Apache-2.0
#include "control/options.h"

#include <gtest/gtest.h>

#include <string>

namespace segue::control {
namespace {

std::string error_of(const Request& request) {
  const auto parsed = parse_options(request);
  return parsed ? "" : parsed.error().message();
}

TEST(Options, what_is_at_its_default_is_not_sent) {
  Request request{"upgrade", {}, {}};
  append_options(request, AttemptOptions{});
  append_options(request, RunOptions{});
  EXPECT_TRUE(request.options.empty());
}

TEST(Options, come_back_as_they_were_sent) {
  AttemptOptions options;
  options.budget_us = 500;
  options.max_attempts = 7;
  options.probation_ms = 0;
  options.retries = 2;
  options.vote = true;
  options.health_cmd = "curl -fsS http://127.0.0.1:80/ && true";
  options.health_tcp = "[::1]:6379";
  Request request{"upgrade", {}, {}};
  append_options(request, options);
  const Launch launch{{"/bin/v2", "-x"}, "/srv", {"A=1", "B=2=3"}};
  append_launch(request, launch);

  const auto parsed = parse_options(decode(encode(request).value()).value());
  ASSERT_TRUE(parsed) << parsed.error().to_string();
  EXPECT_EQ(parsed->attempt, options);
  EXPECT_EQ(parsed->launch, launch);
}

TEST(Options, of_run_come_back_as_they_were_sent) {
  RunOptions options;
  options.start_ms = 100;
  options.max_restarts = 0;
  options.unsafe_fault = "commit:kill";
  Request request{"run", {}, {"/bin/v1"}};
  append_options(request, options);
  EXPECT_EQ(parse_options(request)->run, options);
}

TEST(Options, out_of_bounds_are_refused_by_name) {
  EXPECT_EQ(error_of({"upgrade", {{"budget-us", "9"}}, {}}),
            "budget-us: '9' is not a number from 10 to 60000000");
  EXPECT_NE(error_of({"upgrade", {{"retries", "-1"}}, {}}), "");
  EXPECT_NE(error_of({"upgrade", {{"retries", "1x"}}, {}}), "");
  EXPECT_NE(error_of({"upgrade", {{"retries", ""}}, {}}), "");
  EXPECT_NE(error_of({"upgrade", {{"vote", "yes"}}, {}}), "");
  EXPECT_NE(error_of({"upgrade", {{"cwd", "relative"}}, {}}), "");
  EXPECT_NE(error_of({"upgrade", {{"env", "=x"}}, {}}), "");
  EXPECT_NE(error_of({"upgrade", {}, {"relative"}}), "");
  EXPECT_EQ(error_of({"upgrade", {{"colour", "red"}}, {}}), "unknown option 'colour'");
  EXPECT_EQ(error_of({"upgrade", {{"on-crash", "arenas"}}, {}}), "");
  EXPECT_EQ(error_of({"upgrade", {{"on-crash", "panic"}}, {}}),
            "on-crash: 'panic' is not one of resume, replay, arenas, restart");
}

TEST(HostPort, takes_names_and_addresses) {
  EXPECT_EQ(parse_host_port("localhost:80")->host, "localhost");
  EXPECT_EQ(parse_host_port("127.0.0.1:65535")->port, 65'535);
  EXPECT_EQ(parse_host_port("[::1]:6379")->host, "::1");
}

TEST(HostPort, refuses_anything_else) {
  for (const char* text :
       {"", ":80", "host", "host:", "host:0", "host:65536", "host:x", "::1:80"}) {
    EXPECT_FALSE(parse_host_port(text)) << text;
  }
}

}  // namespace
}  // namespace segue::control
