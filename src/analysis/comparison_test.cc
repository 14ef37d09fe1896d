// SPDX-License-Identifier: Apache-2.0
#include "analysis/comparison.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "analysis/test_observations.h"

namespace segue::analysis {
namespace {

using std::chrono::hours;
using std::chrono::minutes;
using testing::HasSubstr;

Rule error_rate() {
  return rule_of(Kind::rate, "error rate", "");
}

TEST(Comparison, a_canary_that_fails_often_is_bad_and_says_why) {
  const Rule rule = error_rate();
  State state = begin(rule, milliseconds(0));
  for (int look = 1; look <= 20; ++look) {
    state =
        seen(rule, std::move(state), arms(look * kSecond, clusters(2, 50, 10), clusters(2, 50, 1)));
  }
  const Verdict verdict = judge(rule, state, 21 * kSecond);
  EXPECT_EQ(verdict.outcome, Outcome::bad);
  EXPECT_THAT(
      verdict.explanation,
      testing::MatchesRegex(
          "error rate 20.0% in the canary against 2.0% in the baseline of the same age over "
          "4,000 requests in 80 connections: an anytime-valid test says worse, e-value "
          "[0-9.e+]+ > 100"));
  const std::string json = write_verdict(verdict);
  EXPECT_THAT(json, HasSubstr(R"({"outcome":"bad","is_overdue":false,"explanation":"error rate)"));
  EXPECT_THAT(json, HasSubstr(R"("canary_requests":2000,"canary_failures":400,"canary_rate":0.2)"));
}

TEST(Comparison, a_canary_that_always_fails_is_bad_within_sixteen_connections) {
  const Rule rule = error_rate();
  State state = begin(rule, milliseconds(0));
  state = seen(rule, std::move(state), arms(kSecond, clusters(16, 3, 3), clusters(16, 3, 0)));
  EXPECT_EQ(decide(rule, state, kSecond), Outcome::bad);
}

TEST(Comparison, what_failed_once_stays_bad_whatever_comes) {
  const Rule rule = error_rate();
  State state = begin(rule, milliseconds(0));
  state = seen(rule, std::move(state), arms(kSecond, clusters(30, 20, 20), clusters(30, 20, 0)));
  for (int look = 2; look < 50; ++look) {
    state = seen(rule, std::move(state),
                 arms(look * kSecond, clusters(100, 20, 0), clusters(100, 20, 5)));
    EXPECT_EQ(decide(rule, state, look * kSecond), Outcome::bad);
  }
}

TEST(Comparison, without_failures_it_passes_when_so_much_was_seen_that_the_margin_is_shown) {
  const Rule rule = error_rate();
  State state = begin(rule, milliseconds(0));
  std::size_t passed_after = 0;
  for (std::size_t look = 1; look <= 200 && passed_after == 0; ++look) {
    const auto now = milliseconds(1'000 * look);
    state = seen(rule, std::move(state), arms(now, clusters(10, 16, 0), clusters(10, 16, 0)));
    if (decide(rule, state, now) == Outcome::good) passed_after = 10 * look;
  }
  // log(20) / log(1 + 0.95 * 0.005), and what the mixture of bets costs.
  EXPECT_GT(passed_after, 630U);
  EXPECT_LT(passed_after, 1'000U);
  EXPECT_EQ(
      judge(rule, state, hours(1)).explanation,
      "error rate 0.0% in the canary against 0.0% in the baseline of the same age over 24,960 "
      "requests in 1,560 connections: an anytime-valid test says worse by less than 50% of the "
      "baseline's and 0.5 percentage points, e-value 20 > 20");
}

TEST(Comparison, little_data_never_passes_however_good) {
  for (const Pass pass : {Pass::shown, Pass::unrefuted}) {
    Rule rule = error_rate();
    rule.comparison.pass = pass;
    State state = begin(rule, milliseconds(0));
    state =
        seen(rule, std::move(state), arms(kSecond, clusters(99, 100, 0), clusters(500, 100, 0)));
    const Verdict verdict = judge(rule, state, hours(24));
    EXPECT_EQ(verdict.outcome, Outcome::wait);
    EXPECT_TRUE(verdict.is_overdue);
    EXPECT_EQ(
        verdict.explanation,
        "error rate 0.0% in the canary against 0.0% in the baseline of the same age over "
        "59,900 requests in 599 connections: not enough data: 9,900 requests in 99 connections "
        "of the canary and 50,000 in 500 of the baseline, at least 1,000 in 100 of each are "
        "needed; open for longer than 30 min: somebody has to decide");
  }
}

TEST(Comparison, one_arm_alone_never_passes) {
  Rule rule = error_rate();
  rule.comparison.pass = Pass::unrefuted;
  State state = begin(rule, milliseconds(0));
  for (int look = 0; look < 50; ++look) {
    state = seen(rule, std::move(state), arms(look * kSecond, clusters(100, 10, 0), {}));
  }
  EXPECT_EQ(decide(rule, state, hours(1)), Outcome::wait);
  EXPECT_EQ(state.comparison.pending.size(), kMaxPending);
  EXPECT_EQ(state.comparison.left_out, 50U * 100 - kMaxPending);
}

TEST(Comparison, unrefuted_passes_with_the_minimum_of_data_and_time) {
  Rule rule = error_rate();
  rule.comparison.pass = Pass::unrefuted;
  rule.comparison.minimum_time = minutes(10);
  State state = begin(rule, milliseconds(0));
  state = seen(rule, std::move(state), arms(kSecond, clusters(100, 10, 1), clusters(100, 10, 1)));
  EXPECT_THAT(judge(rule, state, minutes(9)).explanation,
              HasSubstr("not long enough: 9 min of at least 10 min"));
  const Verdict verdict = judge(rule, state, minutes(10));
  EXPECT_EQ(verdict.outcome, Outcome::good);
  EXPECT_THAT(
      verdict.explanation,
      HasSubstr("the minimum of data is there and nothing worse was found, e-value 1 of 100"));
}

TEST(Comparison, arms_of_other_ages_are_not_compared) {
  const Rule rule = error_rate();
  State state = begin(rule, milliseconds(0));
  Observation observation = arms(kSecond, clusters(200, 20, 20), clusters(200, 20, 0));
  std::get<Comparison>(observation.content).baseline.age = hours(24);
  state = seen(rule, std::move(state), observation);
  const Verdict verdict = judge(rule, state, kSecond);
  EXPECT_EQ(verdict.outcome, Outcome::wait);
  EXPECT_EQ(verdict.explanation,
            "error rate: the canary has served for 5 min and the baseline for 24 h: they compare "
            "when both have served for 0 ms and neither more than 2 times as long as the other");
  EXPECT_EQ(state.comparison.not_comparable, 1U);
  EXPECT_EQ(state.comparison.canary.requests, 0U);
}

TEST(Comparison, ages_compare_within_the_factor_and_after_the_warm_up) {
  ComparisonRule rule;
  rule.warm_up = minutes(1);
  EXPECT_TRUE(is_comparable(rule, minutes(1), minutes(2)));
  EXPECT_TRUE(is_comparable(rule, minutes(2), minutes(1)));
  EXPECT_FALSE(is_comparable(rule, minutes(1), minutes(2) + milliseconds(1)));
  EXPECT_FALSE(is_comparable(rule, minutes(1) - milliseconds(1), minutes(1)));
  rule.warm_up = milliseconds(0);
  EXPECT_TRUE(is_comparable(rule, milliseconds(0), milliseconds(1'900)));
}

TEST(Comparison, clusters_pair_only_with_those_of_their_time) {
  const Rule rule = error_rate();
  State state = begin(rule, milliseconds(0));
  state = seen(rule, std::move(state), arms(kSecond, clusters(10, 5, 0), clusters(4, 5, 0)));
  EXPECT_EQ(state.comparison.pairs, 4U);
  EXPECT_EQ(state.comparison.pending.size(), 6U);
  state = seen(rule, std::move(state), arms(30 * kSecond, {}, clusters(2, 5, 0)));
  EXPECT_EQ(state.comparison.pairs, 6U);
  state = seen(rule, std::move(state), arms(62 * kSecond, {}, clusters(5, 5, 0)));
  EXPECT_EQ(state.comparison.pairs, 6U);
  EXPECT_EQ(state.comparison.left_out, 4U);
  EXPECT_FALSE(state.comparison.is_pending_canary);
}

TEST(Comparison, more_failures_of_the_canary_are_never_less_evidence) {
  const Rule rule = error_rate();
  std::mt19937 draw(7);
  State state = begin(rule, milliseconds(0));
  for (int look = 1; look < 300; ++look) {
    const std::uint64_t requests = 1 + draw() % 40;
    const std::uint64_t canary = draw() % requests;
    const std::uint64_t baseline = draw() % requests;
    const auto evidence = [&](std::uint64_t canary_failures, std::uint64_t baseline_failures) {
      const State next = seen(rule, state,
                              arms(look * kSecond, clusters(1, requests, canary_failures),
                                   clusters(1, requests, baseline_failures)));
      return std::pair(next.comparison.worse.log_e(), next.comparison.acceptable.log_e());
    };
    const auto plain = evidence(canary, baseline);
    const auto worse_canary = evidence(canary + 1, baseline);
    const auto worse_baseline = evidence(canary, baseline + 1);
    EXPECT_GE(worse_canary.first, plain.first);
    EXPECT_LE(worse_canary.second, plain.second);
    EXPECT_LE(worse_baseline.first, plain.first);
    EXPECT_GE(worse_baseline.second, plain.second);
    state = seen(rule, std::move(state),
                 arms(look * kSecond, clusters(1, requests, canary % 2), clusters(1, requests, 0)));
  }
}

// Connections of very different sizes, of which one in ten fails every second request.
std::vector<Cluster> clustered(std::mt19937& draw, std::size_t count, unsigned bad_percent) {
  std::vector<Cluster> drawn;
  for (std::size_t place = 0; place < count; ++place) {
    const std::uint64_t requests = 1 + (draw() % 20 == 0 ? draw() % 500 : draw() % 15);
    const bool is_bad = draw() % 100 < bad_percent;
    drawn.push_back({.requests = requests, .failures = is_bad ? requests / 2 : 0, .latencies = {}});
  }
  return drawn;
}

TEST(Comparison, equal_arms_are_rarely_called_bad_though_looked_at_after_every_connection) {
  Rule rule = error_rate();
  rule.comparison.alpha = 0.1;  // so that 300 rollouts tell
  rule.comparison.tolerance = 0;
  int bad = 0;
  for (unsigned seed = 1; seed <= 300; ++seed) {
    std::mt19937 draw(seed);
    State state = begin(rule, milliseconds(0));
    for (int look = 0; look < 400; ++look) {
      state = seen(rule, std::move(state),
                   arms(look * kSecond, clustered(draw, 1, 10), clustered(draw, 1, 10)));
    }
    bad += decide(rule, state, hours(1)) == Outcome::bad ? 1 : 0;
  }
  EXPECT_LE(bad, 30);
  EXPECT_GE(bad, 1);  // else it would be blind
}

TEST(Comparison, a_canary_that_is_twice_as_bad_is_found) {
  const Rule rule = error_rate();
  int bad = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    std::mt19937 draw(seed);
    State state = begin(rule, milliseconds(0));
    for (int look = 0; look < 200; ++look) {
      state = seen(rule, std::move(state),
                   arms(look * kSecond, clustered(draw, 10, 20), clustered(draw, 10, 10)));
    }
    bad += decide(rule, state, hours(1)) == Outcome::bad ? 1 : 0;
  }
  EXPECT_EQ(bad, 20);
}

TEST(Comparison, a_canary_beyond_the_margin_rarely_passes) {
  Rule rule = error_rate();
  rule.comparison.margin = 0.5;
  rule.comparison.absolute_margin = 0;
  rule.comparison.good_alpha = 0.1;
  rule.comparison.alpha = 1e-9;  // it is to pass, if it can
  int good = 0;
  for (unsigned seed = 1; seed <= 100; ++seed) {
    std::mt19937 draw(seed);
    State state = begin(rule, milliseconds(0));
    for (int look = 0; look < 60; ++look) {
      state = seen(rule, std::move(state),
                   arms(look * kSecond, clustered(draw, 20, 15), clustered(draw, 20, 10)));
      if (decide(rule, state, look * kSecond) == Outcome::good) {
        ++good;
        break;
      }
    }
  }
  EXPECT_LE(good, 10);
}

std::vector<Cluster> latencies(std::mt19937& draw, std::size_t count, double slowness) {
  std::vector<Cluster> drawn;
  std::normal_distribution<double> normal;
  for (std::size_t place = 0; place < count; ++place) {
    const double connection = 0.3 * normal(draw);
    std::vector<std::uint64_t> counts(kBuckets);
    for (int request = 0; request < 10; ++request) {
      const double us = 10'000 * slowness * std::exp(connection + 0.4 * normal(draw));
      ++counts[bucket_of(static_cast<std::uint64_t>(us))];
    }
    std::vector<BucketCount> sparse;
    for (std::size_t bucket = 0; bucket < kBuckets; ++bucket) {
      if (counts[bucket] > 0) sparse.push_back({static_cast<Bucket>(bucket), counts[bucket]});
    }
    drawn.push_back(with_latencies(std::move(sparse)));
  }
  return drawn;
}

Verdict watch_latencies(double slowness, bool is_paired, int looks) {
  const Rule rule = rule_of(Kind::latency, "latency", "");
  State state = begin(rule, milliseconds(0));
  std::mt19937 draw(3);
  milliseconds now{0};
  for (int look = 0; look < looks; ++look) {
    now += kSecond;
    Observation observation = arms(now, latencies(draw, 40, slowness), latencies(draw, 40, 1));
    std::get<Comparison>(observation.content).is_paired = is_paired;
    state = seen(rule, std::move(state), observation);
    if (decide(rule, state, now) != Outcome::wait) break;
  }
  return judge(rule, state, now);
}

TEST(Comparison, a_slower_canary_is_bad_and_an_equal_one_passes) {
  const Verdict bad = watch_latencies(1.5, false, 100);
  EXPECT_EQ(bad.outcome, Outcome::bad);
  EXPECT_THAT(bad.explanation, testing::MatchesRegex(
                                   "latency p99 [0-9.]+ ms in the canary against [0-9.]+ ms in the "
                                   "baseline of the same age over .* connections: an anytime-valid "
                                   "test says worse, e-value .* > 100"));
  EXPECT_EQ(watch_latencies(1, false, 250).outcome, Outcome::good);
  EXPECT_EQ(watch_latencies(0.5, false, 100).outcome, Outcome::good);
}

TEST(Comparison, latency_per_connection_before_and_after_a_handoff_is_one_paired_observation) {
  EXPECT_EQ(watch_latencies(1.6, true, 50).outcome, Outcome::bad);
  EXPECT_NE(watch_latencies(1, true, 50).outcome, Outcome::bad);
}

// As histograms with these edges tell of them.
std::vector<Cluster> known_between(const std::vector<std::uint64_t>& edges_us,
                                   std::vector<Cluster> clusters) {
  for (Cluster& cluster : clusters) {
    Histogram histogram;
    for (const BucketCount& count : cluster.latencies) {
      Bucket known = 0;
      for (const std::uint64_t edge_us : edges_us) {
        const Bucket edge = bucket_from(static_cast<double>(edge_us));
        if (count.bucket >= edge) known = edge;
      }
      histogram.add(known, count.requests);
    }
    cluster.latencies = histogram.counts();
  }
  return clusters;
}

Verdict watch_between(const std::vector<std::uint64_t>& edges_us, Rule rule, double slowness,
                      int looks, unsigned seed = 3) {
  State state = begin(rule, milliseconds(0));
  std::mt19937 draw(seed);
  milliseconds now{0};
  for (int look = 0; look < looks; ++look) {
    now += kSecond;
    Observation observation = arms(now, known_between(edges_us, latencies(draw, 40, slowness)),
                                   known_between(edges_us, latencies(draw, 40, 1)));
    std::get<Comparison>(observation.content).edges_us = edges_us;
    state = seen(rule, std::move(state), observation);
    if (look % 16 == 0) {
      EXPECT_EQ(read_state(write_state(state)).value_or(State{}), state);
    }
    if (decide(rule, state, now) != Outcome::wait) break;
  }
  return judge(rule, state, now);
}

TEST(Comparison, latencies_known_by_few_edges_are_compared_at_these) {
  Rule rule = rule_of(Kind::latency, "latency", "");
  rule.comparison.margin = 1.5;
  // Its p99 is some 32 ms.
  const std::vector<std::uint64_t> edges_us{10'000, 25'000, 33'000, 66'000};
  const Verdict bad = watch_between(edges_us, rule, 4, 100);
  EXPECT_EQ(bad.outcome, Outcome::bad);
  EXPECT_THAT(bad.explanation, HasSubstr("latency p99 beyond 66 ms in the canary against 25 ms to "
                                         "33 ms in the baseline"));
  EXPECT_THAT(bad.explanation, HasSubstr("with buckets that end at 33 ms and 66 ms, 'worse' begins "
                                         "at 66 ms (100.0% slower; tolerance 5.0%)"));
  EXPECT_EQ(watch_between(edges_us, rule, 1, 400).outcome, Outcome::good);
  for (unsigned seed = 0; seed < 8; ++seed) {
    EXPECT_NE(watch_between(edges_us, rule, 1.04, 30, seed).outcome, Outcome::bad)
        << "within the tolerance, whatever edge it crosses";
  }
}

TEST(Comparison, where_no_edge_lies_within_the_margin_nothing_is_shown_and_it_says_so) {
  Rule rule = rule_of(Kind::latency, "latency", "");
  const std::vector<std::uint64_t> edges_us{10'000, 25'000, 50'000, 100'000};
  const Verdict same = watch_between(edges_us, rule, 1, 200);
  EXPECT_EQ(same.outcome, Outcome::wait);
  EXPECT_THAT(same.explanation,
              HasSubstr("a margin of 20.0% can hardly be shown, one of 100.0% can"));
  rule.comparison.pass = Pass::unrefuted;
  EXPECT_EQ(watch_between(edges_us, rule, 1, 200).outcome, Outcome::good);
  const Verdict beyond = watch_between({1'000, 5'000}, rule, 1, 50);
  EXPECT_THAT(beyond.explanation, HasSubstr("the last bucket ends at 5 ms, and the baseline is "
                                            "beyond it: nothing can be compared"));
}

TEST(Comparison, other_edges_begin_anew) {
  const Rule rule = rule_of(Kind::latency, "latency", "");
  State state = begin(rule, milliseconds(0));
  std::mt19937 draw(3);
  const auto look = [&](const std::vector<std::uint64_t>& edges_us) {
    Observation observation =
        arms(state.last_at + kSecond, known_between(edges_us, latencies(draw, 300, 1)),
             known_between(edges_us, latencies(draw, 300, 1)));
    std::get<Comparison>(observation.content).edges_us = edges_us;
    state = seen(rule, std::move(state), observation);
  };
  look({25'000, 50'000});
  EXPECT_EQ(state.comparison.edges->baseline, bucket_from(50'000));
  look({25'000, 40'000});
  EXPECT_EQ(state.comparison.edges_us, (std::vector<std::uint64_t>{25'000, 40'000}));
  EXPECT_EQ(state.comparison.edges->baseline, bucket_from(40'000));
}

TEST(Comparison, the_late_watch_finds_what_begins_to_fail_after_hours) {
  Rule rule = error_rate();
  rule.late_watch = hours(2);
  std::mt19937 draw(11);
  State state = begin(rule, milliseconds(0));
  milliseconds now{0};
  const auto look = [&](unsigned bad_percent) {
    now += minutes(1);
    state = seen(rule, std::move(state),
                 arms(now, clustered(draw, 10, bad_percent), clustered(draw, 10, 10)));
    return decide(rule, state, now);
  };
  for (int minute = 0; minute < 120; ++minute) ASSERT_NE(look(10), Outcome::bad);
  state = begin_late_watch(rule, std::move(state), now);
  for (int minute = 0; minute < 80; ++minute) ASSERT_EQ(look(10), Outcome::wait);
  EXPECT_THAT(judge(rule, state, now).explanation,
              HasSubstr("nothing worse so far, watched for 80 min of 2 h"));
  int minutes_to_bad = 0;
  while (minutes_to_bad < 40 && look(60) != Outcome::bad) ++minutes_to_bad;
  EXPECT_LT(minutes_to_bad, 15);
  EXPECT_THAT(judge(rule, state, now).explanation, HasSubstr("worse since the late watch began"));
}

TEST(Comparison, the_late_watch_ends_good_with_data_of_its_own_only) {
  Rule rule = error_rate();
  rule.late_watch = minutes(30);
  State state = begin(rule, milliseconds(0));
  state = seen(rule, std::move(state), arms(kSecond, clusters(900, 20, 0), clusters(900, 20, 0)));
  EXPECT_EQ(decide(rule, state, kSecond), Outcome::good);
  state = begin_late_watch(rule, std::move(state), kSecond);
  EXPECT_EQ(decide(rule, state, hours(2)), Outcome::wait);
  EXPECT_THAT(judge(rule, state, hours(2)).explanation,
              HasSubstr("not enough data in the late watch"));
  state =
      seen(rule, std::move(state), arms(minutes(5), clusters(100, 20, 0), clusters(100, 20, 0)));
  EXPECT_EQ(decide(rule, state, minutes(30)), Outcome::wait);
  EXPECT_EQ(decide(rule, state, minutes(31)), Outcome::good);
}

}  // namespace
}  // namespace segue::analysis
