// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <numeric>

namespace segue::relay {

// How much comes per second, over the last four that are over. Pure: told of each second.
class RateMeter {
 public:
  void add(std::uint64_t bytes) { seconds_[now_] += bytes; }
  void tick() {
    now_ = (now_ + 1) % seconds_.size();
    seconds_[now_] = 0;
  }
  [[nodiscard]] double per_second() const {
    const auto sum = std::accumulate(seconds_.begin(), seconds_.end(), std::uint64_t{0});
    return static_cast<double>(sum - seconds_[now_]) / static_cast<double>(seconds_.size() - 1);
  }

 private:
  std::array<std::uint64_t, 5> seconds_{};
  std::size_t now_ = 0;
};

}  // namespace segue::relay
