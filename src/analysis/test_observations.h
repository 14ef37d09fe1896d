// SPDX-License-Identifier: Apache-2.0
// What tests of this folder observe.
#pragma once

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "analysis/analysis.h"

namespace segue::analysis {

inline constexpr milliseconds kSecond{1'000};

inline std::vector<Cluster> clusters(std::size_t count, std::uint64_t requests,
                                     std::uint64_t failures) {
  return std::vector<Cluster>(count, {.requests = requests, .failures = failures, .latencies = {}});
}

inline Cluster with_latencies(std::vector<BucketCount> latencies) {
  Cluster cluster;
  for (const BucketCount& count : latencies) cluster.requests += count.requests;
  cluster.latencies = std::move(latencies);
  return cluster;
}

inline Observation arms(milliseconds at, std::vector<Cluster> canary,
                        std::vector<Cluster> baseline) {
  Comparison comparison;
  comparison.canary = {.age = std::chrono::minutes(5), .clusters = std::move(canary)};
  comparison.baseline = {.age = std::chrono::minutes(5), .clusters = std::move(baseline)};
  return {.at = at, .content = std::move(comparison)};
}

inline Observation value(milliseconds at, std::optional<double> number) {
  return {.at = at, .content = Value{number}};
}

inline State seen(const Rule& rule, State state, const Observation& observation) {
  auto next = observe(rule, std::move(state), observation);
  if (!next) {
    ADD_FAILURE() << next.error().to_string();
    return {};
  }
  return *std::move(next);
}

}  // namespace segue::analysis
