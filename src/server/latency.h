// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include "base/time.h"

namespace segue::server {

// How long something took, counted in buckets, as Prometheus takes histograms.
struct Latency {
  static constexpr std::array<double, 12> kBoundsS = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025,
                                                      0.05,   0.1,   0.25,   0.5,   1,    10};
  std::array<std::uint64_t, kBoundsS.size()> within{};  // each counts those of its own bucket
  std::uint64_t count = 0;
  double sum_s = 0;

  void add(base::Duration took) {
    const double seconds = std::chrono::duration<double>(took).count();
    ++count;
    sum_s += seconds;
    for (std::size_t i = 0; i < kBoundsS.size(); ++i) {
      if (seconds > kBoundsS.at(i)) continue;
      ++within.at(i);
      return;
    }
  }
};

}  // namespace segue::server
