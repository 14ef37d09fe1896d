// SPDX-License-Identifier: Apache-2.0
#include "analysis/state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "analysis/test_observations.h"

namespace segue::analysis {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

Cluster drawn(std::mt19937& draw, Kind kind) {
  Cluster cluster;
  const std::uint64_t requests = 1 + draw() % 50;
  if (kind == Kind::latency) {
    const auto bucket = static_cast<Bucket>(300 + draw() % 200);
    return with_latencies({{bucket, requests}, {static_cast<Bucket>(bucket + 9), 1}});
  }
  cluster.requests = requests;
  cluster.failures = draw() % 10 == 0 ? draw() % requests : 0;
  return cluster;
}

Observation drawn(std::mt19937& draw, Kind kind, milliseconds at) {
  if (kind == Kind::threshold) return value(at, 1.0 / static_cast<double>(1 + draw() % 7));
  std::vector<Cluster> canary;
  std::vector<Cluster> baseline;
  for (auto left = draw() % 5; left > 0; --left) canary.push_back(drawn(draw, kind));
  for (auto left = draw() % 5; left > 0; --left) baseline.push_back(drawn(draw, kind));
  return arms(at, std::move(canary), std::move(baseline));
}

class OfEachKind : public testing::TestWithParam<Kind> {
 protected:
  OfEachKind() : rule_(rule_of(GetParam(), "a rule", "a source")) {}
  Rule rule_;
};
INSTANTIATE_TEST_SUITE_P(State, OfEachKind,
                         testing::Values(Kind::threshold, Kind::rate, Kind::latency));

TEST_P(OfEachKind, goes_on_after_json_as_if_nothing_had_happened) {
  std::mt19937 draw(1);
  State straight = begin(rule_, milliseconds(5));
  State restarted = straight;
  for (int look = 1; look <= 400; ++look) {
    const Observation observation = drawn(draw, GetParam(), look * kSecond);
    straight = seen(rule_, std::move(straight), observation);
    restarted = seen(rule_, std::move(restarted), observation);
    if (look == 200) {
      straight = begin_late_watch(rule_, std::move(straight), look * kSecond);
      restarted = begin_late_watch(rule_, std::move(restarted), look * kSecond);
    }
    auto read = read_state(write_state(restarted));
    ASSERT_TRUE(read.has_value()) << read.error().to_string();
    ASSERT_EQ(*read, restarted);
    restarted = *std::move(read);
  }
  EXPECT_EQ(straight, restarted);
}

TEST_P(OfEachKind, stays_small_whatever_comes) {
  std::mt19937 draw(2);
  State state = begin(rule_, milliseconds(0));
  std::size_t largest = 0;
  for (int look = 1; look <= 3'000; ++look) {
    state = seen(rule_, std::move(state), drawn(draw, GetParam(), look * kSecond));
    if (look % 50 == 0) largest = std::max(largest, write_state(state).size());
  }
  EXPECT_LE(largest, 64U << 10);
}

TEST_P(OfEachKind, damaged_json_is_an_error_and_no_other_state) {
  std::mt19937 draw(3);
  State state = begin(rule_, milliseconds(0));
  for (int look = 1; look <= 60; ++look) {
    state = seen(rule_, std::move(state), drawn(draw, GetParam(), look * kSecond));
  }
  state = begin_late_watch(rule_, std::move(state), 60 * kSecond);
  const std::string whole = write_state(state);
  for (std::size_t cut = 0; cut < whole.size(); cut += 7) {
    EXPECT_FALSE(read_state(whole.substr(0, cut)).has_value());
  }
  int still_read = 0;
  for (int damage = 0; damage < 2'000; ++damage) {
    std::string damaged = whole;
    damaged[draw() % damaged.size()] = static_cast<char>(' ' + draw() % 95);
    auto read = read_state(damaged);
    if (!read) {
      EXPECT_EQ(read.error().code(), ErrorCode::data_loss);
      continue;
    }
    ++still_read;  // another digit
    for (int look = 61; look < 70; ++look) {
      auto next = observe(rule_, *read, drawn(draw, GetParam(), 10'000'000 * kSecond));
      (void)next;
    }
    (void)judge(rule_, *read, read->last_at);
  }
  EXPECT_LT(still_read, 2'000);
}

TEST_P(OfEachKind, rules_go_through_json) {
  const auto read = read_rule(write_rule(rule_));
  ASSERT_TRUE(read.has_value()) << read.error().to_string();
  EXPECT_EQ(*read, rule_);
  EXPECT_TRUE(check(rule_).has_value());
  EXPECT_EQ(fingerprint(*read), fingerprint(rule_));
  EXPECT_FALSE(read_rule(write_rule(rule_) + "x").has_value());
  EXPECT_FALSE(read_rule("{}").has_value());
}

TEST(State, of_another_rule_is_refused) {
  const Rule rule = rule_of(Kind::rate, "error rate", "");
  Rule other = rule;
  other.name = "another name";
  EXPECT_TRUE(observe(other, begin(rule, milliseconds(0)), arms(kSecond, {}, {})).has_value());
  other.comparison.tolerance = 0.2;
  const auto refused = observe(other, begin(rule, milliseconds(0)), arms(kSecond, {}, {}));
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(decide(other, begin(rule, milliseconds(0)), milliseconds(0)), Outcome::wait);
}

TEST(State, a_newer_format_is_refused) {
  std::string json = write_state(begin(rule_of(Kind::rate, "r", ""), milliseconds(0)));
  const auto place = json.find(R"("format":1)");
  ASSERT_NE(place, std::string::npos);
  json.replace(place, 10, R"("format":2)");
  EXPECT_THAT(read_state(json).error().message(), HasSubstr("format 2"));
}

void expect_refused(Kind kind, const Observation& observation, const char* why) {
  const Rule rule = rule_of(kind, "a rule", "");
  const auto refused = observe(rule, begin(rule, milliseconds(0)), observation);
  ASSERT_FALSE(refused.has_value()) << why;
  EXPECT_EQ(refused.error().code(), ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message(), HasSubstr(why));
}

TEST(Observation, what_is_no_number_is_refused) {
  using Limits = std::numeric_limits<double>;
  for (const double number : {Limits::quiet_NaN(), Limits::infinity(), -Limits::infinity()}) {
    expect_refused(Kind::threshold, value(kSecond, number), "has to be a number");
  }
  expect_refused(Kind::threshold, arms(kSecond, {}, {}), "one value");
  expect_refused(Kind::rate, value(kSecond, 1), "two arms");
  expect_refused(Kind::rate, value(kSecond, std::nullopt), "two arms");
}

TEST(Observation, what_does_not_add_up_is_refused) {
  expect_refused(Kind::rate, arms(kSecond, clusters(1, 5, 6), {}), "6 of 5 requests");
  expect_refused(Kind::rate, arms(kSecond, {}, clusters(1, UINT64_MAX, 0)), "are possible");
  expect_refused(Kind::rate, arms(kSecond, clusters(kMaxClustersPerArm + 1, 1, 0), {}),
                 "clusters at once");
  expect_refused(Kind::rate, arms(milliseconds::max(), {}, {}), "a time of");
  expect_refused(Kind::rate, arms(-kSecond, {}, {}), "came after");
  expect_refused(Kind::latency, arms(kSecond, clusters(1, 5, 0), {}), "and 0 latencies");
  expect_refused(Kind::latency, arms(kSecond, {with_latencies({{5, 1}, {5, 1}})}, {}), "ascend");
  expect_refused(Kind::latency, arms(kSecond, {with_latencies({{kBuckets, 1}})}, {}), "below");
  Observation young = arms(kSecond, {}, {});
  std::get<Comparison>(young.content).canary.age = milliseconds(-1);
  expect_refused(Kind::rate, young, "an age of -1 ms");
  Observation paired = arms(kSecond, clusters(2, 1, 0), clusters(1, 1, 0));
  std::get<Comparison>(paired.content).is_paired = true;
  expect_refused(Kind::rate, paired, "paired");
}

TEST(Observation, the_largest_that_are_possible_do_not_overflow) {
  const Rule rule = rule_of(Kind::rate, "r", "");
  State state = begin(rule, milliseconds(0));
  for (int look = 0; look < 10; ++look) {
    state =
        seen(rule, std::move(state),
             arms(look * kSecond, clusters(4'096, kMaxRequestsPerCluster, kMaxRequestsPerCluster),
                  clusters(4'096, kMaxRequestsPerCluster, 0)));
  }
  EXPECT_TRUE(std::isfinite(state.comparison.worse.log_e()));
  EXPECT_TRUE(read_state(write_state(state)).has_value());
}

TEST(Rule, numbers_that_make_no_sense_are_refused_by_name) {
  const auto refused = [](auto change, Kind kind = Kind::rate) {
    Rule rule = rule_of(kind, "r", "");
    change(rule);
    const auto checked = check(rule);
    return checked ? std::string("accepted") : checked.error().message();
  };
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.alpha = 0; }), HasSubstr("alpha"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.alpha = std::nan(""); }),
              HasSubstr("alpha"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.good_alpha = 1; }), HasSubstr("good_alpha"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.margin = 0.05; }), HasSubstr("margin"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.minimum_requests = 0; }),
              HasSubstr("never passes"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.cluster_cap = 0; }),
              HasSubstr("cluster_cap"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.max_age_ratio = 0.5; }),
              HasSubstr("max_age_ratio"));
  EXPECT_THAT(refused([](Rule& rule) { rule.name.clear(); }), HasSubstr("name"));
  EXPECT_THAT(refused([](Rule& rule) { rule.wait_limit = milliseconds(-1); }),
              HasSubstr("wait_limit"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.quantile = 1; }, Kind::latency),
              HasSubstr("quantile"));
  EXPECT_THAT(refused([](Rule& rule) { rule.comparison.absolute_margin = 0.1; }, Kind::latency),
              HasSubstr("for rates"));
  EXPECT_THAT(refused([](Rule& rule) { rule.threshold.limit = std::nan(""); }, Kind::threshold),
              HasSubstr("limit"));
  EXPECT_THAT(refused([](Rule& rule) { rule.threshold.good_observations = 0; }, Kind::threshold),
              HasSubstr("good_observations"));
}

}  // namespace
}  // namespace segue::analysis
