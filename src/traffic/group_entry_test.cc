// SPDX-License-Identifier: Apache-2.0
#include "traffic/group_entry.h"

#include <gtest/gtest.h>

#include "traffic/split_group.h"
#include "traffic/test_sockets.h"

namespace segue::traffic {
namespace {

TEST(GroupEntry, tells_slots_by_the_components_name) {
  EXPECT_EQ(slot_of("chat"), Slot::stable);
  EXPECT_EQ(slot_of("chat.canary"), Slot::canary);
  EXPECT_EQ(stable_name("chat.canary"), "chat");
  EXPECT_EQ(canary_name("chat"), "chat.canary");
  EXPECT_EQ(canary_name("chat.canary"), "chat.canary");
}

TEST(GroupEntry, counts_the_listening_sockets_of_one_user_on_one_address) {
  const std::string table =
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
      "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 "
      "7\n"
      "   1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 "
      "8\n"
      "   2: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "9\n"
      "   3: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000   100        0 "
      "1\n"
      "   4: 0100007F:1F90 0100007F:9999 01 00000000:00000000 00:00000000 00000000   100        0 "
      "2\n"
      "   5: short\n";
  EXPECT_EQ(count_listeners(table, "0100007F:1F90", 100), 2U);
  EXPECT_EQ(count_listeners(table, "0100007F:1F90", 0), 1U);
  EXPECT_EQ(count_listeners(table, "0100007F:0050", 100), 0U);
}

class GroupEntryOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(families, GroupEntryOf, testing::Values("127.0.0.1", "::1"),
                         [](const auto& one) {
                           return std::string(one.param).front() == ':' ? "ipv6" : "ipv4";
                         });

TEST_P(GroupEntryOf, gives_a_canary_that_joins_nothing) {
  GroupSockets sockets(GetParam());
  const int stable = sockets.join();
  ASSERT_TRUE(enter_group(stable, Slot::stable));
  const int canary = sockets.join();
  ASSERT_TRUE(enter_group(canary, Slot::canary));
  sockets.connect_times(100);
  EXPECT_EQ(sockets.accepted(stable), 100U);
  EXPECT_EQ(sockets.accepted(canary), 0U);
}

TEST_P(GroupEntryOf, gives_a_stable_slot_that_comes_back_everything) {
  GroupSockets sockets(GetParam());
  const int first = sockets.join();
  ASSERT_TRUE(enter_group(first, Slot::stable));
  const int canary = sockets.join();
  ASSERT_TRUE(enter_group(canary, Slot::canary));
  sockets.leave(first);
  sockets.connect_times(10);
  EXPECT_EQ(sockets.accepted(canary), 10U) << "somebody has to answer";

  const int stable = sockets.join();
  ASSERT_TRUE(enter_group(stable, Slot::stable));
  sockets.connect_times(100);
  EXPECT_EQ(sockets.accepted(stable), 100U);
  EXPECT_EQ(sockets.accepted(canary), 0U);

  sockets.leave(canary);
  const int next_canary = sockets.join();
  ASSERT_TRUE(enter_group(next_canary, Slot::canary));
  sockets.connect_times(100);
  EXPECT_EQ(sockets.accepted(stable), 100U);
  EXPECT_EQ(sockets.accepted(next_canary), 0U);
}

}  // namespace
}  // namespace segue::traffic
