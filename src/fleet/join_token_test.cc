// SPDX-License-Identifier: Apache-2.0
#include "fleet/join_token.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fleet/servers.h"

namespace segue::fleet {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

const JoinToken kToken{"0a1b", "5ec4e7", std::string(64, 'c'), {"[::1]:7443", "b.example:1"}};

TEST(JoinToken, is_read_as_it_was_written) {
  EXPECT_EQ(parse_join_token(to_string(kToken)).value(), kToken);
  JoinToken of_one = kToken;
  of_one.servers.resize(1);
  EXPECT_THAT(to_string(of_one), EndsWith("@[::1]:7443"));
  EXPECT_EQ(parse_join_token(to_string(of_one)).value(), of_one);
}

TEST(JoinToken, damage_is_refused_and_the_secret_not_repeated) {
  const std::string whole = to_string(kToken);
  for (std::size_t cut = 0; cut < whole.size() - 1; ++cut) {
    const auto token = parse_join_token(whole.substr(0, cut));
    if (token) {
      EXPECT_TRUE(whole.starts_with(to_string(*token)));  // a shorter port, or one server less
      continue;
    }
    EXPECT_THAT(token.error().message(), Not(HasSubstr(kToken.secret)));
  }
  EXPECT_FALSE(parse_join_token("segue-join-2.0a.0b." + std::string(64, 'c') + "@h:1"));
  EXPECT_FALSE(parse_join_token("segue-join-1.0a.0b.0c." + std::string(64, 'c') + "@h:1"));
  EXPECT_FALSE(parse_join_token("segue-join-1.0A.0b." + std::string(64, 'c') + "@h:1"));
  EXPECT_FALSE(parse_join_token("segue-join-1.0a.0b." + std::string(64, 'c') + "@host"));
  EXPECT_FALSE(parse_join_token("segue-join-1.0a.0b." + std::string(64, 'c') + "@h:1,"));
  std::string many = "segue-join-1.0a.0b." + std::string(64, 'c') + "@h:1";
  for (std::size_t i = 1; i < kMaxServers; ++i) many += ",h:1";
  EXPECT_TRUE(parse_join_token(many));
  EXPECT_FALSE(parse_join_token(many + ",h:1"));
}

}  // namespace
}  // namespace segue::fleet
