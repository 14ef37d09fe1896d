// SPDX-License-Identifier: Apache-2.0
#include "analysis/histogram.h"

#include <gtest/gtest.h>

namespace segue::analysis {
namespace {

TEST(Histogram, buckets_follow_each_other_without_a_gap) {
  for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
    const auto place = static_cast<Bucket>(bucket);
    EXPECT_EQ(bucket_of(lower_edge_us(place)), bucket);
    if (bucket == 0) continue;
    EXPECT_EQ(bucket_of(lower_edge_us(place) - 1), bucket - 1);
  }
}

TEST(Histogram, an_edge_is_within_3_2_percent) {
  for (std::uint64_t latency_us = 32; latency_us < std::uint64_t{1} << 36;
       latency_us += latency_us / 7) {
    const auto edge = static_cast<double>(lower_edge_us(bucket_of(latency_us)));
    const auto latency = static_cast<double>(latency_us);
    EXPECT_LE(edge, latency);
    EXPECT_GT(edge * 1.032, latency);
  }
}

TEST(Histogram, takes_what_is_too_long_into_the_last_bucket) {
  EXPECT_EQ(bucket_of(UINT64_MAX), kBuckets - 1);
  EXPECT_EQ(bucket_of(std::uint64_t{1} << 36), kBuckets - 1);
  EXPECT_EQ(bucket_from(1e300), kBuckets - 1);
}

TEST(Histogram, rounds_a_latency_up_to_an_edge) {
  for (const double latency_us : {0.0, 0.5, 31.0, 31.5, 32.0, 1000.0, 1008.5, 123456.7}) {
    EXPECT_GE(static_cast<double>(lower_edge_us(bucket_from(latency_us))), latency_us);
    EXPECT_LE(static_cast<double>(lower_edge_us(bucket_from(latency_us))), latency_us * 1.04 + 1);
  }
}

TEST(Histogram, quantile_leaves_no_more_above_than_it_may) {
  Histogram histogram;
  EXPECT_EQ(histogram.quantile(0.99), 0);
  histogram.add(10, 985);
  histogram.add(20, 10);
  histogram.add(30, 5);
  EXPECT_EQ(histogram.quantile(0.5), 11);
  EXPECT_EQ(histogram.quantile(0.99), 21);
  EXPECT_EQ(histogram.quantile(0.995), 21);
  EXPECT_EQ(histogram.quantile(0.999), 31);
  EXPECT_EQ(histogram.total(), 1'000U);
}

}  // namespace
}  // namespace segue::analysis
