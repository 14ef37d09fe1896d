// SPDX-License-Identifier: Apache-2.0
#include "os/sealed_memory.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

namespace segue::os {
namespace {

TEST(SealedMemory, what_was_written_is_read_and_nobody_can_change_it) {
  const std::string bytes(100'000, 'x');
  const auto fd = make_sealed_memory("test", bytes);
  ASSERT_TRUE(fd);
  EXPECT_EQ(read_sealed_memory(fd->get(), bytes.size()).value(), bytes);
  EXPECT_EQ(::pwrite(fd->get(), "y", 1, 0), -1);
  EXPECT_NE(::ftruncate(fd->get(), 1), 0);
}

TEST(SealedMemory, one_that_is_too_large_or_not_sealed_is_refused) {
  const auto fd = make_sealed_memory("test", "12345");
  ASSERT_TRUE(fd);
  EXPECT_EQ(read_sealed_memory(fd->get(), 4).error().code(), base::ErrorCode::resource_exhausted);
  const UniqueFd open_one(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(read_sealed_memory(open_one.get(), 4).error().code(),
            base::ErrorCode::failed_precondition);
  EXPECT_EQ(read_sealed_memory(-1, 4).error().code(), base::ErrorCode::failed_precondition);
}

}  // namespace
}  // namespace segue::os
