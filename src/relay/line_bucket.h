// SPDX-License-Identifier: Apache-2.0
// How many bytes may be taken from a site's line now. Pure.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/time.h"

namespace segue::relay {

// A token bucket. What comes at once is at most kBurst of the rate, or two packets where that is
// less.
class LineBucket {
 public:
  static constexpr base::Duration kBurst = std::chrono::milliseconds(50);
  static constexpr std::uint64_t kMinBurstBytes = 3'000;

  // Nothing: no limit. 0: nothing may travel. Tokens that are there stay, up to the new burst.
  void set_rate(std::optional<std::uint64_t> bytes_per_second, base::MonotonicTime now);
  [[nodiscard]] std::optional<std::uint64_t> rate() const { return rate_; }

  // How many of `wanted` bytes may be taken; they count as taken.
  std::uint64_t take(std::uint64_t wanted, base::MonotonicTime now);
  // Of what take() gave and did not come.
  void give_back(std::uint64_t bytes);
  // What came without being asked for; the bucket may owe up to a second of its rate.
  void charge(std::uint64_t bytes, base::MonotonicTime now);
  // When take() gives at least one packet, or `wanted` if that is less; nothing: not at this rate.
  [[nodiscard]] std::optional<base::MonotonicTime> next_at(std::uint64_t wanted,
                                                           base::MonotonicTime now);
  [[nodiscard]] std::uint64_t burst_bytes() const;

 private:
  static constexpr std::uint64_t kPacketBytes = 1'500;

  void fill(base::MonotonicTime now);

  std::optional<std::uint64_t> rate_;
  double tokens_ = 0;
  base::MonotonicTime filled_{};
};

}  // namespace segue::relay
