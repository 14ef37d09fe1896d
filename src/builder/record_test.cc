// SPDX-License-Identifier: Apache-2.0
#include "builder/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::builder {
namespace {

Record ended() {
  return {.id = 7,
          .repository = "chat",
          .ref = "refs/heads/main",
          .commit = std::string(40, 'a'),
          .component = "chat",
          .version = "1.0",
          .stage = Stage::ended,
          .verdict = Verdict::published,
          .why = "\xff is not UTF-8",
          .attempts = 2,
          .queued_s = 1,
          .began_s = 2,
          .ended_s = 3,
          .noted = "pending",
          .told = "success"};
}

TEST(Record, comes_back_as_it_was_saved) {
  Record record = ended();
  record.why = "a \"quoted\"\nreason";
  EXPECT_EQ(*parse_record(encode(record)), record);
  EXPECT_TRUE(parse_record(encode(ended()))) << "bytes of a log are not always text";
}

TEST(Record, damaged_or_at_odds_with_itself_is_refused) {
  const std::string text = encode(ended());
  EXPECT_FALSE(parse_record(""));
  EXPECT_FALSE(parse_record(text.substr(0, text.size() / 2)));
  EXPECT_FALSE(parse_record(std::string(kMaxRecordBytes + 1, ' ')));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return changed;
  };
  EXPECT_FALSE(parse_record(with("\"format\": 1", "\"format\": 2")));
  EXPECT_FALSE(parse_record(with("\"id\": 7", "\"id\": 0")));
  EXPECT_FALSE(parse_record(with("\"ended\"", "\"queued\"")));
  EXPECT_FALSE(parse_record(with("\"ended\"", "\"anything\"")));
  EXPECT_FALSE(parse_record(with("\"attempts\": 2", "\"attempts\": \"2\"")));
  EXPECT_FALSE(parse_record(with("\"commit\"", "\"comit\"")));
}

}  // namespace
}  // namespace segue::builder
