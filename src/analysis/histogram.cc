// SPDX-License-Identifier: Apache-2.0
#include "analysis/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/assert.h"

namespace segue::analysis {
namespace {

constexpr unsigned kExponentBits = 5;  // 32 buckets per power of two
constexpr std::uint64_t kPerOctave = std::uint64_t{1} << kExponentBits;

}  // namespace

Bucket bucket_of(std::uint64_t latency_us) {
  if (latency_us < kPerOctave) return static_cast<Bucket>(latency_us);
  const auto shift = static_cast<unsigned>(std::bit_width(latency_us)) - kExponentBits - 1;
  const std::uint64_t place = (shift + 1) * kPerOctave + ((latency_us >> shift) - kPerOctave);
  return static_cast<Bucket>(std::min<std::uint64_t>(place, kBuckets - 1));
}

std::uint64_t lower_edge_us(Bucket bucket) {
  if (bucket < kPerOctave) return bucket;
  const auto shift = static_cast<unsigned>(bucket / kPerOctave - 1);
  return (kPerOctave + bucket % kPerOctave) << shift;
}

Bucket bucket_from(double latency_us) {
  constexpr double kMax = 1e15;
  const auto whole = static_cast<std::uint64_t>(std::ceil(std::clamp(latency_us, 0.0, kMax)));
  const Bucket bucket = bucket_of(whole);
  const bool is_edge = lower_edge_us(bucket) >= whole || bucket + 1U == kBuckets;
  return is_edge ? bucket : static_cast<Bucket>(bucket + 1);
}

void Histogram::add(Bucket bucket, std::uint64_t requests) {
  SEGUE_ASSERT(bucket < kBuckets);
  if (counts_.empty()) counts_.resize(kBuckets);
  counts_[bucket] += requests;
  total_ += requests;
}

Bucket Histogram::quantile(double quantile) const {
  if (total_ == 0) return 0;
  const auto allowed = static_cast<std::uint64_t>((1 - quantile) * static_cast<double>(total_));
  std::uint64_t above = 0;
  for (std::size_t bucket = kBuckets; bucket-- > 0;) {
    above += counts_[bucket];
    if (above > allowed) return static_cast<Bucket>(std::min(bucket + 1, kBuckets - 1));
  }
  return 0;
}

std::vector<BucketCount> Histogram::counts() const {
  std::vector<BucketCount> found;
  for (std::size_t bucket = 0; bucket < counts_.size(); ++bucket) {
    if (counts_[bucket] > 0) found.push_back({static_cast<Bucket>(bucket), counts_[bucket]});
  }
  return found;
}

}  // namespace segue::analysis
