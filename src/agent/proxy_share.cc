// SPDX-License-Identifier: Apache-2.0
#include "agent/proxy_share.h"

#include <fmt/format.h>

#include <algorithm>

namespace segue::agent {
namespace {

using base::ErrorCode;
using fleet::OrderResult;

const traffic::ProxyServer* find(const traffic::ProxySeen& seen, const std::string& name) {
  const auto found = std::ranges::find(seen.servers, name, &traffic::ProxyServer::name);
  return found == seen.servers.end() ? nullptr : &*found;
}

// What no other try would change, and only a person can.
bool is_final(ErrorCode code) {
  return code == ErrorCode::not_found || code == ErrorCode::permission_denied ||
         code == ErrorCode::invalid_argument || code == ErrorCode::failed_precondition;
}

// A stable slot that is to end, or has ended.
bool is_stable(const fleet::ProxyCanary& canary) {
  return canary.stable.empty();
}

std::string missing(const fleet::ProxyShare& share, const traffic::ProxySeen& seen) {
  for (const auto& canary : share.canaries) {
    for (const std::string* name : {&canary.server, &canary.stable}) {
      if (name->empty() || find(seen, *name) != nullptr) continue;
      if (is_stable(canary)) continue;  // somebody has taken it out already
      return fmt::format(
          "backend {} of HAProxy has no server {}: add it to haproxy.cfg, or name another with "
          "sharing.{}",
          share.backend, *name, name == &canary.server ? "canary_server" : "stable_server");
    }
  }
  return "";
}

std::string waiting(const fleet::ProxyShare& share, const traffic::ProxySeen& seen) {
  for (const auto& canary : share.canaries) {
    const auto* server = find(seen, canary.server);
    if (canary.share_ppm == 0 || server == nullptr || server->is_running) continue;
    return fmt::format("server {} is down to HAProxy: its checks have not found it serving",
                       canary.server);
  }
  return "";
}

// It serves, but for a while after a reload it would not be as it is wanted.
std::string warning(const fleet::ProxyShare& share, const traffic::ProxySeen& seen) {
  for (const auto& canary : share.canaries) {
    const auto* server = find(seen, canary.server);
    if (is_stable(canary) || server == nullptr || server->configured_weight == 0) continue;
    return fmt::format(
        "server {} weighs {} in haproxy.cfg, which it has after a reload until the share is put "
        "back: give it `weight 0`",
        canary.server, server->configured_weight);
  }
  return "";
}

}  // namespace

traffic::ProxyWanted wanted_of(const fleet::ProxyShare& share) {
  traffic::ProxyWanted wanted;
  wanted.backend = share.backend;
  wanted.share_ppm = share.share_ppm();
  wanted.awaits_canaries = true;
  for (const auto& canary : share.canaries) {
    traffic::WantedServer server;
    server.name = canary.server;
    server.is_canary = !is_stable(canary);
    server.may_be_missing = is_stable(canary);
    server.duty = canary.share_ppm == 0 ? traffic::ServerDuty::drain : traffic::ServerDuty::serve;
    wanted.servers.push_back(std::move(server));
  }
  for (const auto& name : share.readied) {
    traffic::WantedServer server;
    server.name = name;
    server.may_be_missing = true;
    wanted.servers.push_back(std::move(server));
  }
  if (!share.map.empty()) {
    auto& entries = wanted.maps[share.map];
    for (const auto& value : share.routed) {
      if (wanted.share_ppm != 0) entries[value] = share.map_value;
    }
  }
  return wanted;
}

fleet::SeenShare seen_of(const fleet::ProxyShare& share, const base::Result<ProxyLook>& look,
                         const traffic::MovedShare& moved) {
  fleet::SeenShare seen{.stable = moved.stable,
                        .canary = moved.canary,
                        .stable_open = moved.stable_current,
                        .canary_open = moved.canary_current,
                        .restarts = moved.restarts};
  for (const auto& canary : share.canaries) {
    const auto* server = look ? find(look->now, canary.server) : nullptr;
    seen.canaries.push_back(
        {canary.host, canary.order, server == nullptr ? 0 : server->current_sessions});
  }
  if (!look) {
    seen.result = is_final(look.error().code()) ? OrderResult::refused : OrderResult::under_way;
    seen.text = look.error().message();
    return seen;
  }
  seen.text = missing(share, look->now);
  if (!seen.text.empty()) {
    seen.result = OrderResult::refused;
    return seen;
  }
  auto problems = look->report.decision.problems;
  if (auto text = waiting(share, look->now); !text.empty()) problems.push_back(std::move(text));
  seen.result = problems.empty() ? OrderResult::done : OrderResult::under_way;
  seen.text = problems.empty() ? warning(share, look->now) : problems.front();
  return seen;
}

bool says_more(const fleet::SeenShare& told, const fleet::SeenShare& now) {
  const auto same_canary = [](const fleet::SeenCanary& a, const fleet::SeenCanary& b) {
    return a.host == b.host && a.order == b.order && (a.open == 0) == (b.open == 0);
  };
  return told.result != now.result || told.text != now.text || told.restarts != now.restarts ||
         !std::ranges::equal(told.canaries, now.canaries, same_canary);
}

}  // namespace segue::agent
