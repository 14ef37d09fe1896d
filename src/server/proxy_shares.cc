// SPDX-License-Identifier: Apache-2.0
#include "server/proxy_shares.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace segue::server {

using fleet::InstanceId;
using fleet::kNoRevision;
using fleet::OrderResult;

fleet::Revision proxied_of(const fleet::Assignment& assignment) {
  return assignment.proxied != kNoRevision ? assignment.proxied : assignment.revision;
}

fleet::Revision proxied_after(const InstanceId& instance, const fleet::Assignment* before,
                              const fleet::Assignment& now, const HasProxy& has_proxy) {
  const bool is_stable = instance.slot == fleet::Slot::stable;
  const fleet::Assignment none;
  const fleet::Assignment& was = before == nullptr ? none : *before;
  fleet::Revision place = proxied_of(was);
  if (place != kNoRevision && !has_proxy(place)) place = kNoRevision;
  if (now.revision == kNoRevision) return is_stable ? place : kNoRevision;
  if (!has_proxy(now.revision)) return is_stable ? kNoRevision : place;
  const bool was_drained =
      !was.ends.empty() ||
      (was.proxied != kNoRevision && (was.revision == kNoRevision || was.revision == was.proxied));
  return is_stable && was_drained ? now.revision : kNoRevision;
}

std::optional<ProxyShares::Part> ProxyShares::part_of(const InstanceId& instance,
                                                      const fleet::Assignment& assignment) {
  const bool runs = assignment.revision != kNoRevision;
  if (instance.slot == fleet::Slot::canary) {
    return runs ? std::optional(Part::canary) : std::nullopt;
  }
  if (assignment.proxied == kNoRevision) return std::nullopt;
  return runs && assignment.ends.empty() ? Part::readied : Part::ends;
}

std::set<std::string> ProxyShares::assigned(const InstanceId& instance,
                                            const fleet::Assignment& assignment,
                                            const fleet::ComponentSpec* spec) {
  std::set<std::string> concerned;
  if (const auto known = slots_.find(instance); known != slots_.end()) {
    const std::string& before = known->second.place.proxy_host;
    concerned.insert(before);
    behind_[{before, instance.component}].erase(instance);
    slots_.erase(known);
  }
  const auto part = part_of(instance, assignment);
  auto place = spec == nullptr ? std::nullopt : fleet::proxy_place(spec->sharing, instance.host);
  if (place && part) {
    place->canary.order = assignment.ends.empty() ? assignment.order : assignment.ends;
    if (*part == Part::canary) {
      place->canary.share_ppm = assignment.share_ppm;
    } else {
      place->canary.server = std::exchange(place->canary.stable, "");
    }
    concerned.insert(place->proxy_host);
    behind_[{place->proxy_host, instance.component}].insert(instance);
    slots_[instance] = {*std::move(place), assignment.revision, *part};
  }
  concerned.erase(instance.host);
  return concerned;
}

std::set<std::string> ProxyShares::left(const std::string& host, bool has_left) {
  std::set<std::string> concerned;
  const bool is_news = has_left ? left_.insert(host).second : left_.erase(host) > 0;
  if (!is_news) return concerned;
  for (auto at = slots_.lower_bound({host, "", fleet::Slot::stable});
       at != slots_.end() && at->first.host == host; ++at) {
    concerned.insert(at->second.place.proxy_host);
  }
  concerned.erase(host);
  return concerned;
}

void ProxyShares::add_to(fleet::ProxyShare& share, const Slot& slot) const {
  if (share.canaries.size() + share.readied.size() >= fleet::ProxyShare::kMaxCanaries) return;
  const fleet::ProxyPlace& place = slot.place;
  if (place.share.socket != share.socket || place.share.backend != share.backend) return;
  if (slot.part == Part::readied) {
    share.readied.push_back(place.canary.server);
    return;
  }
  share.canaries.push_back(place.canary);
  if (left_.contains(place.canary.host)) share.canaries.back().share_ppm = 0;
}

fleet::ProxyShares ProxyShares::of(const std::string& host) const {
  fleet::ProxyShares shares;
  for (auto at = behind_.lower_bound({host, ""}); at != behind_.end() && at->first.first == host;
       ++at) {
    if (at->second.empty() || shares.size() >= fleet::kMaxSharesOfHost) continue;
    // While canaries are of two revisions, the newer one says where the proxy is.
    const InstanceId* newest = nullptr;
    for (const auto& instance : at->second) {
      if (newest == nullptr || slots_.at(instance).revision > slots_.at(*newest).revision) {
        newest = &instance;
      }
    }
    fleet::ProxyShare share = slots_.at(*newest).place.share;
    // Where there is no room for all, canaries come first.
    for (const Part part : {Part::canary, Part::ends, Part::readied}) {
      for (const auto& instance : at->second) {
        const Slot& slot = slots_.at(instance);
        if (slot.part == part) add_to(share, slot);
      }
    }
    shares[at->first.second] = std::move(share);
  }
  return shares;
}

bool ProxyShares::may_end(const InstanceId& instance, const fleet::ObservedHost* seen,
                          bool is_silent) const {
  const auto slot = slots_.find(instance);
  if (slot == slots_.end() || is_silent) return true;
  if (seen == nullptr) return false;
  const auto share = seen->shares.find(instance.component);
  return share != seen->shares.end() &&
         share->second.find(instance.host, slot->second.place.canary.order) != nullptr;
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
    const auto has_share = [this](const InstanceId& instance) {
      return slots_.at(instance).part == Part::canary && !left_.contains(instance.host);
    };
    if (place.second != component || std::ranges::none_of(canaries, has_share)) continue;
    rollout::ShareProgress share{.proxy_host = place.first};
    for (const auto& instance : canaries) {
      if (!has_share(instance)) continue;
      share.share_ppm = std::max(share.share_ppm, slots_.at(instance).place.canary.share_ppm);
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
  const auto found = slots_.find(instance);
  return found == slots_.end() ? "" : found->second.place.proxy_host;
}

ProxyShares::Look ProxyShares::look(const InstanceId& instance,
                                    const fleet::Observation& observation,
                                    const fleet::ObservedHost* seen, bool is_silent,
                                    bool goes_back) const {
  const auto canary = slots_.find(instance);
  if (canary == slots_.end() || instance.slot == fleet::Slot::stable) return {observation, false};
  const fleet::ProxyCanary& wanted = canary->second.place.canary;
  const fleet::SeenShare* share = nullptr;
  if (seen != nullptr) {
    const auto found = seen->shares.find(instance.component);
    if (found != seen->shares.end()) share = &found->second;
  }
  const fleet::SeenCanary* at_proxy =
      share == nullptr ? nullptr : share->find(instance.host, wanted.order);
  const bool was_tried = at_proxy != nullptr;
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
