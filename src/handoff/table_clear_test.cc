// SPDX-License-Identifier: Apache-2.0
// A table that is emptied at once, at every moment of a handoff.
#include <gtest/gtest.h>

#include <string>

#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr int kRecords = 3000;

class TableClear : public HandoffTest {
 protected:
  static void fill(Service& service, const std::string& prefix, int count) {
    for (int i = 0; i < count; ++i) service.put(prefix + std::to_string(i), "value");
  }
  static void empty(Service& service) {
    service.data.clear();
    segue_table_clear(service.table);
  }
};

TEST_F(TableClear, during_the_background_leaves_what_came_after) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first, "old", kRecords);
  Service second(options());
  ASSERT_EQ(second.start(), SEGUE_OK);
  int emptied = 0;
  ASSERT_TRUE(run({&first, &second}, [&] {
    // In the midst of the snapshot, and again while rounds follow.
    const size_t wanted = emptied == 0 ? 100 : 200;
    if (emptied < 2 && first.active() && second.data.size() >= wanted) {
      ++emptied;
      empty(first);
      fill(first, "new" + std::to_string(emptied), 500);
    }
    return first.ended() && second.active();
  })) << first.error();
  EXPECT_GE(emptied, 1);
  EXPECT_EQ(second.data, first.data);
}

TEST_F(TableClear, during_the_rehearsal_is_no_difference) {
  Service* changing = nullptr;
  int encoded = 0;
  ServiceOptions emptying = options();
  // Each record is encoded once for the snapshot and once for the rehearsal.
  emptying.hooks.encode = [&](const std::string&) {
    if (++encoded != kRecords + kRecords / 2) return;
    empty(*changing);
    changing->put("afterwards", "value");
  };
  Service first(emptying);
  changing = &first;
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first, "old", kRecords);
  Service second(options());
  hand_over(first, second);
  EXPECT_EQ(second.data, first.data);
  EXPECT_EQ(second.data.size(), 1U);
}

TEST_F(TableClear, without_a_handoff_is_nothing) {
  Service first(options());
  ASSERT_EQ(first.start(), SEGUE_OK);
  fill(first, "old", 10);
  empty(first);
  fill(first, "new", 3);
  Service second(options());
  hand_over(first, second);
  EXPECT_EQ(second.data.size(), 3U);
}

}  // namespace
}  // namespace segue::handoff::test
