// SPDX-License-Identifier: Apache-2.0
#include "builder/version_rule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::builder {
namespace {

using testing::HasSubstr;

const CommitFacts kFacts{.commit = "0123456789abcdef0123456789abcdef01234567",
                         .commits = "42",
                         .date = "20260131",
                         .time = "120000",
                         .tag = ""};

TEST(VersionRule, puts_in_what_git_knows) {
  EXPECT_EQ(*version_of("1.0.{commits}", kFacts), "1.0.42");
  EXPECT_EQ(*version_of("{date}.{time}-{commit}", kFacts), "20260131.120000-0123456789ab");
  CommitFacts tagged = kFacts;
  tagged.tag = "v2.1";
  EXPECT_EQ(*version_of("{tag}", tagged), "v2.1");
}

TEST(VersionRule, refuses_what_makes_no_version) {
  EXPECT_TRUE(check_version_rule("1.{commits}"));
  EXPECT_THAT(check_version_rule("{nonsense}").error().message(), HasSubstr("'{nonsense}'"));
  EXPECT_THAT(check_version_rule("{commits").error().message(), HasSubstr("'{commits'"));
  EXPECT_FALSE(check_version_rule(""));
  EXPECT_FALSE(check_version_rule("-1"));
  EXPECT_FALSE(check_version_rule("1/2"));
  EXPECT_FALSE(check_version_rule(std::string(101, '1')));
}

TEST(VersionRule, says_that_a_tag_is_missing_or_unusable) {
  EXPECT_THAT(version_of("{tag}", kFacts).error().message(), HasSubstr("none names commit 0123"));
  CommitFacts tagged = kFacts;
  tagged.tag = "release/2";
  EXPECT_THAT(version_of("{tag}", tagged).error().message(), HasSubstr("'release/2'"));
}

}  // namespace
}  // namespace segue::builder
