// SPDX-License-Identifier: Apache-2.0
// A fleet in virtual time: the real engine and the real agents' deciders; hosts, keepers, network,
// disks and the server's store are simulated.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "fleet/strategy.h"
#include "rollout/rollout.h"
#include "simulation/loop.h"

namespace segue::simulation {

struct Settings {
  std::uint64_t seed = 1;
  std::size_t hosts = 6;
  bool faults = true;     // loss, partitions, crashes, slow disks, store conflicts, clock jumps
  bool operators = true;  // people and other changes that interfere
  bool checks = true;     // safety at every move; costs a look at all hosts
  Duration faults_end = std::chrono::minutes(6);
  Duration horizon = std::chrono::hours(6);
  Duration heartbeat = std::chrono::seconds(10);
  fleet::Strategy strategy;
};

// As seeds draw them: every kind of strategy, with short times.
Settings settings_of(std::uint64_t seed);

struct Result {
  std::uint64_t trace_hash = 0;
  std::uint64_t steps = 0;
  std::uint64_t engine_events = 0;
  std::uint64_t moves = 0;            // orders that hosts have carried out
  std::uint64_t renewals = 0;         // of them those that handed a revision to itself
  std::uint64_t crashes = 0;          // of server, agents and hosts
  std::uint64_t lost = 0;             // messages
  std::vector<std::string> rollouts;  // how each has ended
  std::string failure;                // empty: everything held
};

// `log`: every step, on stderr.
Result run(const Settings& settings, bool log = false);

}  // namespace segue::simulation
