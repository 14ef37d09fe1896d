// SPDX-License-Identifier: Apache-2.0
// How far the hosts are that ask a relay, by what they say and what they got. Pure.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/time.h"
#include "relay/fields.h"
#include "relay/rate_meter.h"
#include "relay/state.h"

namespace segue::relay {

class Hosts {
 public:
  // Who asks for nothing for so long has ended.
  static constexpr base::Duration kForget = std::chrono::minutes(10);

  using Key = std::pair<std::string, std::string>;  // host and task
  // Nothing is remembered of who gives no name, nor beyond kMaxHosts.
  Key asked(const Asker& asker, base::MonotonicTime now);
  void got(const Key& key, std::uint64_t bytes, base::MonotonicTime now);
  void tick(base::MonotonicTime now);  // each second

  // `relay` is this one's name.
  [[nodiscard]] std::vector<HostState> states(const std::string& relay) const;

 private:
  struct Host {
    GoLive go_live;
    std::optional<std::uint64_t> left_bytes;
    std::uint64_t bytes = 0;
    RateMeter meter;
    base::MonotonicTime seen{};
  };
  std::map<Key, Host> hosts_;
};

}  // namespace segue::relay
