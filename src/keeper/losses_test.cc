// SPDX-License-Identifier: Apache-2.0
#include "keeper/losses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "handoff/fields.h"

namespace segue::keeper {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string told(const std::vector<Loss>& losses, bool more = false) {
  segue_writer out;
  handoff::put_number(out, 1, 7);
  for (const Loss& loss : losses) {
    segue_writer record;
    handoff::put_number(record, 1, static_cast<std::uint64_t>(loss.kind));
    handoff::put_field(record, 2, loss.item);
    handoff::put_field(record, 3, loss.form);
    handoff::put_number(record, 4, loss.from);
    handoff::put_number(record, 5, loss.to);
    handoff::put_number(record, 6, loss.tag);
    handoff::put_field(record, 7, loss.field);
    handoff::put_number(record, 8, loss.records);
    handoff::put_field(out, 2, record.fields);
  }
  handoff::put_number(out, 3, 20'000);
  handoff::put_number(out, 4, more ? 1 : 0);
  return out.fields;
}

Loss dropped() {
  return {LossKind::dropped, "keys", "kv.entry", 3, 2, 14, "longest rest", 12'034};
}
Loss kept() {
  return {LossKind::kept, "keys", "kv.entry", 3, 2, 12, "", 1};
}

TEST(Losses, a_dropped_field_is_a_loss_and_named_with_its_records) {
  const LossReport report = losses_of(told({dropped()}));
  EXPECT_TRUE(report.known);
  EXPECT_TRUE(loses(report));
  EXPECT_EQ(report.looked_at, 20'000U);
  EXPECT_THAT(loss_lines(report, "v2"),
              ElementsAre("keys: 'longest rest' (12,034 records) has no place in form kv.entry/2 "
                          "of v2: it is dropped"));
}

TEST(Losses, a_field_that_is_kept_is_told_but_is_no_loss) {
  const LossReport report = losses_of(told({kept()}));
  EXPECT_FALSE(loses(report));
  EXPECT_THAT(loss_lines(report, "v2"),
              ElementsAre("keys: field 12 (1 record) is not known to form kv.entry/2 of v2: kept "
                          "as it is, and comes back"));
  EXPECT_EQ(loss_text(report, "v2"), "");
}

TEST(Losses, only_what_is_lost_is_a_reason_to_refuse) {
  EXPECT_EQ(loss_text(losses_of(told({kept(), dropped()})), "v2"),
            loss_lines(losses_of(told({dropped()})), "v2").front());
}

TEST(Losses, more_than_can_be_told_counts_as_a_loss) {
  EXPECT_TRUE(loses(losses_of(told({}, true))));
  EXPECT_TRUE(loses(losses_of(told(std::vector<Loss>(65, kept())))));
}

TEST(Losses, kinds_of_a_newer_library_are_not_passed_over) {
  Loss newer = kept();
  newer.kind = static_cast<LossKind>(9);
  EXPECT_TRUE(loses(losses_of(told({newer}))));
}

TEST(Losses, what_is_not_known_says_why) {
  LossReport report;
  report.why_not = "nobody serves";
  EXPECT_THAT(loss_lines(report, "v2"), ElementsAre(HasSubstr("is not known: nobody serves")));
  EXPECT_THAT(losses_json(report, "v2"), HasSubstr(R"("known":false)"));
}

}  // namespace
}  // namespace segue::keeper
