// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_decider.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "traffic/haproxy_weights.h"

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kMapsSince = 4;     // 2.4: versions of maps
constexpr std::uint32_t kServersSince = 4;  // 2.4: servers can be added …
constexpr std::uint32_t kServersPlain = 6;  // 2.6: … without experimental-mode
constexpr double kShareTolerance = 0.02;

class Decider {
 public:
  Decider(const ProxyWanted& wanted, const ProxySeen& seen) : wanted_(wanted), seen_(seen) {}

  ProxyDecision run() {
    for (const auto& server : wanted_.servers) {
      const auto* const found = find(server.name);
      if (found == nullptr) {
        add(server);
      } else {
        place(server, *found);
      }
    }
    weigh();
    for (const auto& [file, entries] : wanted_.maps) compare(file, entries);
    return std::move(decision_);
  }

 private:
  [[nodiscard]] const ProxyServer* find(const std::string& name) const {
    const auto found = std::find_if(seen_.servers.begin(), seen_.servers.end(),
                                    [&](const ProxyServer& one) { return one.name == name; });
    return found == seen_.servers.end() ? nullptr : &*found;
  }
  [[nodiscard]] const WantedServer* wanted(const std::string& name) const {
    const auto found = std::find_if(wanted_.servers.begin(), wanted_.servers.end(),
                                    [&](const WantedServer& one) { return one.name == name; });
    return found == wanted_.servers.end() ? nullptr : &*found;
  }
  [[nodiscard]] bool is_since(std::uint32_t minor) const {
    return seen_.process.major > 2 || (seen_.process.major == 2 && seen_.process.minor >= minor);
  }
  [[nodiscard]] std::string full(const std::string& server) const {
    return wanted_.backend + "/" + server;
  }
  void say(std::string text, std::vector<std::string> done = {}) {
    decision_.orders.emplace_back(ProxyCommand{std::move(text), std::move(done), false});
  }
  template <class... Args>
  void problem(fmt::format_string<Args...> format, Args&&... args) {
    decision_.problems.push_back(fmt::format(format, std::forward<Args>(args)...));
  }
  [[nodiscard]] std::string for_servers(const std::string& command) const {
    return is_since(kServersPlain) ? command : "experimental-mode on; " + command;
  }

  void add(const WantedServer& server) {
    if (server.duty == ServerDuty::leave || server.may_be_missing) return;
    if (server.address.empty()) {
      return problem("backend {} has no server {}", wanted_.backend, server.name);
    }
    if (!is_since(kServersSince)) {
      return problem("HAProxy {} cannot be given the server {}: 2.4 or later can",
                     seen_.process.version, server.name);
    }
    // It gets its weight at the next look, when it is seen.
    const bool v6 = server.address.find(':') != std::string::npos;
    say(for_servers(fmt::format("add server {} {}{}:{} weight 0{}", full(server.name),
                                v6 ? "ipv6@" : "", server.address, server.port,
                                server.is_checked ? " check" : "")),
        {"New server registered"});
    if (server.is_checked) say("enable health " + full(server.name));
    if (server.duty == ServerDuty::serve) say("enable server " + full(server.name));
  }

  void place(const WantedServer& server, const ProxyServer& found) {
    if (!server.address.empty() && (server.address != found.address || server.port != found.port)) {
      say(fmt::format("set server {} addr {} port {}", full(server.name), server.address,
                      server.port),
          {"IP changed", "no need to change the addr"});
    }
    const bool maintained = (found.admin_state & kForcedMaintenance) != 0;
    const bool drained = (found.admin_state & kForcedDrain) != 0;
    switch (server.duty) {
      case ServerDuty::serve:
        if (maintained || drained) say("set server " + full(server.name) + " state ready");
        return;
      case ServerDuty::drain:
        if (maintained || !drained) say("set server " + full(server.name) + " state drain");
        return;
      case ServerDuty::maintain:
        if (!maintained) say("set server " + full(server.name) + " state maint");
        return;
      case ServerDuty::leave:
        return remove(server, found, maintained, drained);
    }
  }

  void remove(const WantedServer& server, const ProxyServer& found, bool maintained, bool drained) {
    if (found.current_sessions > 0) {
      if (maintained || !drained) say("set server " + full(server.name) + " state drain");
      return problem("{} still has {} sessions; it goes when they have ended", server.name,
                     found.current_sessions);
    }
    if (!maintained) say("set server " + full(server.name) + " state maint");
    // Connections to it that wait to be used again are not among the sessions.
    decision_.orders.emplace_back(
        ProxyCommand{for_servers("del server " + full(server.name)), {"Server deleted"}, true});
  }

  void weigh() {
    std::vector<WeightedServer> servers;
    bool has_canary = false;
    bool has_one_up = false;
    for (const auto& server : seen_.servers) {
      const auto* const as = wanted(server.name);
      const bool serves = as == nullptr ? (server.admin_state & (kAnyMaintenance | kAnyDrain)) == 0
                                        : as->duty == ServerDuty::serve;
      const bool is_canary = as != nullptr && as->is_canary;
      has_canary |= is_canary;
      has_one_up |= is_canary && serves && server.is_running;
      const bool is_up = server.is_running || (is_canary && wanted_.awaits_canaries);
      servers.push_back(
          {server.configured_weight, is_canary, serves && is_up && !server.is_backup});
    }
    // What was added weighs as much as the others of its kind.
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const auto* const as = wanted(seen_.servers[i].name);
      if (as != nullptr && !as->address.empty() && servers[i].configured == 0) {
        servers[i].configured = heaviest(servers, servers[i].is_canary);
      }
    }
    if (!has_canary && wanted_.share_ppm != 0) {
      return problem("backend {} has no canary yet", wanted_.backend);
    }
    const bool may_share = has_one_up || !wanted_.awaits_canaries;
    const ChosenWeights chosen = choose_weights(servers, may_share ? wanted_.share_ppm : 0);
    decision_.share = chosen.share;
    // First what gets less, so that at no moment more is moved than is wanted in the end.
    for (const bool lower : {true, false}) {
      for (std::size_t i = 0; i < servers.size(); ++i) {
        const auto* const as = wanted(seen_.servers[i].name);
        if (as != nullptr && as->duty == ServerDuty::leave) continue;  // perhaps it is gone
        const std::uint32_t now = seen_.servers[i].weight;
        const std::uint32_t then = chosen.weights[i];
        if (then == now || (then < now) != lower) continue;
        say(fmt::format("set server {} weight {}", full(seen_.servers[i].name), then));
      }
    }
    const double share = wanted_.share_ppm / double{kWholePpm};
    if (std::abs(chosen.share - share) > kShareTolerance) {
      problem(
          "{} cannot be had: weights come to {:.2f}% (servers that are down or drained get "
          "nothing)",
          share_text(wanted_.share_ppm), 100 * chosen.share);
    }
  }

  static std::uint32_t heaviest(const std::vector<WeightedServer>& servers, bool is_canary) {
    std::uint32_t weight = 1;
    for (const auto& server : servers) {
      if (server.is_canary == is_canary) weight = std::max(weight, server.configured);
    }
    return weight;
  }

  void compare(const std::string& file, const ProxyMap& entries) {
    const auto found = seen_.maps.find(file);
    if (found != seen_.maps.end() && found->second == entries) return;
    if (!is_since(kMapsSince)) {
      return problem("HAProxy {} cannot replace the map {} at once: 2.4 or later can",
                     seen_.process.version, file);
    }
    decision_.orders.emplace_back(ReplaceMap{file, entries});
  }

  const ProxyWanted& wanted_;
  const ProxySeen& seen_;
  ProxyDecision decision_;
};

}  // namespace

Result<void> check_wanted(const ProxyWanted& wanted) {
  SEGUE_TRY(check_proxy_word("backend", wanted.backend));
  if (wanted.servers.size() > ProxyWanted::kMaxServers) {
    return fail(ErrorCode::invalid_argument, "more than {} servers", ProxyWanted::kMaxServers);
  }
  for (auto one = wanted.servers.begin(); one != wanted.servers.end(); ++one) {
    SEGUE_TRY(check_proxy_word("server", one->name));
    if (!one->address.empty()) SEGUE_TRY(check_proxy_word("address", one->address));
    if (std::any_of(wanted.servers.begin(), one,
                    [&](const WantedServer& other) { return other.name == one->name; })) {
      return fail(ErrorCode::invalid_argument, "the server {} is named twice", one->name);
    }
  }
  for (const auto& [file, entries] : wanted.maps) {
    SEGUE_TRY(check_proxy_word("map", file));
    if (entries.size() > kMaxProxyMapEntries) {
      return fail(ErrorCode::invalid_argument, "{}: more than {} entries", file,
                  kMaxProxyMapEntries);
    }
    for (const auto& [key, value] : entries) {
      SEGUE_TRY(check_proxy_word("key", key));
      SEGUE_TRY(check_proxy_word("value", value));
    }
  }
  return {};
}

ProxyDecision decide(const ProxyWanted& wanted, const ProxySeen& seen) {
  return Decider(wanted, seen).run();
}

}  // namespace segue::traffic
