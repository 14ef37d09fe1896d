// SPDX-License-Identifier: Apache-2.0
#include "load/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace segue::load {

std::size_t Histogram::index_of(std::uint64_t value_ns) {
  if (value_ns < kSubBuckets) return value_ns;
  const auto shift = static_cast<unsigned>(std::bit_width(value_ns)) - (kSubBits + 1);
  return (shift + 1) * kSubBuckets + ((value_ns >> shift) - kSubBuckets);
}

std::uint64_t Histogram::highest_of(std::size_t index) {
  if (index < kSubBuckets) return index;
  const std::size_t shift = index / kSubBuckets - 1;
  return ((kSubBuckets + index % kSubBuckets + 1) << shift) - 1;
}

void Histogram::record(Duration value) {
  const std::int64_t value_ns = std::max<std::int64_t>(value.count(), 0);
  const std::int64_t counted_ns = std::min<std::int64_t>(value_ns, kLongest.count());
  ++counts_[index_of(static_cast<std::uint64_t>(counted_ns))];
  ++count_;
  max_ns_ = std::max(max_ns_, value_ns);
}

void Histogram::merge(const Histogram& other) {
  for (std::size_t i = 0; i < kBuckets; ++i) counts_[i] += other.counts_[i];
  count_ += other.count_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

Histogram::Duration Histogram::quantile(double q) const {
  if (count_ == 0) return Duration(0);
  const double wanted = std::ceil(std::clamp(q, 0.0, 1.0) * static_cast<double>(count_));
  const std::uint64_t rank =
      std::clamp<std::uint64_t>(static_cast<std::uint64_t>(wanted), 1, count_);
  std::uint64_t seen = 0;
  for (std::size_t i = 0; i < kBuckets; ++i) {
    seen += counts_[i];
    if (seen >= rank) {
      return Duration(std::min(static_cast<std::int64_t>(highest_of(i)), max_ns_));
    }
  }
  return max();
}

}  // namespace segue::load
