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

  // How a host is reached: the session of its agent, or of a relay, with the number of the relay's
  // own line to the agent.
  struct Way {
    rpc::SessionId session = 0;  // 0: none now
    std::uint64_t line = 0;      // 0: the session is the agent's own
    bool operator==(const Way&) const = default;
  };
  struct Attachment {
    Way way;
    fleet::Hello hello;
    std::optional<fleet::ObservedHost> observed;
    std::string last_incarnation;  // before this one; if it comes back there are two
    std::string contender;         // another one, that said hello while this one was attached
    std::string told_of;           // the last one that is a copy for sure
    base::MonotonicTime heard{};
    std::uint64_t generation = 0;  // that it says it has
    bool silent = true;
    bool said_hello = false;
  };

  using OnSilence = std::function<void(const std::string& host, bool silent)>;
  // Two agents have the identity of `host`, and both live; once for each.
  using OnCopy = std::function<void(const std::string& host)>;
  Attachments(store::Scheduler& scheduler, OnSilence on_silence, OnCopy on_copy = nullptr);

  // Hosts that are stored are given a lease to come back before they count as silent.
  void expect(const std::string& host);
  void forget(const std::string& host);

  // The way that this one took the place of, to be closed; of session 0: none. failed_precondition:
  // two agents have the same identity, or it has started anew and the line of the one before is not
  // closed: it may try again, and is let in once that one is gone or silent.
  base::Result<Way> hello(const std::string& host, Way way, fleet::Hello hello);
  // `generation`: nothing where it is as it was.
  void heard(const std::string& host, Way way, std::optional<std::uint64_t> generation);
  void observed(const std::string& host, fleet::ObservedHost observed);
  void detached(const std::string& host, Way way);

  [[nodiscard]] const Attachment* find(const std::string& host) const;
  [[nodiscard]] bool is_silent(const std::string& host) const;
  [[nodiscard]] const std::map<std::string, Attachment>& all() const { return hosts_; }

 private:
  void set_silent(const std::string& host, Attachment& attachment, bool silent);
  void watch_lease(const std::string& host, base::MonotonicTime at);

  store::Scheduler& scheduler_;
  OnSilence on_silence_;
  OnCopy on_copy_;
  std::map<std::string, Attachment> hosts_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::server
