// SPDX-License-Identifier: Apache-2.0
#include "simulation.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>

namespace segue::bench {

using analysis::Arm;
using analysis::Bucket;
using analysis::Cluster;
using analysis::Comparison;
using analysis::Kind;

Comparison Simulation::next(Kind kind) {
  const double keep = std::exp(-1 / shape_.mood_looks);
  mood_ = has_begun_ ? keep * mood_ + std::sqrt(1 - keep * keep) * deviate() : deviate();
  has_begun_ = true;
  Comparison comparison;
  comparison.canary = arm(shape_.canary, kind);
  comparison.baseline = arm(shape_.baseline, kind);
  return comparison;
}

Arm Simulation::arm(const ArmShape& shape, Kind kind) {
  Arm arm;
  arm.age = std::chrono::minutes(10);
  std::poisson_distribution<int> count(shape.connections_per_look);
  for (int left = count(random_); left > 0; --left) arm.clusters.push_back(cluster(shape, kind));
  return arm;
}

Cluster Simulation::cluster(const ArmShape& arm, Kind kind) {
  std::uniform_real_distribution<double> uniform(1e-12, 1);
  const double drawn = shape_.least_requests * std::pow(uniform(random_), -1 / shape_.tail);
  const auto requests =
      static_cast<std::uint64_t>(std::min(drawn, static_cast<double>(shape_.most_requests)));
  if (kind == Kind::latency) return latencies(arm, requests);

  // A beta distribution is a ratio of gamma distributions.
  const double spread = 1 / shape_.failure_correlation - 1;
  const double mood =
      std::exp(shape_.error_mood * mood_ - shape_.error_mood * shape_.error_mood / 2);
  const double mean = std::min(0.9, arm.error_rate * mood);
  std::gamma_distribution<double> failing(mean * spread, 1);
  std::gamma_distribution<double> working((1 - mean) * spread, 1);
  const double bad = failing(random_);
  const double rate = bad / (bad + working(random_));
  std::binomial_distribution<std::uint64_t> failures(requests, std::clamp(rate, 0.0, 1.0));
  return {.requests = requests, .failures = failures(random_), .latencies = {}};
}

Cluster Simulation::latencies(const ArmShape& arm, std::uint64_t requests) {
  // Where the slowest 5 % of all begin, moods aside.
  const double deviation = std::hypot(shape_.connection_deviation, shape_.request_deviation);
  const double tail_begin = 1.645 * deviation;
  const double connection = shape_.connection_deviation * deviate();
  const double mood = shape_.latency_mood * mood_;
  std::map<Bucket, std::uint64_t> counts;
  for (std::uint64_t request = 0; request < requests; ++request) {
    const double own = connection + shape_.request_deviation * deviate();
    const double factor = arm.slowness * (own > tail_begin ? arm.tail_slowness : 1);
    const double latency_us = shape_.median_latency_us * factor * std::exp(own + mood);
    ++counts[analysis::bucket_of(static_cast<std::uint64_t>(latency_us))];
  }
  Cluster cluster;
  cluster.requests = requests;
  for (const auto& [bucket, count] : counts) cluster.latencies.push_back({bucket, count});
  return cluster;
}

}  // namespace segue::bench
