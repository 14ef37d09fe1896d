// SPDX-License-Identifier: Apache-2.0
// How fast rollouts are decided: the real engine and the real agents' deciders in virtual time.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "os/clock.h"
#include "simulation/world.h"

namespace {

namespace simulation = segue::simulation;
namespace fleet = segue::fleet;

constexpr std::string_view kUsage = "usage: bench_simulation [--quick]\n";

void emit(const std::string& name, std::string_view metric, double value, std::string_view unit) {
  fmt::print(
      "{{\"bench\":\"simulation\",\"case\":\"{}\",\"metric\":\"{}\",\"value\":{:.6g},\"unit\":\"{}"
      "\","
      "\"peer\":null}}\n",
      name, metric, value, unit);
}

simulation::Settings quiet_fleet(std::size_t hosts) {
  simulation::Settings settings;
  settings.hosts = hosts;
  settings.faults = false;
  settings.operators = false;
  settings.checks = false;
  settings.heartbeat = std::chrono::minutes(5);
  settings.strategy = fleet::careful(fleet::StrategyKind::rolling);
  settings.strategy.limits.bake = std::chrono::seconds(10);
  settings.strategy.late_watch = std::chrono::seconds(10);
  return settings;
}

// Whole rollouts of a fleet, everything included: hosts, network, disks, store.
bool run_fleet(std::size_t hosts, int rounds) {
  const segue::os::SystemClock clock;
  const std::string name = fmt::format("fleet/{}", hosts);
  std::uint64_t events = 0;
  std::uint64_t moves = 0;
  const auto begin = clock.monotonic_now();
  for (int round = 0; round < rounds; ++round) {
    simulation::Settings settings = quiet_fleet(hosts);
    settings.seed = static_cast<std::uint64_t>(round) + 1;
    const simulation::Result result = simulation::run(settings);
    if (!result.failure.empty() || result.rollouts != std::vector<std::string>{"r1: done"}) {
      fmt::print(stderr, "{}: {}\n", name, result.failure);
      return false;
    }
    events += result.engine_events;
    moves += result.moves;
  }
  const double seconds = std::chrono::duration<double>(clock.monotonic_now() - begin).count();
  emit(name, "rollouts_per_s", rounds / seconds, "1/s");
  emit(name, "moves_per_s", static_cast<double>(moves) / seconds, "1/s");
  emit(name, "us_per_engine_event", seconds * 1e6 / static_cast<double>(events), "us");
  fmt::print(stderr, "{:<14} {:>10.3f} rollouts/s {:>10.0f} moves/s\n", name, rounds / seconds,
             static_cast<double>(moves) / seconds);
  return true;
}

// Fleets in trouble, as the tests draw them.
bool run_seeds(std::uint64_t seeds) {
  const segue::os::SystemClock clock;
  std::uint64_t rollouts = 0;
  std::uint64_t hash = 0;
  const auto begin = clock.monotonic_now();
  for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
    const simulation::Result result = simulation::run(simulation::settings_of(seed));
    if (!result.failure.empty()) {
      fmt::print(stderr, "seed {}: {}\n", seed, result.failure);
      return false;
    }
    rollouts += result.rollouts.size();
    hash ^= result.trace_hash;
  }
  const double seconds = std::chrono::duration<double>(clock.monotonic_now() - begin).count();
  emit("seeds", "seeds", static_cast<double>(seeds), "1");
  emit("seeds", "seeds_per_s", static_cast<double>(seeds) / seconds, "1/s");
  emit("seeds", "rollouts_per_s", static_cast<double>(rollouts) / seconds, "1/s");
  fmt::print(stderr, "{:<14} {:>10.1f} seeds/s, trace {:016x}\n", "seeds",
             static_cast<double>(seeds) / seconds, hash);
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  const bool quick = argc == 2 && std::string_view(argv[1]) == "--quick";
  if (argc > 2 || (argc == 2 && !quick)) {
    fmt::print(stderr, kUsage);
    return 2;
  }
  const bool good = run_fleet(1'000, quick ? 5 : 50) && run_fleet(100'000, quick ? 1 : 5) &&
                    run_seeds(quick ? 1'000 : 20'000);
  return good ? 0 : 1;
}
