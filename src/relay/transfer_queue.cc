// SPDX-License-Identifier: Apache-2.0
#include "relay/transfer_queue.h"

#include <algorithm>

namespace segue::relay {

bool is_sooner(GoLive left, GoLive right) {
  if (!left) return false;
  return !right || *left < *right;
}

GoLive soonest(GoLive left, GoLive right) {
  return is_sooner(right, left) ? right : left;
}

void TransferQueue::enter(const std::string& transfer, GoLive go_live, std::uint64_t number) {
  entries_.try_emplace(transfer, Entry{go_live, number});
}

void TransferQueue::change(const std::string& transfer, GoLive go_live) {
  const auto found = entries_.find(transfer);
  if (found != entries_.end()) found->second.go_live = go_live;
}

void TransferQueue::leave(const std::string& transfer) {
  entries_.erase(transfer);
}

std::vector<std::string> TransferQueue::order() const {
  std::vector<std::string> names;
  names.reserve(entries_.size());
  for (const auto& [name, entry] : entries_) names.push_back(name);
  std::ranges::sort(names, [this](const std::string& left, const std::string& right) {
    const Entry& a = entries_.at(left);
    const Entry& b = entries_.at(right);
    if (is_sooner(a.go_live, b.go_live)) return true;
    if (is_sooner(b.go_live, a.go_live)) return false;
    return a.number < b.number;
  });
  return names;
}

bool TransferQueue::has_turn(const std::string& transfer) const {
  const auto names = order();
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(kSlots, names.size()));
  return std::find(names.begin(), end, transfer) != end;
}

}  // namespace segue::relay
