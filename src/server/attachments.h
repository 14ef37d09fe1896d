// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "base/error.h"
#include "fleet/host.h"
#include "rpc/fleet_server.h"
#include "store/scheduler.h"

namespace segue::server {

// Which hosts are connected, through which session, and when each was heard last.
class Attachments {
 public:
  // Who is not heard for so long is silent. Agents are heard each kHeartbeat.
  static constexpr base::Duration kHeartbeat = std::chrono::seconds(5);
  static constexpr base::Duration kLease = std::chrono::seconds(20);

  struct Attachment {
    rpc::SessionId session = 0;  // 0: none now
    fleet::Hello hello;
    std::optional<fleet::ObservedHost> observed;
    std::string last_incarnation;  // before this one; if it comes back there are two
    base::MonotonicTime heard{};
    std::uint64_t generation = 0;  // that it says it has
    bool silent = true;
    bool said_hello = false;
  };

  using OnSilence = std::function<void(const std::string& host, bool silent)>;
  Attachments(store::Scheduler& scheduler, OnSilence on_silence);

  // Hosts that are stored are given a lease to come back before they count as silent.
  void expect(const std::string& host);
  void forget(const std::string& host);

  // The session that it took the place of, to be closed; 0: none. failed_precondition: two agents
  // have the same identity.
  base::Result<rpc::SessionId> hello(const std::string& host, rpc::SessionId session,
                                     fleet::Hello hello);
  void heard(const std::string& host, rpc::SessionId session, std::uint64_t generation);
  void observed(const std::string& host, fleet::ObservedHost observed);
  // Of all hosts of the session.
  void detached(rpc::SessionId session);

  [[nodiscard]] const Attachment* find(const std::string& host) const;
  [[nodiscard]] bool is_silent(const std::string& host) const;
  [[nodiscard]] const std::map<std::string, Attachment>& all() const { return hosts_; }

 private:
  void set_silent(const std::string& host, Attachment& attachment, bool silent);
  void watch_lease(const std::string& host, base::MonotonicTime at);

  store::Scheduler& scheduler_;
  OnSilence on_silence_;
  std::map<std::string, Attachment> hosts_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
