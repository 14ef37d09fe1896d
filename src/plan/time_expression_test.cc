// SPDX-License-Identifier: Apache-2.0
#include "plan/time_expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "plan/test_times.h"
#include "plans/system_zones.h"

namespace segue::plan {
namespace {

using testing::HasSubstr;

class TimeExpressionTest : public testing::Test {
 protected:
  ResolvedTime resolved(const std::string& text, const std::string& site_zone = "UTC",
                        Instant now = utc("2026-11-21T12:00:00Z")) {
    const auto expression = parse_time_expression(text);
    if (!expression) {
      ADD_FAILURE() << expression.error().to_string();
      return {};
    }
    const auto time = resolve(*expression, zones_, site_zone, now);
    if (!time) {
      ADD_FAILURE() << time.error().to_string();
      return {};
    }
    return *time;
  }
  std::string refusal(const std::string& text) {
    const auto expression = parse_time_expression(text);
    if (!expression) return expression.error().message();
    const auto time = resolve(*expression, zones_, "UTC", utc("2026-11-21T12:00:00Z"));
    return time ? "accepted" : time.error().message();
  }

  plans::SystemZones zones_;
};

TEST_F(TimeExpressionTest, a_time_in_a_named_zone_is_the_same_moment_at_every_site) {
  EXPECT_EQ(resolved("2026-12-01T02:00 Asia/Shanghai").instant, utc("2026-11-30T18:00:00Z"));
  EXPECT_EQ(resolved("2026-12-01 02:00:30 Asia/Shanghai", "Europe/Paris").instant,
            utc("2026-11-30T18:00:30Z"));
}

TEST_F(TimeExpressionTest, local_is_each_sites_own_clock) {
  EXPECT_EQ(resolved("2026-12-01T02:00 local", "Asia/Shanghai").instant,
            utc("2026-11-30T18:00:00Z"));
  EXPECT_EQ(resolved("2026-12-01T02:00 local", "Europe/Paris").instant,
            utc("2026-12-01T01:00:00Z"));
}

TEST_F(TimeExpressionTest, a_time_without_a_date_is_the_next_one_and_never_now) {
  EXPECT_EQ(resolved("02:00 local", "Asia/Shanghai").instant, utc("2026-11-21T18:00:00Z"));
  EXPECT_EQ(resolved("12:00 UTC").instant, utc("2026-11-22T12:00:00Z"));
  EXPECT_EQ(resolved("12:01 UTC").instant, utc("2026-11-21T12:01:00Z"));
  // 01:30 comes twice on that night; the first one is over, and there is no third.
  EXPECT_EQ(resolved("01:30 local", "America/New_York", utc("2026-11-01T05:45:00Z")).instant,
            utc("2026-11-02T06:30:00Z"));
}

TEST_F(TimeExpressionTest, rfc_3339_with_an_offset_needs_no_zone) {
  EXPECT_EQ(resolved("2026-12-01T02:00:00+08:00").instant, utc("2026-11-30T18:00:00Z"));
  EXPECT_EQ(resolved("2026-12-01T02:00-05:30").instant, utc("2026-12-01T07:30:00Z"));
  EXPECT_EQ(resolved("2026-12-01T02:00:00Z").instant, utc("2026-12-01T02:00:00Z"));
}

TEST_F(TimeExpressionTest, relative_times_count_from_now) {
  EXPECT_EQ(resolved("+30m").instant, utc("2026-11-21T12:30:00Z"));
  EXPECT_EQ(resolved("+1d2h30m5s").instant, utc("2026-11-22T14:30:05Z"));
  EXPECT_EQ(resolved("+0s").instant, utc("2026-11-21T12:00:00Z"));
}

TEST_F(TimeExpressionTest, a_time_that_clocks_skip_is_the_moment_of_their_change) {
  const ResolvedTime expected{utc("2026-03-08T07:00:00Z"), LocalKind::skipped};  // 03:00 EDT
  EXPECT_EQ(resolved("2026-03-08T02:00 America/New_York"), expected);
  EXPECT_EQ(resolved("2026-03-08T02:59:59 America/New_York"), expected);
  EXPECT_EQ(resolved("2026-03-08T03:00 America/New_York").kind, LocalKind::once);
  EXPECT_EQ(resolved("2026-03-29T02:30 local", "Europe/Paris"),
            (ResolvedTime{utc("2026-03-29T01:00:00Z"), LocalKind::skipped}));
}

TEST_F(TimeExpressionTest, a_time_that_clocks_show_twice_is_the_first) {
  EXPECT_EQ(resolved("2026-11-01T01:30 America/New_York"),
            (ResolvedTime{utc("2026-11-01T05:30:00Z"), LocalKind::twice}));
  EXPECT_EQ(resolved("2026-11-01T01:00 America/New_York").kind, LocalKind::twice);
  EXPECT_EQ(resolved("2026-11-01T02:00 America/New_York"),
            (ResolvedTime{utc("2026-11-01T07:00:00Z"), LocalKind::once}));
  // Half an hour only, and the southern summer.
  EXPECT_EQ(resolved("2026-04-05T01:45 Australia/Lord_Howe"),
            (ResolvedTime{utc("2026-04-04T14:45:00Z"), LocalKind::twice}));
}

TEST_F(TimeExpressionTest, what_is_no_time_is_refused_with_an_example) {
  for (const std::string text : {"",
                                 "tomorrow",
                                 "2026-12-01",
                                 "2026-13-01T02:00 UTC",
                                 "2026-02-29T02:00 UTC",
                                 "25:00 local",
                                 "24:00 local",
                                 "02:60 local",
                                 "2:00 local",
                                 "2026-12-01T02:00",
                                 "02:00+01:00",
                                 "2026-12-01T02:00:00.5Z",
                                 "+",
                                 "+30",
                                 "+5m1h",
                                 "+-5m",
                                 "+1x",
                                 "+999999999w",
                                 "2026-12-01T02:00  UTC",
                                 "2026-12-01T02:00 UTC ",
                                 "02:00 ../../etc/passwd",
                                 "02:00 /etc/localtime"}) {
    EXPECT_THAT(refusal(text), HasSubstr("write")) << text;
  }
  EXPECT_THAT(refusal("02:00 Asia/Atlantis"), HasSubstr("does not know the time zone"));
  EXPECT_THAT(refusal("2038-01-01T00:00 UTC"), HasSubstr("2037"));
  EXPECT_THAT(refusal("9999-01-01T00:00 Europe/Paris"), HasSubstr("2037"));
  EXPECT_THAT(refusal("1999-12-31T00:00:00Z"), HasSubstr("2000"));
  EXPECT_THAT(refusal(std::string(1'000'000, '+')), HasSubstr("100 bytes"));
}

}  // namespace
}  // namespace segue::plan
