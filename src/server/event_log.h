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
  std::uint64_t number = 0;  // greater than that of every earlier one
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

  // The first event gets the number above `last`.
  explicit EventLog(std::uint64_t last = 0) : last_(last) {}

  void add(FleetEvent event);
  // Those after number `after`, oldest first, at most `limit`; of one object, if it is named. All,
  // if that number was never given.
  [[nodiscard]] std::vector<FleetEvent> after(std::uint64_t after, std::size_t limit,
                                              const std::string& object = "") const;
  [[nodiscard]] std::uint64_t last() const { return last_; }

  using OnEvent = std::function<void(const FleetEvent&)>;
  // Who says `is_gone` is forgotten when another one comes.
  using IsGone = std::function<bool()>;
  std::uint64_t watch(OnEvent on_event, IsGone is_gone = nullptr);
  void unwatch(std::uint64_t watch);
  [[nodiscard]] std::size_t watches() const { return watches_.size(); }

 private:
  struct Watch {
    OnEvent on_event;
    IsGone is_gone;
  };

  std::uint64_t last_;
  std::uint64_t last_watch_ = 0;
  std::deque<FleetEvent> kept_;
  std::map<std::uint64_t, Watch> watches_;
};

}  // namespace segue::server
