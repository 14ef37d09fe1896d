// SPDX-License-Identifier: Apache-2.0
// The bets are fair: over everything that can happen, a gambler ends with what he began with. All
// of it is counted, not drawn.
#include "analysis/evidence.h"

#include <gtest/gtest.h>

#include <cmath>

#include "analysis/test_observations.h"

namespace segue::analysis {
namespace {

TEST(WorseEvidence, is_a_martingale_over_all_signs_of_any_differences) {
  const std::vector<double> sizes = {0, 1e-9, 0.01, 0.3, 1, 2.5, 40, 1e6, 0.7, 0.7};
  double mean = 0;
  for (unsigned signs = 0; signs < 1U << sizes.size(); ++signs) {
    WorseEvidence evidence;
    for (std::size_t place = 0; place < sizes.size(); ++place) {
      evidence.bet((signs >> place & 1U) != 0 ? sizes[place] : -sizes[place]);
    }
    mean += std::exp(evidence.log_e()) / static_cast<double>(1U << sizes.size());
  }
  EXPECT_NEAR(mean, 1, 1e-9);
}

// Clusters of all kinds, one of them with every request failing, another with very many requests.
const std::vector<std::pair<Cluster, Cluster>> kPairs = {
    {{20, 0, {}}, {20, 1, {}}},   {{5, 5, {}}, {7, 0, {}}},    {{1'000'000, 9'000, {}}, {1, 0, {}}},
    {{16, 16, {}}, {16, 16, {}}}, {{3, 1, {}}, {400, 2, {}}},  {{2, 0, {}}, {1, 1, {}}},
    {{90, 3, {}}, {30, 0, {}}},   {{64, 0, {}}, {64, 32, {}}},
};

double mean_over_all_swaps(const Rule& rule) {
  double mean = 0;
  const unsigned all = 1U << kPairs.size();
  for (unsigned swaps = 0; swaps < all; ++swaps) {
    State state = begin(rule, milliseconds(0));
    for (std::size_t place = 0; place < kPairs.size(); ++place) {
      auto [canary, baseline] = kPairs[place];
      if ((swaps >> place & 1U) != 0) std::swap(canary, baseline);
      state = seen(rule, std::move(state), arms(kSecond, {canary}, {baseline}));
    }
    mean += std::exp(state.comparison.worse.log_e()) / all;
  }
  return mean;
}

TEST(WorseEvidence, is_a_martingale_when_it_says_nothing_which_arm_a_cluster_is_of) {
  Rule rule = rule_of(Kind::rate, "error rate", "");
  rule.comparison.tolerance = 0;
  EXPECT_NEAR(mean_over_all_swaps(rule), 1, 1e-9);
}

TEST(WorseEvidence, is_a_supermartingale_with_tolerances) {
  Rule rule = rule_of(Kind::rate, "error rate", "");
  rule.comparison.tolerance = 0.5;
  rule.comparison.margin = 0.5;
  rule.comparison.absolute_tolerance = 0.005;
  EXPECT_LT(mean_over_all_swaps(rule), 0.99);
}

// The mean of the e-value for a good canary, over all that four pairs of single requests can do.
double mean_acceptable(double canary_rate, double baseline_rate, const Rule& rule) {
  double mean = 0;
  constexpr unsigned kPairCount = 4;
  for (unsigned outcome = 0; outcome < 1U << (2 * kPairCount); ++outcome) {
    double probability = 1;
    State state = begin(rule, milliseconds(0));
    for (unsigned pair = 0; pair < kPairCount; ++pair) {
      const unsigned canary = outcome >> (2 * pair) & 1U;
      const unsigned baseline = outcome >> (2 * pair + 1) & 1U;
      probability *= (canary != 0 ? canary_rate : 1 - canary_rate) *
                     (baseline != 0 ? baseline_rate : 1 - baseline_rate);
      state = seen(rule, std::move(state),
                   arms(kSecond, clusters(1, 1, canary), clusters(1, 1, baseline)));
    }
    mean += probability * std::exp(state.comparison.acceptable.log_e());
  }
  return mean;
}

TEST(AcceptableEvidence, is_a_martingale_at_the_margin_and_shrinks_beyond) {
  Rule rule = rule_of(Kind::rate, "error rate", "");
  rule.comparison.cluster_cap = 1;
  rule.comparison.margin = 0.5;
  rule.comparison.absolute_margin = 0.1;
  EXPECT_NEAR(mean_acceptable(0.5 * 0.2 + 0.2 + 0.1, 0.2, rule), 1, 1e-9);
  EXPECT_LT(mean_acceptable(0.6, 0.2, rule), 0.9);
  EXPECT_GT(mean_acceptable(0.2, 0.2, rule), 1.1);
}

TEST(AcceptableEvidence, cannot_lose_more_than_it_has) {
  AcceptableEvidence evidence;
  for (int pair = 0; pair < 1'000; ++pair) evidence.bet(-1);
  EXPECT_TRUE(std::isfinite(evidence.log_e()));
  EXPECT_LT(evidence.log_e(), -20);
}

}  // namespace
}  // namespace segue::analysis
