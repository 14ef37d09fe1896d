// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace respkv {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string parse(std::vector<const char*> arguments, Options& options) {
  arguments.insert(arguments.begin(), "respkv");
  return parse_options(static_cast<int>(arguments.size()), arguments.data(), options);
}

TEST(Options, are_read) {
  Options options;
  EXPECT_EQ(
      parse({"--listen", "tcp:127.0.0.1:1", "--listen", "unix:/s", "--directory", "/d",
             "--budget-us", "5000", "--probation-ms", "7", "--threads", "4", "--break", "vote"},
            options),
      "");
  EXPECT_THAT(options.listen, ElementsAre("tcp:127.0.0.1:1", "unix:/s"));
  EXPECT_EQ(options.directory, "/d");
  EXPECT_EQ(options.budget_us, 5000U);
  EXPECT_EQ(options.probation_ms, 7U);
  EXPECT_EQ(options.threads, 4U);
  EXPECT_EQ(options.breaks, Break::vote);
}

TEST(Options, each_error_names_the_option) {
  Options options;
  EXPECT_THAT(parse({}, options), HasSubstr("--listen is missing"));
  EXPECT_THAT(parse({"--listen", "udp:1"}, options), HasSubstr("--listen 'udp:1'"));
  EXPECT_THAT(parse({"--budget-us", "x"}, options), HasSubstr("--budget-us 'x'"));
  EXPECT_THAT(parse({"--threads", "65"}, options),
              HasSubstr("--threads '65' is not a number from 1 to 64"));
  EXPECT_THAT(parse({"--break", "all"}, options), HasSubstr("--break 'all'"));
  EXPECT_THAT(parse({"stray"}, options), HasSubstr("'stray'"));
  EXPECT_THAT(parse({"--listen"}, options), HasSubstr("needs a value"));
}

}  // namespace
}  // namespace respkv
