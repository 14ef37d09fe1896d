// SPDX-License-Identifier: Apache-2.0
#include "control/name.h"

#include <gtest/gtest.h>

#include <string>

namespace segue::control {
namespace {

TEST(CheckName, takes_letters_digits_dots_underscores_and_hyphens) {
  for (const char* name : {"respkv", "a", "7", "web-2.eu_west", "A.b-C_d"}) {
    EXPECT_TRUE(check_name(name)) << name;
  }
  EXPECT_TRUE(check_name(std::string(63, 'x')));
}

TEST(CheckName, refuses_what_could_leave_its_folder_or_the_socket_path) {
  for (const char* name : {"", ".", "..", ".hidden", "-x", "a/b", "a b", "a\n", "é"}) {
    EXPECT_FALSE(check_name(name)) << name;
  }
  EXPECT_FALSE(check_name(std::string(64, 'x')));
  EXPECT_FALSE(check_name(std::string_view("a\0b", 3)));
}

TEST(CheckName, says_which_rule_is_broken) {
  EXPECT_EQ(check_name("a/b").error().message(),
            "'a/b' cannot name a component: use letters, digits, '.', '_' and '-' only");
}

}  // namespace
}  // namespace segue::control
