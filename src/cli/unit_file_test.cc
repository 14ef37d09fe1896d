// SPDX-License-Identifier: Apache-2.0
#include "cli/unit_file.h"

#include <gmock/gmock.h>

namespace segue::cli {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

UnitSettings parsed(const std::string& text, const std::string& drop_in = "") {
  const std::vector<UnitSource> sources = {{"unit", text}, {"drop-in", drop_in}};
  return UnitSettings::parse(sources).value();
}

TEST(UnitFile, reads_assignments_of_sections) {
  const auto unit =
      parsed("Key=outside\n[Unit]\nKey=a\n [Service] \n  Key =  b c  \n[Broken\nKey=d\n");
  EXPECT_EQ(unit.last("Unit", "Key"), "a");
  EXPECT_EQ(unit.last("Service", "Key"), "b c");
  EXPECT_EQ(unit.last("Service", "Other"), std::nullopt);
  EXPECT_THAT(unit.assigned(), ElementsAre("Service.Key", "Unit.Key"));
}

TEST(UnitFile, leaves_out_comments_and_what_is_no_assignment) {
  const auto unit = parsed("# [Unit]\n[Service]\n;A=1\n \t# B=2\nwords\n=3\nC=4 # part of it\n");
  EXPECT_THAT(unit.assigned(), ElementsAre("Service.C"));
  EXPECT_EQ(unit.last("Service", "C"), "4 # part of it");
}

TEST(UnitFile, joins_continued_lines_over_comments) {
  const auto unit = parsed(
      "[Service]\nExecStart=/bin/a \\\n  # about the next\n; and this\n  --b \\\n  c\nUser=d\n");
  EXPECT_EQ(unit.last("Service", "ExecStart"), "/bin/a  --b  c");
  EXPECT_EQ(unit.last("Service", "User"), "d");
}

TEST(UnitFile, an_even_number_of_backslashes_ends_the_line) {
  const auto unit = parsed("[Service]\nA=x\\\\\nB=y\\\\\\\nC=z\nD=end\\");
  EXPECT_EQ(unit.last("Service", "A"), "x\\\\");
  EXPECT_EQ(unit.last("Service", "B"), "y\\\\ C=z");
  EXPECT_EQ(unit.last("Service", "D"), "end");
}

TEST(UnitFile, an_empty_assignment_takes_back_what_came_before) {
  const auto unit = parsed("[Service]\nA=1\nA=2\nB=1\n", "[Service]\nA=\nA=3\nA=4\nB=\n");
  EXPECT_THAT(unit.list("Service", "A"), ElementsAre("3", "4"));
  EXPECT_THAT(unit.list("Service", "B"), IsEmpty());
  EXPECT_EQ(unit.last("Service", "B"), std::nullopt);
}

TEST(UnitFile, a_drop_in_begins_without_a_section_and_may_have_a_byte_order_mark) {
  EXPECT_EQ(parsed("[Service]\nA=1\n", "A=2\n").last("Service", "A"), "1");
  EXPECT_EQ(parsed("\xEF\xBB\xBF[Service]\r\nA=1\r\n").last("Service", "A"), "1");
}

TEST(UnitFile, what_is_no_text_is_refused) {
  for (const std::string& text : {std::string("a\0b", 3), std::string(kMaxUnitBytes + 1, 'x')}) {
    const UnitSource source{"f", text};
    EXPECT_EQ(UnitSettings::parse({&source, 1}).error().code(), base::ErrorCode::invalid_argument);
  }
}

TEST(UnitFile, reads_booleans_as_systemd_does) {
  const auto unit = parsed("[Service]\nA=Yes\nB=on\nC=1\nD=no\nE=maybe\n");
  EXPECT_TRUE(unit.is_true("Service", "A") && unit.is_true("Service", "B") &&
              unit.is_true("Service", "C"));
  EXPECT_FALSE(unit.is_true("Service", "D") || unit.is_true("Service", "E") ||
               unit.is_true("Service", "F"));
}

TEST(TimeSpan, is_read_in_all_units) {
  EXPECT_EQ(parse_time_span("5"), 5s);
  EXPECT_EQ(parse_time_span("1min 30s"), 90s);
  EXPECT_EQ(parse_time_span("2h20min"), 140min);
  EXPECT_EQ(parse_time_span("1.5s"), 1500ms);
  EXPECT_EQ(parse_time_span("infinity"), base::Duration::max());
  EXPECT_EQ(parse_time_span("90000 weeks"), base::Duration::max());
  for (const char* wrong : {"", "s", "5 parsecs", "-1", "1min x"}) {
    EXPECT_EQ(parse_time_span(wrong), std::nullopt) << wrong;
  }
}

}  // namespace
}  // namespace segue::cli
