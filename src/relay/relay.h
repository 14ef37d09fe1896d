// SPDX-License-Identifier: Apache-2.0
// A caching server of a release library for the hosts of one site: each byte comes over the site's
// line once. It holds no key, and nobody has to trust it: what it serves is verified by whoever
// asks.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "control/listen_address.h"
#include "os/clock.h"
#include "plan/zones.h"
#include "relay/line_rates.h"
#include "relay/source_url.h"
#include "relay/state.h"

namespace segue::relay {

struct RelaySettings {
  std::string site;
  std::string name;
  std::vector<Member> members;  // in their order, with this one; never empty
  SourceUrl origin;
  std::vector<control::ListenAddress> listen;
  std::string cache;
  LineRates line_rates;
  std::string zone;
  std::uint64_t cache_max_bytes = 0;
  std::uint64_t object_max_bytes = 0;
  base::Duration metadata_max_age = std::chrono::seconds(2);
  std::size_t max_connections = 256;
};

// One thread. Memory: about 80 KiB per connection and per transfer.
class Relay {
 public:
  // `clock`, `zones` and `log` outlive it. The ports are open when it returns.
  static base::Result<std::unique_ptr<Relay>> open(const RelaySettings& settings,
                                                   const os::Clock& clock, const plan::Zones& zones,
                                                   const base::Log& log);
  Relay(const Relay&) = delete;
  Relay& operator=(const Relay&) = delete;
  ~Relay();

  // In the order of `listen`.
  [[nodiscard]] std::vector<std::uint16_t> ports() const;
  // Until stop(), or, if that is asked for, SIGTERM or SIGINT. What is under way ends there, and
  // goes on when it is asked for again.
  void run(bool until_signal);
  // From any thread.
  void stop();
  // Not while it runs in another thread.
  [[nodiscard]] RelayState state() const;
  [[nodiscard]] std::uint64_t served_bytes() const;

 private:
  struct State;
  explicit Relay(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace segue::relay
