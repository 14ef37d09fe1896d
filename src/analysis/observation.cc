// SPDX-License-Identifier: Apache-2.0
#include "analysis/observation.h"

#include <cmath>

namespace segue::analysis {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> check_latencies(const Cluster& cluster) {
  std::uint64_t sum = 0;
  int last = -1;
  for (const BucketCount& count : cluster.latencies) {
    if (count.bucket >= kBuckets || count.bucket <= last) {
      return fail(ErrorCode::invalid_argument, "buckets have to ascend and to be below {}",
                  kBuckets);
    }
    if (count.requests > kMaxRequestsPerCluster) {
      return fail(ErrorCode::invalid_argument, "a bucket has {} requests, {} are possible",
                  count.requests, kMaxRequestsPerCluster);
    }
    last = count.bucket;
    sum += count.requests;
  }
  if (sum == cluster.requests) return {};
  return fail(ErrorCode::invalid_argument, "a cluster has {} requests, and {} latencies",
              cluster.requests, sum);
}

Result<void> check_arm(const Arm& arm, Kind kind) {
  if (arm.age < milliseconds(0) || arm.age > kLatestTime) {
    return fail(ErrorCode::invalid_argument, "an age of {} ms is not one", arm.age.count());
  }
  if (arm.clusters.size() > kMaxClustersPerArm) {
    return fail(ErrorCode::invalid_argument, "{} clusters at once, {} are possible",
                arm.clusters.size(), kMaxClustersPerArm);
  }
  for (const Cluster& cluster : arm.clusters) {
    if (cluster.requests > kMaxRequestsPerCluster) {
      return fail(ErrorCode::invalid_argument, "a cluster has {} requests, {} are possible",
                  cluster.requests, kMaxRequestsPerCluster);
    }
    if (cluster.failures > cluster.requests) {
      return fail(ErrorCode::invalid_argument, "{} of {} requests cannot have failed",
                  cluster.failures, cluster.requests);
    }
    if (kind == Kind::latency) SEGUE_TRY(check_latencies(cluster));
  }
  return {};
}

}  // namespace

Result<void> check_edges(const std::vector<std::uint64_t>& edges_us) {
  if (edges_us.size() > kMaxLatencyEdges) {
    return fail(ErrorCode::invalid_argument, "latencies lie between {} edges, {} are possible",
                edges_us.size(), kMaxLatencyEdges);
  }
  Bucket last = 0;
  for (const std::uint64_t edge_us : edges_us) {
    const Bucket bucket = bucket_from(static_cast<double>(edge_us));
    if (bucket <= last || bucket + 1U == kBuckets) {
      return fail(ErrorCode::invalid_argument,
                  "edges of latencies ascend, each in a bucket of its own, and {} us does not",
                  edge_us);
    }
    last = bucket;
  }
  return {};
}

Result<void> check(const Observation& observation, Kind kind) {
  if (observation.at < -kLatestTime || observation.at > kLatestTime) {
    return fail(ErrorCode::invalid_argument, "a time of {} ms is not one", observation.at.count());
  }
  if (const auto* value = std::get_if<Value>(&observation.content)) {
    if (kind != Kind::threshold) {
      return fail(ErrorCode::invalid_argument, "a comparison takes two arms, not one value");
    }
    if (value->value && !std::isfinite(*value->value)) {
      return fail(ErrorCode::invalid_argument, "a value has to be a number, not {}", *value->value);
    }
    return {};
  }
  if (kind == Kind::threshold) {
    return fail(ErrorCode::invalid_argument, "a threshold takes one value, not two arms");
  }
  const auto& comparison = std::get<Comparison>(observation.content);
  SEGUE_TRY(check_arm(comparison.canary, kind));
  SEGUE_TRY(check_arm(comparison.baseline, kind));
  SEGUE_TRY(check_edges(comparison.edges_us));
  if (comparison.is_paired &&
      comparison.canary.clusters.size() != comparison.baseline.clusters.size()) {
    return fail(ErrorCode::invalid_argument, "{} clusters cannot be paired with {}",
                comparison.canary.clusters.size(), comparison.baseline.clusters.size());
  }
  return {};
}

}  // namespace segue::analysis
