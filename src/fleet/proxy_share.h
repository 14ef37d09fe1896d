// SPDX-License-Identifier: Apache-2.0
// What a proxy is to do with the new connections to a component, and what it was seen to do.
// Values, which a server derives from the assignments of canaries; nothing more of them is stored.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/instance.h"

namespace segue::fleet {

// A canary that stands behind the proxy; or a stable slot that is to end, which has no share.
struct ProxyCanary {
  std::string host;
  std::string server;  // its name in the backend
  std::string stable;  // … of its host's other slot, which has to be there, too; empty: none has to
  std::string order;   // of its assignment, or that will end it
  std::uint32_t share_ppm = 0;  // 0: nothing new comes to it

  bool operator==(const ProxyCanary&) const = default;
};

struct ProxyShare {
  static constexpr std::size_t kMaxCanaries = 200;  // and other servers, together
  static constexpr std::size_t kMaxRouted = 1'000;

  std::string socket;  // an absolute path, or HOST:PORT with a numeric host
  std::string backend;
  // Whoever has a header or a cookie of these values has the canary, while it has a share.
  std::string map;  // the file; empty: nobody is routed
  std::vector<std::string> routed;
  std::string map_value;              // that they have in the map
  std::vector<ProxyCanary> canaries;  // by host
  std::vector<std::string> readied;   // servers of stable slots that had ended, and serve again

  // Of all new connections that come to the proxy, for its canaries together.
  [[nodiscard]] std::uint32_t share_ppm() const;
  // Nothing is wanted of the proxy.
  [[nodiscard]] bool is_empty() const { return canaries.empty() && readied.empty(); }

  bool operator==(const ProxyShare&) const = default;
};

// What `sharing` says of the canary on `host`; `share` has all but its canaries.
struct ProxyPlace {
  std::string proxy_host;  // whose agent speaks with the proxy
  ProxyShare share;
  ProxyCanary canary;

  bool operator==(const ProxyPlace&) const = default;
};
// nullopt: no proxy splits.
std::optional<ProxyPlace> proxy_place(const Sharing& sharing, const std::string& host);

// ---- What is seen
struct SeenCanary {
  std::string host;
  std::string order;       // for which it holds, …
  std::uint64_t open = 0;  // sessions at its server that have not ended

  bool operator==(const SeenCanary&) const = default;
};

struct SeenShare {
  // done: weights, servers and maps are as they are wanted. under_way: not yet, or not any more,
  // and it is tried again and again. refused: they cannot be.
  OrderResult result = OrderResult::under_way;
  std::string text;  // for a person
  std::vector<SeenCanary> canaries;
  // Sessions (of mode http: requests) that began since the share was set.
  std::uint64_t stable = 0;
  std::uint64_t canary = 0;
  // … that have not ended, whenever they began.
  std::uint64_t stable_open = 0;
  std::uint64_t canary_open = 0;
  std::uint32_t restarts = 0;  // of the proxy, since then: each had lost the share

  // The first of that host, or the one with that order.
  [[nodiscard]] const SeenCanary* find(std::string_view host) const;
  [[nodiscard]] const SeenCanary* find(std::string_view host, std::string_view order) const;
  bool operator==(const SeenShare&) const = default;
};

using ProxyShares = std::map<std::string, ProxyShare>;  // by component
using SeenShares = std::map<std::string, SeenShare>;

// Bounds, and names that can be what they are said to be. data_loss: says what.
base::Result<void> check_share(const std::string& component, const ProxyShare& share);

// A word in a command to HAProxy: 1 to 200 characters, no blanks, control characters, ';', '\',
// '#'.
bool is_proxy_word(std::string_view text);

}  // namespace segue::fleet
