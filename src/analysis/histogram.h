// SPDX-License-Identifier: Apache-2.0
// Latencies in fixed buckets, so that histograms of any hosts and times add up. 32 buckets of equal
// width per power of two: an edge is never further than 3.2 % from a latency of 32 us or more,
// below they are exact; those of 2^36 us (19 hours) and more are in the last.
#pragma once

#include <cstdint>
#include <vector>

namespace segue::analysis {

using Bucket = std::uint16_t;

inline constexpr std::size_t kBuckets = 1024;

Bucket bucket_of(std::uint64_t latency_us);
// The least latency in it.
std::uint64_t lower_edge_us(Bucket bucket);
// The bucket at whose edge latencies begin that are no less.
Bucket bucket_from(double latency_us);

struct BucketCount {
  Bucket bucket = 0;
  std::uint64_t requests = 0;
  friend bool operator==(const BucketCount&, const BucketCount&) = default;
};

class Histogram {
 public:
  // The bucket is below kBuckets.
  void add(Bucket bucket, std::uint64_t requests);

  [[nodiscard]] std::uint64_t total() const { return total_; }
  // The first bucket such that no more than a share of 1 - quantile is at it or above. 0: empty.
  [[nodiscard]] Bucket quantile(double quantile) const;
  // Those with requests, in order.
  [[nodiscard]] std::vector<BucketCount> counts() const;

  friend bool operator==(const Histogram&, const Histogram&) = default;

 private:
  std::vector<std::uint64_t> counts_;  // empty or kBuckets
  std::uint64_t total_ = 0;
};

}  // namespace segue::analysis
