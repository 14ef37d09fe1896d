// SPDX-License-Identifier: Apache-2.0
#include "handoff/fields.h"

#include <gtest/gtest.h>

#include "handoff/siphash.h"

namespace segue::handoff {
namespace {

TEST(Varint, round_trips_at_every_length) {
  for (int bit = 0; bit < 64; ++bit) {
    for (const uint64_t value : {uint64_t{1} << bit, (uint64_t{1} << bit) - 1}) {
      std::string bytes;
      append_varint(bytes, value);
      std::string_view rest = bytes;
      EXPECT_EQ(take_varint(rest), value);
      EXPECT_TRUE(rest.empty());
    }
  }
}

TEST(Varint, refuses_what_is_cut_short_too_long_or_not_minimal) {
  for (const std::string_view bad :
       {std::string_view(), std::string_view("\x80", 1), std::string_view("\x80\x00", 2),
        std::string_view("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02", 10),
        std::string_view("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 11)}) {
    std::string_view rest = bad;
    EXPECT_FALSE(take_varint(rest)) << testing::PrintToString(bad);
    EXPECT_EQ(rest, bad);
  }
}

TEST(Record, is_ordered_whatever_the_order_of_writing) {
  segue_writer writer;
  put_field(writer, 3, "c");
  put_field(writer, 1, "a");
  put_field(writer, 3, "d");
  put_number(writer, 2, 300);
  finish(writer);
  segue_writer ordered;
  put_field(ordered, 1, "a");
  put_number(ordered, 2, 300);
  put_field(ordered, 3, "c");
  put_field(ordered, 3, "d");
  EXPECT_EQ(writer.fields, ordered.fields);
  EXPECT_TRUE(is_record(writer.fields));
  EXPECT_EQ(get_number(writer.fields, 2, 0), 300U);
  EXPECT_EQ(get_bytes(writer.fields, 3), "c");
}

TEST(Record, unknown_fields_come_back_as_they_were) {
  segue_writer writer;
  put_field(writer, 1, "known");
  put_field(writer, 7, "new");
  put_field(writer, 9, "newer");
  const segue_record record{writer.fields};
  const uint32_t known[] = {1};
  char kept[64];
  const size_t size = segue_unknown(&record, known, 1, kept, sizeof kept);
  ASSERT_LE(size, sizeof kept);
  segue_writer again;
  segue_put_fields(&again, kept, size);
  put_field(again, 1, "known");
  finish(again);
  EXPECT_EQ(again.fields, writer.fields);
}

TEST(Batch, entries_come_back_in_order_and_a_cut_one_is_refused) {
  std::string batch;
  append_batch_entry(batch, "k1", "v1");
  append_batch_entry(batch, "", "empty key");
  std::string_view rest = batch;
  EXPECT_EQ(take_batch_entry(rest)->value, "v1");
  EXPECT_EQ(take_batch_entry(rest)->value, "empty key");
  for (size_t cut = 1; cut < 6; ++cut) {
    std::string_view partial = std::string_view(batch).substr(0, cut);
    EXPECT_FALSE(take_batch_entry(partial)) << cut;
  }
}

// The vectors of the SipHash paper's reference code: key 00..0f, message 00..(n-1).
TEST(SipHash, matches_the_published_vectors) {
  std::string message;
  const uint64_t key0 = 0x0706050403020100;
  const uint64_t key1 = 0x0f0e0d0c0b0a0908;
  EXPECT_EQ(siphash24(message, key0, key1), 0x726fdb47dd0e0e31U);
  message.push_back(0);
  EXPECT_EQ(siphash24(message, key0, key1), 0x74f839c593dc67fdU);
  for (char c = 1; c < 15; ++c) message.push_back(c);
  EXPECT_EQ(siphash24(message, key0, key1), 0xa129ca6149be45e5U);
}

}  // namespace
}  // namespace segue::handoff
