// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

namespace segue::load {

// Counts durations in log-linear buckets: below 256 ns exactly, above with a relative error under
// 1/128. Fixed size and trivially copyable, so that it may live in memory shared by processes.
class Histogram {
 public:
  using Duration = std::chrono::nanoseconds;

  // Longer ones count as this long; only max() tells.
  static constexpr Duration kLongest{std::int64_t{1} << 40};

  // A negative duration counts as zero.
  void record(Duration value);
  void merge(const Histogram& other);

  [[nodiscard]] std::uint64_t count() const { return count_; }
  [[nodiscard]] Duration max() const { return Duration(max_ns_); }
  // The least bound that a share `q` (0..1) of what was recorded does not exceed; 0 when empty.
  [[nodiscard]] Duration quantile(double q) const;

 private:
  static constexpr unsigned kSubBits = 7;
  static constexpr std::size_t kSubBuckets = std::size_t{1} << kSubBits;
  static constexpr std::size_t kBuckets = (41 - kSubBits + 1) * kSubBuckets;

  static std::size_t index_of(std::uint64_t value_ns);
  static std::uint64_t highest_of(std::size_t index);

  std::array<std::uint64_t, kBuckets> counts_{};
  std::uint64_t count_ = 0;
  std::int64_t max_ns_ = 0;
};

}  // namespace segue::load
