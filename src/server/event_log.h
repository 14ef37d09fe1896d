// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace segue::server {

// What happened lately, for those who watch; what has to last is in the audit log.
struct FleetEvent {
  std::uint64_t number = 0;  // of this server process; from 1 on
  std::uint64_t time_ms = 0;
  std::string severity;  // info, warning, alarm
  std::string kind;      // "rollout", "host", "store"
  std::string object;    // a rollout's id, a host
  std::string host;      // empty: none in particular
  std::string by;
  std::string text;
};

class EventLog {
 public:
  static constexpr std::size_t kMaxKept = 5'000;

  void add(FleetEvent event);
  // Those after number `after`, oldest first, at most `limit`; of one object, if it is named.
  [[nodiscard]] std::vector<FleetEvent> after(std::uint64_t after, std::size_t limit,
                                              const std::string& object = "") const;
  [[nodiscard]] std::uint64_t last() const { return last_; }

  using OnEvent = std::function<void(const FleetEvent&)>;
  std::uint64_t watch(OnEvent on_event);
  void unwatch(std::uint64_t watch);

 private:
  std::uint64_t last_ = 0;
  std::uint64_t last_watch_ = 0;
  std::deque<FleetEvent> kept_;
  std::map<std::uint64_t, OnEvent> watches_;
};

}  // namespace segue::server
