// SPDX-License-Identifier: Apache-2.0
#include "relay/hosts.h"

#include <algorithm>
#include <cmath>

namespace segue::relay {

Hosts::Key Hosts::asked(const Asker& asker, base::MonotonicTime now) {
  Key key(asker.host, asker.task);
  if (asker.host.empty()) return key;
  const auto found = hosts_.find(key);
  if (found == hosts_.end() && hosts_.size() >= kMaxHosts) return key;
  Host& host = hosts_[key];
  host.seen = now;
  host.go_live = asker.go_live;
  host.left_bytes = asker.left_bytes;
  return key;
}

void Hosts::got(const Key& key, std::uint64_t bytes, base::MonotonicTime now) {
  const auto found = hosts_.find(key);
  if (found == hosts_.end()) return;
  Host& host = found->second;
  host.seen = now;
  host.bytes += bytes;
  host.meter.add(bytes);
  if (host.left_bytes) *host.left_bytes -= std::min(*host.left_bytes, bytes);
}

void Hosts::tick(base::MonotonicTime now) {
  std::erase_if(hosts_, [&](const auto& entry) { return now - entry.second.seen > kForget; });
  for (auto& [key, host] : hosts_) host.meter.tick();
}

std::vector<HostState> Hosts::states(const std::string& relay) const {
  std::vector<HostState> all;
  all.reserve(hosts_.size());
  for (const auto& [key, host] : hosts_) {
    HostState state{.host = key.first, .task = key.second, .relay = relay};
    state.go_live = host.go_live;
    state.left_bytes = host.left_bytes;
    state.bytes = host.bytes;
    state.bytes_per_second = host.meter.per_second();
    if (host.left_bytes == 0U) {
      state.eta_s = 0;
    } else if (host.left_bytes && state.bytes_per_second >= 1) {
      state.eta_s = static_cast<std::uint64_t>(
          std::ceil(static_cast<double>(*host.left_bytes) / state.bytes_per_second));
    }
    all.push_back(std::move(state));
  }
  return all;
}

}  // namespace segue::relay
