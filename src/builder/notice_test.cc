// SPDX-License-Identifier: Apache-2.0
#include "builder/notice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::builder {
namespace {

const std::string kCommit(40, 'a');

TEST(Notice, arrives_as_it_was_written) {
  for (const Notice& notice :
       {Notice{.repository = "chat", .ref = "refs/heads/main", .commit = kCommit},
        Notice{.repository = "chat", .ref = "refs/heads/a b"}, Notice{.repository = "chat"}}) {
    const bool is_sound = notice.ref.find(' ') == std::string::npos;
    const auto parsed = parse_notice(encode(notice));
    ASSERT_EQ(parsed.has_value(), is_sound);
    if (parsed) {
      EXPECT_EQ(*parsed, notice);
    }
  }
}

TEST(Notice, refuses_everything_else) {
  const std::string head = "segue-notice 1\n";
  EXPECT_FALSE(parse_notice(""));
  EXPECT_FALSE(parse_notice("segue-notice 2\nrepository chat\n"));
  EXPECT_FALSE(parse_notice(head));
  EXPECT_FALSE(parse_notice(head + "repository chat"));
  EXPECT_FALSE(parse_notice(head + "repository ../chat\n"));
  EXPECT_FALSE(parse_notice(head + "repository chat\nrepository chat\n"));
  EXPECT_FALSE(parse_notice(head + "repository chat\nref main\n"));
  EXPECT_FALSE(parse_notice(head + "repository chat\ncommit abc\n"));
  EXPECT_FALSE(parse_notice(head + "repository chat\nother x\n"));
  EXPECT_FALSE(parse_notice(head + "repository " + std::string(kMaxNoticeBytes, 'a') + "\n"));
}

TEST(Ref, is_one_that_git_would_take) {
  for (const char* ref : {"refs/heads/main", "refs/tags/v1.0", "refs/heads/a/b-c_d"}) {
    EXPECT_TRUE(is_ref(ref)) << ref;
  }
  for (const char* ref : {"", "main", "refs/", "refs/heads/", "refs/heads/a..b", "refs/heads/.a",
                          "refs/heads/a.lock", "refs/heads/a b", "refs/heads/a~1", "refs//a",
                          "refs/heads/a@{1}", "refs/heads/a*", "refs/heads/a\n"}) {
    EXPECT_FALSE(is_ref(ref)) << ref;
  }
}

TEST(Commit, has_forty_or_sixty_four_digits_and_is_not_nothing) {
  EXPECT_TRUE(is_commit(kCommit));
  EXPECT_TRUE(is_commit(std::string(64, '1')));
  EXPECT_FALSE(is_commit(std::string(40, '0')));
  EXPECT_TRUE(is_no_commit(std::string(40, '0')));
  EXPECT_FALSE(is_commit(std::string(40, 'A')));
  EXPECT_FALSE(is_commit(std::string(39, 'a')));
}

TEST(Pattern, matches_a_ref_or_all_below) {
  EXPECT_TRUE(matches("refs/heads/main", "refs/heads/main"));
  EXPECT_FALSE(matches("refs/heads/main", "refs/heads/main2"));
  EXPECT_TRUE(matches("refs/heads/*", "refs/heads/a/b"));
  EXPECT_FALSE(matches("refs/heads/*", "refs/tags/a"));
}

}  // namespace
}  // namespace segue::builder
