// SPDX-License-Identifier: Apache-2.0
// HAProxy's runtime API over its stats socket.
#pragma once

#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "os/unique_fd.h"
#include "traffic/haproxy_decider.h"
#include "traffic/haproxy_meter.h"

namespace segue::traffic {

// One connection per command: HAProxy closes it after the answer, which is how it ends.
class ProxySocket {
 public:
  static constexpr std::size_t kMaxAnswerBytes = std::size_t{16} << 20;
  static constexpr base::Duration kAnswerLimit = std::chrono::seconds(5);

  // `address`: an absolute path, or HOST:PORT with a numeric host. `clock` outlives it.
  static base::Result<ProxySocket> at(const os::Clock& clock, std::string address);

  // unavailable: nobody listens there. permission_denied: of the socket's file. deadline_exceeded:
  // no whole answer in kAnswerLimit; what was asked for may have been done.
  [[nodiscard]] base::Result<std::string> ask(const std::string& command) const;

 private:
  ProxySocket(const os::Clock& clock, std::string address)
      : clock_(&clock), address_(std::move(address)) {}
  [[nodiscard]] base::Result<os::UniqueFd> connect(base::MonotonicTime until) const;

  const os::Clock* clock_;
  std::string address_;
};

// All that decide() asks for. not_found: no such backend or map.
base::Result<ProxySeen> observe(const ProxySocket& socket, const ProxyWanted& wanted);

// Stops at the first order that fails. Returns what those that have to wait wait for.
base::Result<std::vector<std::string>> carry_out(const ProxySocket& socket,
                                                 const std::vector<ProxyOrder>& orders);

struct ProxyReport {
  ProxySeen seen;          // before anything was changed
  ProxyDecision decision;  // what is left to do and to complain about, afterwards
  std::size_t orders = 0;  // carried out
};
// Looks, decides and carries out until nothing is left to do, which takes at most kMaxRounds.
inline constexpr int kMaxRounds = 5;
base::Result<ProxyReport> reconcile(const ProxySocket& socket, const ProxyWanted& wanted);

}  // namespace segue::traffic
