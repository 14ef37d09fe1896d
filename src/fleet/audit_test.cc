// SPDX-License-Identifier: Apache-2.0
#include "fleet/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "fleet/layout.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

std::vector<std::string> log_of(std::size_t count) {
  std::vector<std::string> lines;
  for (std::size_t number = 1; number <= count; ++number) {
    lines.push_back(
        write_audit_entry({.number = number,
                           .time_ms = 1'000 * number,
                           .by = "ada",
                           .action = "host.drain",
                           .object = "berlin-1",
                           .text = "",
                           .previous = lines.empty() ? "" : audit_digest(lines.back())}));
  }
  return lines;
}

// What is wrong with the log; empty: nothing.
std::string verify(const std::vector<std::string>& lines) {
  AuditVerifier verifier;
  for (const auto& line : lines) {
    if (const auto taken = verifier.take(line); !taken) {
      EXPECT_EQ(taken.error().code(), ErrorCode::data_loss);
      return taken.error().message();
    }
  }
  EXPECT_EQ(verifier.count(), lines.size());
  EXPECT_EQ(verifier.digest(), audit_digest(lines.back()));
  return "";
}

TEST(Audit, a_log_that_nobody_touched_is_whole) {
  EXPECT_EQ(verify(log_of(1)), "");
  EXPECT_EQ(verify(log_of(50)), "");
}

TEST(Audit, an_entry_that_was_changed_shows_in_the_next_one) {
  auto lines = log_of(5);
  auto entry = *read_audit_entry(lines[2]);
  entry.by = "bob";
  lines[2] = write_audit_entry(entry);
  EXPECT_THAT(verify(lines), HasSubstr("entry 3 was changed"));
}

TEST(Audit, an_entry_that_is_missing_or_put_in_between_is_named) {
  auto lines = log_of(5);
  lines.erase(lines.begin() + 2);
  EXPECT_EQ(verify(lines), "after entry 2 comes entry 4");
  lines = log_of(5);
  lines.insert(lines.begin() + 2, lines[1]);
  EXPECT_EQ(verify(lines), "after entry 2 comes entry 2");
  lines = log_of(5);
  lines[3] = "{}";
  EXPECT_THAT(verify(lines), HasSubstr("entry 4 is damaged"));
}

TEST(Audit, a_log_whose_end_was_written_anew_has_another_digest) {
  const auto lines = log_of(5);
  auto forged = log_of(4);
  forged.push_back(write_audit_entry(
      {.number = 5, .by = "eve", .action = "host.drain", .previous = audit_digest(forged.back())}));
  EXPECT_EQ(verify(forged), "");
  EXPECT_NE(audit_digest(forged.back()), audit_digest(lines.back()));
}

TEST(Audit, a_text_that_is_too_long_is_cut_between_two_characters) {
  std::string text = "x";
  for (std::size_t i = 0; i < kMaxTextBytes; ++i) text += "\u00fc";
  const auto entry = read_audit_entry(write_audit_entry({.number = 1, .by = text, .text = "\xff"}));
  ASSERT_TRUE(entry) << entry.error().message();
  EXPECT_EQ(entry->by, text.substr(0, kMaxTextBytes - 1));
  EXPECT_EQ(entry->text, "\ufffd");
}

}  // namespace
}  // namespace segue::fleet
