// SPDX-License-Identifier: Apache-2.0
#include "load/histogram.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <type_traits>

namespace segue::load {
namespace {

using std::chrono::nanoseconds;

static_assert(std::is_trivially_copyable_v<Histogram>);

TEST(Histogram, empty_one_answers_zero) {
  const Histogram histogram;
  EXPECT_EQ(histogram.count(), 0U);
  EXPECT_EQ(histogram.quantile(0.99), nanoseconds(0));
  EXPECT_EQ(histogram.max(), nanoseconds(0));
}

TEST(Histogram, small_values_are_exact) {
  Histogram histogram;
  for (int i = 1; i <= 100; ++i) histogram.record(nanoseconds(i));
  EXPECT_EQ(histogram.quantile(0.50), nanoseconds(50));
  EXPECT_EQ(histogram.quantile(0.99), nanoseconds(99));
  EXPECT_EQ(histogram.quantile(1.0), nanoseconds(100));
}

TEST(Histogram, quantile_is_within_one_part_in_128_above) {
  for (std::int64_t value = 1; value < Histogram::kLongest.count() / 3; value = value * 3 + 1) {
    Histogram histogram;
    histogram.record(nanoseconds(value));
    histogram.record(Histogram::kLongest);  // so that the maximum does not hide the bucket's bound
    const std::int64_t answer = histogram.quantile(0.5).count();
    EXPECT_GE(answer, value);
    EXPECT_LE(answer - value, value / 128) << value;
  }
}

TEST(Histogram, one_outlier_among_a_thousand_shows_in_the_maximum_and_not_in_p999) {
  Histogram histogram;
  for (int i = 0; i < 999; ++i) histogram.record(nanoseconds(1'000'000));
  histogram.record(nanoseconds(80'000'000));
  EXPECT_LT(histogram.quantile(0.999), nanoseconds(1'010'000));
  EXPECT_EQ(histogram.max(), nanoseconds(80'000'000));
}

TEST(Histogram, negative_counts_as_zero_and_too_long_keeps_its_maximum) {
  Histogram histogram;
  histogram.record(nanoseconds(-5));
  EXPECT_EQ(histogram.quantile(1.0), nanoseconds(0));
  histogram.record(Histogram::kLongest * 4);
  EXPECT_EQ(histogram.count(), 2U);
  EXPECT_EQ(histogram.max(), Histogram::kLongest * 4);
}

TEST(Histogram, merge_adds_counts_and_keeps_the_larger_maximum) {
  Histogram one;
  Histogram two;
  one.record(nanoseconds(10));
  two.record(nanoseconds(20));
  two.record(nanoseconds(30));
  one.merge(two);
  EXPECT_EQ(one.count(), 3U);
  EXPECT_EQ(one.quantile(0.5), nanoseconds(20));
  EXPECT_EQ(one.max(), nanoseconds(30));
}

}  // namespace
}  // namespace segue::load
