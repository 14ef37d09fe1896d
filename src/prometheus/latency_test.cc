// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "prometheus/query.h"

namespace segue::prometheus {
namespace {

using analysis::bucket_from;
using analysis::BucketCount;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using Bounds = std::vector<std::pair<std::string, double>>;  // label le, cumulative count

void add(Answer& answer, const std::string& host, const Bounds& bounds) {
  for (const auto& [bound, requests] : bounds) {
    Sample& sample = answer.samples.emplace_back();
    sample.labels = {{"__name__", "latency_bucket"}, {"host", host}, {"le", bound}};
    sample.value = requests;
  }
}

Answer answer_of(const Bounds& bounds) {
  Answer answer;
  add(answer, "a", bounds);
  return answer;
}

TEST(LatencyComparison, takes_each_set_of_labels_for_a_cluster) {
  Answer canary = answer_of({{"0.1", 90}, {"0.25", 98.6}, {"+Inf", 100.2}});
  add(canary, "b", {{"+Inf", 5}, {"0.25", 5}, {"0.1", 0}});
  const auto comparison =
      latency_comparison(canary, answer_of({{"0.1", 7}, {"0.25", 7}, {"+Inf", 7}}));
  ASSERT_TRUE(comparison) << comparison.error().to_string();
  EXPECT_THAT(comparison->edges_us, ElementsAre(100'000, 250'000));
  ASSERT_THAT(comparison->canary.clusters, SizeIs(2));
  EXPECT_EQ(comparison->canary.clusters[0].requests, 100U);
  EXPECT_THAT(comparison->canary.clusters[0].latencies,
              ElementsAre(BucketCount{0, 90}, BucketCount{bucket_from(100'000), 9},
                          BucketCount{bucket_from(250'000), 1}));
  EXPECT_THAT(comparison->canary.clusters[1].latencies,
              ElementsAre(BucketCount{bucket_from(100'000), 5}));
  EXPECT_THAT(comparison->baseline.clusters[0].latencies, ElementsAre(BucketCount{0, 7}));
  EXPECT_TRUE(check(analysis::Observation{.content = *comparison}, analysis::Kind::latency));
}

TEST(LatencyComparison, counts_in_the_buckets_that_all_have) {
  const auto comparison =
      latency_comparison(answer_of({{"0.1", 1}, {"0.2", 2}, {"0.4", 3}, {"+Inf", 4}}),
                         answer_of({{"0.1", 1}, {"0.3", 2}, {"0.4", 3}, {"+Inf", 4}}));
  ASSERT_TRUE(comparison);
  EXPECT_THAT(comparison->edges_us, ElementsAre(100'000, 400'000));
  EXPECT_THAT(comparison->canary.clusters[0].latencies,
              ElementsAre(BucketCount{0, 1}, BucketCount{bucket_from(100'000), 2},
                          BucketCount{bucket_from(400'000), 1}));
}

TEST(LatencyComparison, leaves_out_what_has_no_number_or_no_requests_and_lets_buckets_ascend) {
  Answer canary = answer_of({{"0.1", std::numeric_limits<double>::quiet_NaN()}, {"+Inf", 3}});
  add(canary, "b", {{"0.1", 0.2}, {"+Inf", 0.4}});
  add(canary, "c", {{"0.1", 10.6}, {"+Inf", 10.4}});
  const auto comparison = latency_comparison(canary, {});
  ASSERT_TRUE(comparison);
  ASSERT_THAT(comparison->canary.clusters, SizeIs(1));
  EXPECT_EQ(comparison->canary.clusters[0].requests, 11U);
  EXPECT_THAT(comparison->baseline.clusters, IsEmpty());
}

TEST(LatencyComparison, tells_apart_no_more_edges_than_there_are_buckets) {
  const auto comparison = latency_comparison(
      answer_of({{"-1", 0}, {"0", 0}, {"0.1", 1}, {"0.1001", 2}, {"1e9", 3}, {"+Inf", 3}}), {});
  ASSERT_TRUE(comparison);
  EXPECT_THAT(comparison->edges_us, ElementsAre(100'000));
}

TEST(LatencyComparison, refuses_what_is_no_histogram) {
  const auto text = [](const Answer& canary, const Answer& baseline) {
    return latency_comparison(canary, baseline).error().message();
  };
  const Answer good = answer_of({{"0.1", 1}, {"+Inf", 1}});
  Answer bare;
  bare.samples.emplace_back();
  EXPECT_THAT(text(good, bare), HasSubstr("no label 'le'"));
  EXPECT_THAT(text(answer_of({{"0.1", 1}}), good), HasSubstr("no bucket without a bound"));
  EXPECT_THAT(text(answer_of({{"fast", 1}}), good), HasSubstr("'fast', which is no number"));
  EXPECT_THAT(text(answer_of({{"0.2", 1}, {"+Inf", 1}}), good), HasSubstr("in common"));
  Answer warned = good;
  warned.warnings = {"partial"};
  EXPECT_THAT(text(good, warned), HasSubstr("Prometheus warns: partial"));
  Answer fine;
  Bounds bounds{{"+Inf", 1}};
  for (int i = 0; i < 150; ++i) bounds.emplace_back(fmt::format("{}", std::pow(1.1, i - 75)), 1);
  EXPECT_THAT(text(answer_of(bounds), fine), HasSubstr("150 buckets, 100 are possible"));
}

}  // namespace
}  // namespace segue::prometheus
