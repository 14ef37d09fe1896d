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

TEST(CheckName, says_what_it_would_name) {
  EXPECT_EQ(check_name("-x", "a site").error().message(),
            "'-x' cannot name a site: it has to begin with a letter or a digit");
}

TEST(CheckVersion, takes_what_versions_are_written_with) {
  for (const char* version : {"1", "2026.11.21+build.7~rc1-x_y", "v1.2.3"}) {
    EXPECT_TRUE(check_version(version)) << version;
  }
  EXPECT_TRUE(check_version(std::string(kMaxVersionBytes, '1')));
}

TEST(CheckVersion, refuses_what_could_be_an_option_or_leave_a_path) {
  for (const char* version : {"", ".", "..", "-1", "+1", "~1", "1/2", "1 2", "1\n", "1*", "é"}) {
    EXPECT_FALSE(check_version(version)) << version;
  }
  EXPECT_FALSE(check_version(std::string(kMaxVersionBytes + 1, '1')));
}

}  // namespace
}  // namespace segue::control
