// SPDX-License-Identifier: Apache-2.0
#include "config/near_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::config {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(NearNames, are_those_with_few_differences_nearest_first) {
  const std::vector<std::string> names = {"chat", "respkv", "respkv2", "shop"};
  EXPECT_THAT(near_names("repskv", names), ElementsAre("respkv", "respkv2"));
  EXPECT_THAT(near_names("respkv3", names), ElementsAre("respkv", "respkv2"));
  EXPECT_THAT(near_names("chap", names), ElementsAre("chat"));
  EXPECT_THAT(near_names("caht", names), ElementsAre("chat"));
  EXPECT_THAT(near_names("database", names), IsEmpty());
  EXPECT_THAT(near_names("", names), IsEmpty());
}

}  // namespace
}  // namespace segue::config
