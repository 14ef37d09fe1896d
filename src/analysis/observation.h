// SPDX-License-Identifier: Apache-2.0
// What was measured, as the rules take it. Whoever measures decides what is independent of what:
// requests of one connection fail together, so a connection is one cluster, however many requests
// it has. A connection is given once, when it ends or when its time is up; one that is given again
// and again would count as many. Where connections live too long for that, a cluster is what one
// host served in a stretch of time that is longer than its bad moods.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "analysis/histogram.h"
#include "analysis/rule.h"

namespace segue::analysis {

inline constexpr std::size_t kMaxClustersPerArm = 4096;
inline constexpr std::uint64_t kMaxRequestsPerCluster = std::uint64_t{1} << 40;
inline constexpr std::size_t kMaxLatencyEdges = 100;

struct Cluster {
  std::uint64_t requests = 0;          // 0: it says nothing
  std::uint64_t failures = 0;          // of Kind::rate; no more than `requests`
  std::vector<BucketCount> latencies;  // of Kind::latency; `requests` in all, ascending buckets
};

struct Arm {
  milliseconds age{0};  // how long its instances have served
  std::vector<Cluster> clusters;
};

struct Comparison {
  Arm canary;
  Arm baseline;
  // The clusters at one place of both lists belong together: one connection after and before a
  // handoff. Then both lists are of one length.
  bool is_paired = false;
  // Of Kind::latency where a latency is only known to lie between two of these (or below the first,
  // or beyond the last), ascending, no two in one bucket: it counts in the bucket_from() of the one
  // below it, and in bucket 0. Empty: latencies are known as well as buckets are.
  std::vector<std::uint64_t> edges_us;
};

struct Value {
  std::optional<double> value;  // nothing: the source was asked, and had none
};

struct Observation {
  // Since any moment that the caller keeps for the whole life of a state; never goes back.
  milliseconds at{0};
  std::variant<Value, Comparison> content;
};

// That a rule of this kind can take it. invalid_argument: NaN, infinite, negative, too large, parts
// that do not add up, or the content of another kind.
base::Result<void> check(const Observation& observation, Kind kind);
// … and of Comparison::edges_us alone.
base::Result<void> check_edges(const std::vector<std::uint64_t>& edges_us);

}  // namespace segue::analysis
