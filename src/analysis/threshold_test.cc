// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/test_observations.h"

namespace segue::analysis {
namespace {

using std::chrono::minutes;
using testing::HasSubstr;

class Threshold : public testing::Test {
 protected:
  Threshold() : rule_(rule_of(Kind::threshold, "connections lost", "handoff")) { restart(); }

  void restart() { state_ = begin(rule_, milliseconds(0)); }
  Verdict after(milliseconds at, std::optional<double> number) {
    state_ = seen(rule_, std::move(state_), value(at, number));
    return judge(rule_, state_, at);
  }
  Verdict later(milliseconds at) { return judge(rule_, state_, at); }

  Rule rule_;
  State state_;
};

TEST_F(Threshold, a_single_bad_value_is_bad_for_good_when_the_rule_says_one) {
  EXPECT_EQ(after(kSecond, 0).outcome, Outcome::wait);
  const Verdict verdict = after(2 * kSecond, 3);
  EXPECT_EQ(verdict.outcome, Outcome::bad);
  EXPECT_EQ(verdict.explanation,
            "connections lost was above 0, which is the limit: worst 3, last 3, in 2 observations");
  for (int more = 3; more < 20; ++more) {
    EXPECT_EQ(after(more * kSecond, 0).outcome, Outcome::bad);
  }
}

TEST_F(Threshold, is_good_after_enough_good_values_over_enough_time) {
  rule_.threshold.good_observations = 3;
  rule_.threshold.good_for = minutes(2);
  restart();
  EXPECT_EQ(after(minutes(0), 0).outcome, Outcome::wait);
  EXPECT_EQ(after(minutes(1), 0).outcome, Outcome::wait);
  const Verdict waiting = after(minutes(1) + kSecond, 0);
  EXPECT_EQ(waiting.outcome, Outcome::wait);
  EXPECT_EQ(waiting.explanation,
            "connections lost is 0, not above 0, 3 times in a row over 61 s; that makes it good "
            "after 3 in a row and 2 min");
  const Verdict good = after(minutes(2), 0);
  EXPECT_EQ(good.outcome, Outcome::good);
  EXPECT_EQ(good.explanation, "connections lost is 0, not above 0, 4 times in a row over 2 min");
}

TEST_F(Threshold, bad_values_have_to_last_when_the_rule_says_so) {
  rule_.name = "p99";
  rule_.threshold.limit = 20.5;
  rule_.threshold.bad_observations = 3;
  rule_.threshold.bad_for = minutes(1);
  restart();
  EXPECT_EQ(after(0 * kSecond, 30).outcome, Outcome::wait);
  EXPECT_EQ(after(10 * kSecond, 30).outcome, Outcome::wait);
  const Verdict waiting = after(20 * kSecond, 31);
  EXPECT_EQ(waiting.outcome, Outcome::wait);
  EXPECT_EQ(waiting.explanation,
            "p99 is 31, above 20.5, 3 times in a row over 20 s; that makes it bad after 3 in a row "
            "and 60 s");
  EXPECT_EQ(after(30 * kSecond, 20).outcome, Outcome::wait);
  EXPECT_EQ(after(70 * kSecond, 30).outcome, Outcome::wait);  // a new row
  EXPECT_EQ(after(90 * kSecond, 30).outcome, Outcome::wait);
  EXPECT_EQ(after(130 * kSecond, 30).outcome, Outcome::bad);
}

TEST_F(Threshold, the_side_that_is_bad_may_be_below) {
  rule_.threshold.bad_side = Side::below;
  rule_.threshold.limit = 1;
  rule_.name = "health";
  restart();
  EXPECT_EQ(after(1 * kSecond, 1).outcome, Outcome::wait);
  EXPECT_EQ(after(2 * kSecond, 0).outcome, Outcome::bad);
}

TEST_F(Threshold, a_source_without_values_never_passes) {
  rule_.wait_limit = minutes(5);
  restart();
  EXPECT_EQ(later(kSecond).explanation, "connections lost: nothing was observed so far");
  Verdict verdict;
  for (int minute = 0; minute < 5; ++minute) {
    verdict = after(minutes(minute), std::nullopt);
    EXPECT_EQ(verdict.outcome, Outcome::wait);
    EXPECT_FALSE(verdict.is_overdue);
  }
  verdict = later(minutes(5));
  EXPECT_EQ(verdict.outcome, Outcome::wait);
  EXPECT_TRUE(verdict.is_overdue);
  EXPECT_EQ(verdict.explanation,
            "connections lost: no data: the source was asked 5 times and had no value; open for "
            "longer than 5 min: somebody has to decide");
}

TEST_F(Threshold, a_gap_begins_the_row_anew_and_old_values_do_not_pass) {
  rule_.threshold.max_gap = minutes(1);
  rule_.threshold.good_observations = 2;
  restart();
  EXPECT_EQ(after(minutes(0), 0).outcome, Outcome::wait);
  EXPECT_EQ(after(minutes(10), 0).outcome, Outcome::wait);
  EXPECT_EQ(after(minutes(11), 0).outcome, Outcome::good);
  const Verdict stale = later(minutes(20));
  EXPECT_EQ(stale.outcome, Outcome::wait);
  EXPECT_EQ(stale.explanation, "connections lost: no data for 9 min, which is more than 60 s");
}

TEST_F(Threshold, the_late_watch_ends_good_only_with_data_of_its_own) {
  rule_.late_watch = minutes(10);
  rule_.wait_limit = minutes(5);
  restart();
  for (int step = 0; step < 5; ++step) after(minutes(step), 0);
  EXPECT_EQ(later(minutes(4)).outcome, Outcome::good);
  state_ = begin_late_watch(rule_, state_, minutes(4));
  EXPECT_EQ(later(minutes(4)).outcome, Outcome::wait);
  EXPECT_EQ(later(minutes(20)).outcome, Outcome::wait);
  EXPECT_TRUE(later(minutes(20)).is_overdue);
  for (int step = 5; step < 14; ++step) {
    const Verdict verdict = after(minutes(step), 0);
    EXPECT_EQ(verdict.outcome, Outcome::wait) << step;
  }
  EXPECT_THAT(later(minutes(13)).explanation, HasSubstr("watched for 9 min of 10 min"));
  EXPECT_EQ(after(minutes(14), 0).outcome, Outcome::good);
  EXPECT_EQ(after(minutes(15), 1).outcome, Outcome::bad);
}

TEST_F(Threshold, worse_values_never_make_a_better_verdict) {
  rule_.threshold.limit = 5;
  rule_.threshold.bad_observations = 2;
  const auto rank = [](Outcome outcome) {
    return outcome == Outcome::good ? 0 : outcome == Outcome::wait ? 1 : 2;
  };
  // All sequences of five values, and each with one of them raised.
  for (unsigned values = 0; values < 32; ++values) {
    for (unsigned raised = 0; raised < 5; ++raised) {
      State low = begin(rule_, milliseconds(0));
      State high = low;
      for (unsigned place = 0; place < 5; ++place) {
        const double number = (values >> place & 1U) != 0 ? 9 : 1;
        low = seen(rule_, std::move(low), value(place * kSecond, number));
        high = seen(rule_, std::move(high), value(place * kSecond, place == raised ? 9 : number));
        EXPECT_LE(rank(decide(rule_, low, place * kSecond)),
                  rank(decide(rule_, high, place * kSecond)));
      }
    }
  }
}

}  // namespace
}  // namespace segue::analysis
