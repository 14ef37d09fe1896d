// SPDX-License-Identifier: Apache-2.0
#include "keeper/attempt_slots.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "os/temp_directory.h"

namespace segue::keeper {
namespace {

TEST(AttemptSlots, are_as_many_as_are_asked_for_and_free_again_when_closed) {
  const os::TempDirectory directory;
  const AttemptSlots slots(directory.path("attempts"));
  EXPECT_TRUE(slots.holders().empty());
  auto first = slots.take(2, {"a", 11, 100});
  auto second = slots.take(2, {"b", 12, 200});
  ASSERT_TRUE(first && *first && second && *second);
  EXPECT_FALSE(*slots.take(2, {"c", 13, 300}));
  EXPECT_TRUE(slots.take(3, {"d", 14, 400})->has_value()) << "who allows more has one more";

  const auto holders = slots.holders();
  ASSERT_EQ(holders.size(), 2U);
  EXPECT_EQ(holders[0].name, "a");
  EXPECT_EQ(holders[1].pid, 12);
  EXPECT_EQ(holders[1].promised_bytes, 200U);
  (*first)->reset();
  EXPECT_EQ(slots.holders().size(), 1U);
  EXPECT_TRUE(slots.take(2, {"c", 13, 300})->has_value());
}

TEST(AttemptSlots, are_refused_in_a_directory_that_others_can_enter) {
  const os::TempDirectory directory;
  const std::string path = directory.path("attempts");
  ::mkdir(path.c_str(), 0700);
  ::chmod(path.c_str(), 0755);
  EXPECT_FALSE(AttemptSlots(path).take(1, {"a", 1, 0}));
}

}  // namespace
}  // namespace segue::keeper
