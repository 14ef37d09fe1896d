// SPDX-License-Identifier: Apache-2.0
#include "fixed_sample.h"

#include <cmath>

namespace segue::bench {
namespace {

// A normal approximation says nothing below.
constexpr double kLeastRequests = 100;
constexpr double kLeastFailures = 10;

double above(double z) {
  return 0.5 * std::erfc(z / std::sqrt(2.0));
}

}  // namespace

void FixedSampleTest::add(const analysis::Arm& arm, Totals& totals) {
  for (const analysis::Cluster& cluster : arm.clusters) {
    totals.requests += static_cast<double>(cluster.requests);
    totals.failures += static_cast<double>(cluster.failures);
    for (const auto& count : cluster.latencies) {
      totals.latencies[count.bucket] += static_cast<double>(count.requests);
    }
  }
}

void FixedSampleTest::add(const analysis::Comparison& comparison) {
  add(comparison.canary, canary_);
  add(comparison.baseline, baseline_);
}

double FixedSampleTest::z_of_proportions() const {
  const double all = canary_.requests + baseline_.requests;
  const double failures = canary_.failures + baseline_.failures;
  if (failures < kLeastFailures) return 0;
  const double rate = failures / all;
  const double deviation =
      std::sqrt(rate * (1 - rate) * (1 / canary_.requests + 1 / baseline_.requests));
  return (canary_.failures / canary_.requests - baseline_.failures / baseline_.requests) /
         deviation;
}

double FixedSampleTest::z_of_ranks() const {
  const double n = canary_.requests;
  const double m = baseline_.requests;
  double wins = 0;
  double below = 0;
  double ties = 0;
  for (std::size_t bucket = 0; bucket < analysis::kBuckets; ++bucket) {
    const double same = canary_.latencies[bucket] + baseline_.latencies[bucket];
    wins += canary_.latencies[bucket] * (below + baseline_.latencies[bucket] / 2);
    below += baseline_.latencies[bucket];
    ties += same * (same * same - 1);
  }
  const double all = n + m;
  const double variance = n * m / 12 * (all + 1 - ties / (all * (all - 1)));
  return variance <= 0 ? 0 : (wins - n * m / 2) / std::sqrt(variance);
}

bool FixedSampleTest::says_worse(double alpha) const {
  if (canary_.requests < kLeastRequests || baseline_.requests < kLeastRequests) return false;
  const double z = kind_ == analysis::Kind::rate ? z_of_proportions() : z_of_ranks();
  return above(z) < alpha;
}

}  // namespace segue::bench
