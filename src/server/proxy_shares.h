// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fleet/host.h"
#include "fleet/proxy_share.h"
#include "rollout/progress.h"

namespace segue::server {

// Which canaries stand behind a proxy, whose agent speaks with it, and what follows for a rollout
// of what that agent has seen. Pure.
class ProxyShares {
 public:
  // The instance's assignment is now this one; `spec` is of its revision, nullptr: not known. Hosts
  // that are to be something else now, beside the instance's own.
  std::set<std::string> assigned(const fleet::InstanceId& instance,
                                 const fleet::Assignment& assignment,
                                 const fleet::ComponentSpec* spec);

  // What the agent of `host` is to have proxies do.
  [[nodiscard]] fleet::ProxyShares of(const std::string& host) const;
  // The canaries of a component whose proxy the agent of `host` speaks with.
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
  struct Canary {
    fleet::ProxyPlace place;
    fleet::Revision revision = fleet::kNoRevision;
  };
  std::map<fleet::InstanceId, Canary> canaries_;
  // By the proxy's host and the component.
  std::map<std::pair<std::string, std::string>, std::set<fleet::InstanceId>> behind_;
};

}  // namespace segue::server
