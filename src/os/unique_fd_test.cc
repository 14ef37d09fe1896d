// SPDX-License-Identifier: Apache-2.0
#include "os/unique_fd.h"

#include <gtest/gtest.h>

#include <utility>

namespace segue::os {
namespace {

bool is_open(int fd) {
  return ::fcntl(fd, F_GETFD) >= 0;
}

UniqueFd open_null() {
  return UniqueFd(::open("/dev/null", O_RDWR | O_CLOEXEC));
}

TEST(UniqueFd, closes_at_the_end) {
  int number = -1;
  {
    const UniqueFd fd = open_null();
    number = fd.get();
    ASSERT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(UniqueFd, moves_and_closes_what_it_held_before) {
  UniqueFd first = open_null();
  UniqueFd second = open_null();
  const int old = first.get();
  const int kept = second.get();
  first = std::move(second);
  EXPECT_FALSE(is_open(old));
  EXPECT_EQ(first.get(), kept);
  EXPECT_TRUE(is_open(kept));
}

TEST(UniqueFd, survives_being_moved_to_itself) {
  UniqueFd fd = open_null();
  UniqueFd& same = fd;
  fd = std::move(same);
  EXPECT_TRUE(is_open(fd.get()));
}

TEST(UniqueFd, releases_ownership) {
  UniqueFd fd = open_null();
  const UniqueFd next(fd.release());
  EXPECT_FALSE(fd);
  EXPECT_TRUE(is_open(next.get()));
}

TEST(UniqueFd, duplicates_are_closed_on_exec_unless_told_otherwise) {
  const UniqueFd fd = open_null();
  const auto copy = duplicate(fd.get());
  ASSERT_TRUE(copy);
  EXPECT_NE(copy->get(), fd.get());
  EXPECT_EQ(::fcntl(copy->get(), F_GETFD), FD_CLOEXEC);
  ASSERT_TRUE(set_close_on_exec(copy->get(), false));
  EXPECT_EQ(::fcntl(copy->get(), F_GETFD), 0);
}

TEST(UniqueFd, reports_a_descriptor_that_is_not_open) {
  EXPECT_FALSE(duplicate(-1));
  EXPECT_FALSE(set_close_on_exec(-1, true));
}

}  // namespace
}  // namespace segue::os
