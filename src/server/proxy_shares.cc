// SPDX-License-Identifier: Apache-2.0
#include "server/proxy_shares.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace segue::server {

using fleet::InstanceId;
using fleet::OrderResult;

std::set<std::string> ProxyShares::assigned(const InstanceId& instance,
                                            const fleet::Assignment& assignment,
                                            const fleet::ComponentSpec* spec) {
  if (instance.slot != fleet::Slot::canary) return {};
  std::set<std::string> concerned;
  const auto known = canaries_.find(instance);
  auto place = spec == nullptr ? std::nullopt : fleet::proxy_place(spec->sharing, instance.host);
  // A revision without a proxy: what the proxy does about the one before it has to end first.
  if (!place && known != canaries_.end() && assignment.revision != fleet::kNoRevision) {
    place = known->second.place;
  }
  if (known != canaries_.end()) {
    const std::string& before = known->second.place.proxy_host;
    concerned.insert(before);
    behind_[{before, instance.component}].erase(instance);
    canaries_.erase(known);
  }
  if (place && assignment.revision != fleet::kNoRevision) {
    place->canary.order = assignment.order;
    place->canary.share_ppm = assignment.share_ppm;
    concerned.insert(place->proxy_host);
    behind_[{place->proxy_host, instance.component}].insert(instance);
    canaries_[instance] = {*std::move(place), assignment.revision};
  }
  concerned.erase(instance.host);
  return concerned;
}

fleet::ProxyShares ProxyShares::of(const std::string& host) const {
  fleet::ProxyShares shares;
  for (auto at = behind_.lower_bound({host, ""}); at != behind_.end() && at->first.first == host;
       ++at) {
    if (at->second.empty() || shares.size() >= fleet::kMaxSharesOfHost) continue;
    // While canaries are of two revisions, the newer one says where the proxy is.
    const InstanceId* newest = nullptr;
    for (const auto& instance : at->second) {
      if (newest == nullptr || canaries_.at(instance).revision > canaries_.at(*newest).revision) {
        newest = &instance;
      }
    }
    fleet::ProxyShare share = canaries_.at(*newest).place.share;
    for (const auto& instance : at->second) {
      const fleet::ProxyPlace& place = canaries_.at(instance).place;
      if (share.canaries.size() >= fleet::ProxyShare::kMaxCanaries) break;
      if (place.share.socket == share.socket && place.share.backend == share.backend) {
        share.canaries.push_back(place.canary);
      }
    }
    shares[at->first.second] = std::move(share);
  }
  return shares;
}

std::set<InstanceId> ProxyShares::behind(const std::string& host,
                                         const std::string& component) const {
  const auto found = behind_.find({host, component});
  return found == behind_.end() ? std::set<InstanceId>{} : found->second;
}

std::vector<rollout::ShareProgress> ProxyShares::progress(const std::string& component,
                                                          const FindSeen& find_seen) const {
  std::vector<rollout::ShareProgress> shares;
  for (const auto& [place, canaries] : behind_) {
    if (place.second != component || canaries.empty()) continue;
    rollout::ShareProgress share{.proxy_host = place.first};
    for (const auto& instance : canaries) {
      share.share_ppm = std::max(share.share_ppm, canaries_.at(instance).place.canary.share_ppm);
    }
    if (const fleet::ObservedHost* seen = find_seen(place.first)) {
      const auto found = seen->shares.find(component);
      if (found != seen->shares.end()) share.seen = found->second;
    }
    shares.push_back(std::move(share));
  }
  std::ranges::stable_sort(shares, {}, [](const rollout::ShareProgress& share) {
    return share.seen.result == OrderResult::done;
  });
  if (shares.size() > rollout::Progress::kMaxShares) shares.resize(rollout::Progress::kMaxShares);
  return shares;
}

std::string ProxyShares::proxy_host(const InstanceId& instance) const {
  const auto found = canaries_.find(instance);
  return found == canaries_.end() ? "" : found->second.place.proxy_host;
}

ProxyShares::Look ProxyShares::look(const InstanceId& instance,
                                    const fleet::Observation& observation,
                                    const fleet::ObservedHost* seen, bool is_silent,
                                    bool goes_back) const {
  const auto canary = canaries_.find(instance);
  if (canary == canaries_.end()) return {observation, false};
  const fleet::ProxyCanary& wanted = canary->second.place.canary;
  const fleet::SeenShare* share = nullptr;
  if (seen != nullptr) {
    const auto found = seen->shares.find(instance.component);
    if (found != seen->shares.end()) share = &found->second;
  }
  const fleet::SeenCanary* at_proxy = share == nullptr ? nullptr : share->find(instance.host);
  const bool was_tried = at_proxy != nullptr && at_proxy->order == wanted.order;
  const bool stands = was_tried && share->result == OrderResult::done;
  Look look{observation, !stands || wanted.share_ppm != 0 || at_proxy->open != 0};
  const bool is_answer =
      observation.order == wanted.order && observation.result == OrderResult::done;
  if (!is_answer || stands) return look;
  if (goes_back && (was_tried || is_silent)) return look;
  const bool is_refused = was_tried && share->result == OrderResult::refused;
  look.observation.result = is_refused ? OrderResult::refused : OrderResult::under_way;
  const std::string& proxy_host = canary->second.place.proxy_host;
  look.observation.text =
      is_silent    ? fmt::format("{}, whose agent speaks with the proxy, is silent", proxy_host)
      : !was_tried ? fmt::format("waits for the proxy on {}", proxy_host)
                   : fmt::format("the proxy on {}: {}", proxy_host, share->text);
  return look;
}

}  // namespace segue::server
