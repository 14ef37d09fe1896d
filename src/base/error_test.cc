// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>
#include <string>

#include "base/assert.h"

namespace segue::base {
namespace {

Result<std::unique_ptr<int>> positive(int value) {
  if (value <= 0) return fail(ErrorCode::invalid_argument, "{} is not positive", value);
  return std::make_unique<int>(value);
}

Result<void> check(int value) {
  SEGUE_TRY(positive(value));
  return {};
}

Result<int> sum(int left, int right) {
  SEGUE_ASSIGN(const auto a, positive(left));
  SEGUE_ASSIGN(const auto b, positive(right));
  return *a + *b;
}

TEST(Error, reads_from_the_outermost_context_to_the_message_and_the_code) {
  const Error error = Error(ErrorCode::not_found, "no file 'x'").with("read state").with("start");
  EXPECT_EQ(error.to_string(), "start: read state: no file 'x' (not_found)");
  EXPECT_EQ(error.code(), ErrorCode::not_found);
}

TEST(Error, with_leaves_a_named_error_as_it_was) {
  const Error error(ErrorCode::internal, "m");
  EXPECT_EQ(error.with("c").to_string(), "c: m (internal)");
  EXPECT_EQ(error.to_string(), "m (internal)");
}

TEST(Error, of_a_system_call_names_the_call_and_carries_the_canonical_code) {
  const Error error = errno_error("open /nowhere", ENOENT);
  EXPECT_EQ(error.to_string(), "open /nowhere: No such file or directory (not_found)");
  EXPECT_EQ(errno_error("bind", EADDRINUSE).code(), ErrorCode::already_exists);
  EXPECT_EQ(errno_error("ioctl", ENOTTY).code(), ErrorCode::internal);
}

TEST(Result, try_returns_the_first_error_and_passes_values_on) {
  EXPECT_TRUE(check(1).has_value());
  EXPECT_EQ(check(-1).error().message(), "-1 is not positive");
  EXPECT_EQ(sum(1, 2), 3);
  EXPECT_EQ(sum(1, 0).error().message(), "0 is not positive");
  EXPECT_EQ(sum(-7, 0).error().message(), "-7 is not positive");
}

TEST(AssertDeathTest, a_broken_invariant_aborts_and_names_itself) {
  EXPECT_DEATH(SEGUE_ASSERT(1 + 1 == 3), "broken invariant: 1 \\+ 1 == 3");
}

}  // namespace
}  // namespace segue::base
