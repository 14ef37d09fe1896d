// SPDX-License-Identifier: Apache-2.0
#include "relay/transfers.h"

#include <algorithm>

namespace segue::relay {

Transfers::Place Transfers::find(const std::string& digest, bool is_doubted) {
  const auto found = transfers_.find(digest);
  if (found != transfers_.end() && found->second->state() == Transfer::State::under_way) {
    return {.held = {}, .transfer = found->second};
  }
  if (is_doubted) parts_.cache.doubt(digest);
  auto held = parts_.cache.find(digest);
  if (!held && held.error().code() != base::ErrorCode::not_found) {
    parts_.log.error("cache.failed", {{"object", digest}, {"error", held.error().to_string()}});
    parts_.on_cache_failed();
    return {};
  }
  if (held && held->is_whole && held->is_verified) return {.held = *std::move(held)};
  if (found != transfers_.end()) transfers_.erase(found);
  if (transfers_.size() >= kMaxTransfers) return {};
  auto transfer = std::make_shared<Transfer>(parts_, digest, next_number_++);
  transfers_[digest] = transfer;
  transfer->begin(held ? std::optional(*std::move(held)) : std::nullopt);
  return {.held = {}, .transfer = transfer};
}

void Transfers::site_changed() {
  const auto all = transfers_;
  for (const auto& [digest, transfer] : all) transfer->site_changed();
}

void Transfers::set_remote(const std::vector<const RelayState*>& states) {
  std::map<std::string, GoLive> wanted;
  for (const RelayState* state : states) {
    for (const TransferState& transfer : state->transfers) {
      GoLive& at = wanted[transfer.object];
      at = soonest(at, transfer.go_live);
    }
  }
  for (const auto& [digest, transfer] : transfers_) {
    const auto found = wanted.find(digest);
    transfer->set_remote(found == wanted.end() ? GoLive() : found->second);
    transfer->refresh_priority();
  }
}

bool Transfers::are_soon_back_at_line() const {
  return std::ranges::any_of(
      transfers_, [](const auto& entry) { return entry.second->is_soon_back_at_line(); });
}

void Transfers::tick() {
  const auto now = parts_.clock.monotonic_now();
  std::erase_if(transfers_, [&](const auto& entry) {
    Transfer& transfer = *entry.second;
    if (transfer.state() != Transfer::State::under_way) return true;
    const auto since = transfer.unwanted_since();
    if (!since || now - *since < kLinger) return false;
    transfer.abandon();
    return true;
  });
}

void Transfers::abandon_all() {
  for (const auto& [digest, transfer] : transfers_) transfer->abandon();
  transfers_.clear();
}

std::vector<TransferState> Transfers::states() const {
  std::vector<TransferState> all;
  for (const auto& [digest, transfer] : transfers_) {
    if (transfer->state() != Transfer::State::under_way) continue;
    TransferState state{.object = digest, .bytes = transfer->held_bytes()};
    state.total_bytes = transfer->total_bytes();
    state.go_live = transfer->own_go_live();
    state.waiters = transfer->waiter_count();
    if (const auto& source = transfer->source()) {
      state.source =
          source->kind == Source::Kind::origin ? "origin" : parts_.members[source->member].name;
    }
    all.push_back(std::move(state));
  }
  return all;
}

}  // namespace segue::relay
