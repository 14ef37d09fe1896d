// SPDX-License-Identifier: Apache-2.0
#include "server/event_log.h"

#include <utility>

namespace segue::server {

void EventLog::add(FleetEvent event) {
  event.number = ++last_;
  kept_.push_back(std::move(event));
  if (kept_.size() > kMaxKept) kept_.pop_front();
  const auto watches = watches_;  // who is called may stop watching
  for (const auto& [number, watch] : watches) {
    if (watches_.contains(number)) watch.on_event(kept_.back());
  }
}

std::vector<FleetEvent> EventLog::after(std::uint64_t after, std::size_t limit,
                                        const std::string& object) const {
  std::vector<FleetEvent> events;
  if (after > last_) after = 0;
  for (const auto& event : kept_) {
    if (event.number <= after || (!object.empty() && event.object != object)) continue;
    if (events.size() == limit) break;
    events.push_back(event);
  }
  return events;
}

std::uint64_t EventLog::watch(OnEvent on_event, IsGone is_gone) {
  std::erase_if(watches_,
                [](const auto& one) { return one.second.is_gone && one.second.is_gone(); });
  watches_[++last_watch_] = {std::move(on_event), std::move(is_gone)};
  return last_watch_;
}

void EventLog::unwatch(std::uint64_t watch) {
  watches_.erase(watch);
}

}  // namespace segue::server
