// SPDX-License-Identifier: Apache-2.0
// Two arms of a rollout as a service with moods would show them: requests come in connections, few
// of which have most of the requests; a connection that fails once fails often; and for minutes
// everything, in both arms, is worse than usual.
#pragma once

#include <cstdint>
#include <random>

#include "analysis/observation.h"

namespace segue::bench {

struct ArmShape {
  double error_rate = 0.01;  // on average over connections
  double slowness = 1;       // a factor of all latencies
  double tail_slowness = 1;  // a factor of the slowest 5 %
  double connections_per_look = 4;
};

struct Shape {
  ArmShape canary;
  ArmShape baseline;
  // Requests of a connection: Pareto. Mean about 10, one in a thousand has 300 or more.
  double least_requests = 4;
  double tail = 1.6;
  std::uint64_t most_requests = 2'000;
  // How alike requests of a connection are: the intraclass correlation of failures (beta-binomial),
  // and the deviation of the logarithm of latency between connections and within one.
  double failure_correlation = 0.1;
  double connection_deviation = 0.3;
  double request_deviation = 0.5;
  double median_latency_us = 8'000;
  // Moods: deviation of the logarithm of error rate and latency, and of how many looks they last.
  double error_mood = 0.5;
  double latency_mood = 0.15;
  double mood_looks = 50;
};

class Simulation {
 public:
  Simulation(const Shape& shape, std::uint64_t seed) : shape_(shape), random_(seed) {}

  // What happened since the last look.
  analysis::Comparison next(analysis::Kind kind);

 private:
  double deviate() { return normal_(random_); }
  analysis::Cluster cluster(const ArmShape& arm, analysis::Kind kind);
  analysis::Cluster latencies(const ArmShape& arm, std::uint64_t requests);
  analysis::Arm arm(const ArmShape& shape, analysis::Kind kind);

  const Shape& shape_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_;
  double mood_ = 0;
  bool has_begun_ = false;
};

}  // namespace segue::bench
