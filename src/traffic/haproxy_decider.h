// SPDX-License-Identifier: Apache-2.0
// What to say to HAProxy so that what it does becomes what is wanted: (wanted, seen) → commands.
// Level-triggered: asked again and again, it puts back what a reload or somebody else has changed.
// Pure.
#pragma once

#include <map>
#include <string>
#include <variant>
#include <vector>

#include "traffic/haproxy_answers.h"
#include "traffic/share.h"

namespace segue::traffic {

enum class ServerDuty {
  serve,
  drain,     // what it has goes on, nothing new comes
  maintain,  // likewise, and its health is not checked
  leave,     // drain, and once nothing is left, be removed
};

struct WantedServer {
  std::string name;
  bool is_canary = false;
  ServerDuty duty = ServerDuty::serve;
  std::string address;  // numeric, with `port`: added where the backend has no such server
  std::uint16_t port = 0;
  bool is_checked = false;      // … with health checks
  bool may_be_missing = false;  // that it is not there is no problem

  bool operator==(const WantedServer&) const = default;
};

struct ProxyWanted {
  static constexpr std::size_t kMaxServers = 256;

  std::string backend;
  std::uint32_t share_ppm = 0;           // of all its servers that are canaries
  std::vector<WantedServer> servers;     // others serve as they are configured, and are stable
  std::map<std::string, ProxyMap> maps;  // by file; all entries of it, and no others
  // Canaries that are down count, too: meanwhile the others get less than the share, and when one
  // comes up they do not get more until it was looked at. Without any that is up there is no share.
  bool awaits_canaries = false;
};
// Whether each word of it may be said to HAProxy.
base::Result<void> check_wanted(const ProxyWanted& wanted);

struct ProxySeen {
  ProxyProcess process;
  std::vector<ProxyServer> servers;
  std::string mode;
  std::string algorithm;
  std::map<std::string, ProxyMap> maps;  // those that are wanted
};

struct ProxyCommand {
  std::string text;
  std::vector<std::string> done;  // what the answer may begin with; always: nothing at all
  bool may_wait = false;          // refused as unavailable: it is asked for again later

  bool operator==(const ProxyCommand&) const = default;
};
// All entries at once, as a transaction.
struct ReplaceMap {
  std::string file;
  ProxyMap entries;

  bool operator==(const ReplaceMap&) const = default;
};
using ProxyOrder = std::variant<ProxyCommand, ReplaceMap>;

struct ProxyDecision {
  std::vector<ProxyOrder> orders;     // none: all is as it is wanted, but for `problems`
  double share = 0;                   // that the weights come to, then
  std::vector<std::string> problems;  // what cannot be had, or not yet; for people
};
ProxyDecision decide(const ProxyWanted& wanted, const ProxySeen& seen);

}  // namespace segue::traffic
