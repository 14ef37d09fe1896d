// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_meter.h"

#include <algorithm>

namespace segue::traffic {

void ProxyMeter::observe(const ProxyWanted& wanted, const ProxySeen& seen) {
  auto& [process, last, moved] = state_;
  const bool is_first = !process;
  if (!is_first && !process->is_same_as(seen.process)) {
    ++moved.restarts;
    last.clear();  // it counts from 0
  }
  process = seen.process;
  moved.stable_current = moved.canary_current = 0;
  std::map<std::string, std::uint64_t> now;
  for (const auto& server : seen.servers) {
    const bool is_canary = std::any_of(
        wanted.servers.begin(), wanted.servers.end(),
        [&](const WantedServer& one) { return one.is_canary && one.name == server.name; });
    const auto before = last.find(server.name);
    // One that was removed and added again counts from 0, too.
    const std::uint64_t known =
        before == last.end() || before->second > server.sessions ? 0 : before->second;
    if (!is_first) (is_canary ? moved.canary : moved.stable) += server.sessions - known;
    (is_canary ? moved.canary_current : moved.stable_current) += server.current_sessions;
    now[server.name] = server.sessions;
  }
  last = std::move(now);
}

}  // namespace segue::traffic
