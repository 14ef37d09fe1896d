// SPDX-License-Identifier: Apache-2.0
// The share that really moved, out of HAProxy's counters. Pure.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "traffic/haproxy_decider.h"

namespace segue::traffic {

struct MovedShare {
  // Sessions (of mode http: requests) that began since the measurement did.
  std::uint64_t stable = 0;
  std::uint64_t canary = 0;
  // Sessions that have not ended, whenever they began. Those of a process before a reload are not
  // among them.
  std::uint64_t stable_current = 0;
  std::uint64_t canary_current = 0;
  std::uint32_t restarts = 0;  // seen: each takes what was not counted yet with it

  bool operator==(const MovedShare&) const = default;
};

class ProxyMeter {
 public:
  // All that it knows, to go on with later.
  struct State {
    std::optional<ProxyProcess> process;
    std::map<std::string, std::uint64_t> last;  // sessions, by the server's name
    MovedShare moved;
  };

  ProxyMeter() = default;
  explicit ProxyMeter(State state) : state_(std::move(state)) {}

  // What has been counted until the first look is not measured.
  void observe(const ProxyWanted& wanted, const ProxySeen& seen);
  [[nodiscard]] const MovedShare& moved() const { return state_.moved; }
  [[nodiscard]] const State& state() const { return state_; }

 private:
  State state_;
};

}  // namespace segue::traffic
