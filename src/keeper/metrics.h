// SPDX-License-Identifier: Apache-2.0
// The keeper's figures in Prometheus' text format 0.0.4. Pure.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "keeper/types.h"

namespace segue::keeper {

// Counts since this program began to keep the component.
class Metrics {
 public:
  // What is so at this moment.
  struct Gauges {
    std::string component;
    Phase phase = Phase::idle;
    Generation generation = 0;
    std::uint32_t epoch = 0;
    std::uint64_t connections = 0;
    std::uint64_t listeners = 0;
    bool hung = false;
    double uptime_seconds = 0;
    std::uint64_t log_lines_lost = 0;
    std::uint64_t steps = 0;
    std::uint32_t replaced = 0;
    struct Process {
      Generation generation = 0;
      Role role = Role::starting;
      std::uint64_t resident_bytes = 0;
    };
    std::vector<Process> instances;
  };

  void count_attempt(const Attempt& attempt);  // that has ended
  void count_step(std::string_view name);
  [[nodiscard]] std::string text(const Gauges& gauges) const;

 private:
  static constexpr std::array<double, 14> kBounds = {
      0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 10};
  struct Histogram {
    std::array<std::uint64_t, kBounds.size()> at_most{};  // each counts those of its own bound only
    std::uint64_t count = 0;
    double sum = 0;
  };
  static void observe(Histogram& histogram, std::uint64_t ns);
  static void write(std::string& out, std::string_view name, std::string_view component,
                    const Histogram& histogram);

  std::array<std::array<std::uint64_t, kOutcomeCount>, kKindCount> attempts_{};
  Histogram blackout_;
  Histogram frozen_;
  std::uint64_t connections_moved_ = 0;
  std::uint64_t connections_lost_ = 0;
  std::uint64_t restarts_ = 0;
};

}  // namespace segue::keeper
