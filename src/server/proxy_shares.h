// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fleet/host.h"
#include "fleet/proxy_share.h"
#include "rollout/progress.h"

namespace segue::server {

// Whether a revision of the instance's component stands behind a proxy.
using HasProxy = std::function<bool(fleet::Revision revision)>;
// `proxied` of an instance whose assignment was `before` (nullptr: it had none) and is now `now`.
// A canary of a revision without a proxy is the matter of the one before until it has ended; of a
// stable slot that has ended, the proxy keeps everybody away until it is back.
fleet::Revision proxied_after(const fleet::InstanceId& instance, const fleet::Assignment* before,
                              const fleet::Assignment& now, const HasProxy& has_proxy);
// The revision whose `sharing` says which proxy has to do with the slot.
fleet::Revision proxied_of(const fleet::Assignment& assignment);

// Which slots a proxy has to do with, whose agent speaks with it, and what follows for a rollout
// of what that agent has seen. Pure.
class ProxyShares {
 public:
  // The instance's assignment is now this one; `spec` is of proxied_of() it, nullptr: there is
  // none. Hosts that are to be something else now, beside the instance's own.
  std::set<std::string> assigned(const fleet::InstanceId& instance,
                                 const fleet::Assignment& assignment,
                                 const fleet::ComponentSpec* spec);
  // The host is no part of the fleet any more, or is again: as long as nobody leads its canary,
  // nobody new is sent there. Hosts that are to be something else now.
  std::set<std::string> left(const std::string& host, bool has_left);
  // Of stable slots that are to end once this says so: the agent of the proxy's host has told that
  // it has spoken with the proxy, or nobody can be waited for.
  [[nodiscard]] bool may_end(const fleet::InstanceId& instance, const fleet::ObservedHost* seen,
                             bool is_silent) const;

  // What the agent of `host` is to have proxies do.
  [[nodiscard]] fleet::ProxyShares of(const std::string& host) const;
  // The slots of a component whose proxy the agent of `host` speaks with.
  [[nodiscard]] std::set<fleet::InstanceId> behind(const std::string& host,
                                                   const std::string& component) const;
  // For people; `seen`: what a host's agent says, nullptr: nothing so far.
  using FindSeen = std::function<const fleet::ObservedHost*(const std::string& host)>;
  [[nodiscard]] std::vector<rollout::ShareProgress> progress(const std::string& component,
                                                             const FindSeen& find_seen) const;
  // Empty: no proxy stands before it.
  [[nodiscard]] std::string proxy_host(const fleet::InstanceId& instance) const;

  // What an engine is told of an instance. As its own agent saw it; but what was ordered is done
  // only once the proxy does it, too. On the way back a proxy that cannot be reached is not waited
  // for: it sends nobody anywhere.
  struct Look {
    fleet::Observation observation;
    bool may_be_sent_to = false;
  };
  // `seen`: what the proxy host's agent says, nullptr: nothing so far.
  [[nodiscard]] Look look(const fleet::InstanceId& instance, const fleet::Observation& observation,
                          const fleet::ObservedHost* seen, bool is_silent, bool goes_back) const;

 private:
  enum class Part { canary, ends, readied };  // the last two: of stable slots
  struct Slot {
    fleet::ProxyPlace place;
    fleet::Revision revision = fleet::kNoRevision;
    Part part = Part::canary;
  };
  [[nodiscard]] static std::optional<Part> part_of(const fleet::InstanceId& instance,
                                                   const fleet::Assignment& assignment);
  void add_to(fleet::ProxyShare& share, const Slot& slot) const;

  std::map<fleet::InstanceId, Slot> slots_;
  std::set<std::string> left_;  // hosts
  // By the proxy's host and the component.
  std::map<std::pair<std::string, std::string>, std::set<fleet::InstanceId>> behind_;
};

}  // namespace segue::server
