// SPDX-License-Identifier: Apache-2.0
// What textbooks give for one look at samples of a size fixed beforehand, of requests that are
// independent: repeated at every look, for comparison.
#pragma once

#include <cstdint>
#include <vector>

#include "analysis/observation.h"

namespace segue::bench {

class FixedSampleTest {
 public:
  explicit FixedSampleTest(analysis::Kind kind) : kind_(kind) {}

  void add(const analysis::Comparison& comparison);
  // Two-proportion z-test, or Mann-Whitney's U with ties: that the canary is worse, one-sided.
  [[nodiscard]] bool says_worse(double alpha) const;

 private:
  struct Totals {
    double requests = 0;
    double failures = 0;
    std::vector<double> latencies = std::vector<double>(analysis::kBuckets);
  };
  static void add(const analysis::Arm& arm, Totals& totals);
  [[nodiscard]] double z_of_proportions() const;
  [[nodiscard]] double z_of_ranks() const;

  analysis::Kind kind_;
  Totals canary_;
  Totals baseline_;
};

}  // namespace segue::bench
