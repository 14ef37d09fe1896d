// SPDX-License-Identifier: Apache-2.0
#include "keeper/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::keeper {
namespace {

using testing::HasSubstr;

Metrics::Gauges gauges() {
  Metrics::Gauges now;
  now.component = "kv";
  now.phase = Phase::serving;
  now.generation = 3;
  now.connections = 9'000;
  now.instances = {{3, Role::serving, 1'000}, {2, Role::ending, 500}};
  return now;
}

TEST(Metrics, of_an_upgrade_are_counted_by_kind_and_outcome_and_in_their_buckets) {
  Metrics metrics;
  Attempt attempt;
  attempt.outcome = Outcome::done;
  attempt.activated = MonotonicTime(std::chrono::seconds(1));
  attempt.blackout_ns = 2'000'000;
  attempt.frozen_max_ns = 3'000'000;
  attempt.from_progress.connections = 10;
  attempt.to_progress.connections = 8;
  metrics.count_attempt(attempt);
  attempt.blackout_ns = 20'000'000'000;  // beyond every bound
  metrics.count_attempt(attempt);
  attempt.activated.reset();
  attempt.outcome = Outcome::refused;
  attempt.kind = Kind::undo;
  metrics.count_attempt(attempt);
  metrics.count_step("restart.wait");
  const std::string text = metrics.text(gauges());
  const auto has = [&](const std::string& line) { EXPECT_THAT(text, HasSubstr(line + "\n")); };
  has("segue_keeper_upgrades_total{component=\"kv\",kind=\"upgrade\",outcome=\"done\"} 2");
  has("segue_keeper_upgrades_total{component=\"kv\",kind=\"undo\",outcome=\"refused\"} 1");
  has("segue_keeper_blackout_seconds_bucket{component=\"kv\",le=\"0.001\"} 0");
  has("segue_keeper_blackout_seconds_bucket{component=\"kv\",le=\"0.0025\"} 1");
  has("segue_keeper_blackout_seconds_bucket{component=\"kv\",le=\"10\"} 1");
  has("segue_keeper_blackout_seconds_bucket{component=\"kv\",le=\"+Inf\"} 2");
  has("segue_keeper_blackout_seconds_count{component=\"kv\"} 2");
  has("segue_keeper_frozen_seconds_count{component=\"kv\"} 3");
  has("segue_keeper_connections_lost_total{component=\"kv\"} 4");
  has("segue_keeper_restarts_total{component=\"kv\"} 1");
}

TEST(Metrics, of_the_moment_have_one_phase_and_each_instance) {
  const std::string text = Metrics().text(gauges());
  EXPECT_THAT(text, HasSubstr("segue_keeper_phase{component=\"kv\",phase=\"serving\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("segue_keeper_phase{component=\"kv\",phase=\"probation\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("segue_keeper_connections{component=\"kv\"} 9000\n"));
  EXPECT_THAT(text, HasSubstr("segue_keeper_instance_resident_bytes{component=\"kv\","
                              "generation=\"2\",role=\"ending\"} 500\n"));
}

}  // namespace
}  // namespace segue::keeper
