// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "agent/executor_protocol.h"
#include "agent/instance_driver.h"
#include "agent/proxy_driver.h"
#include "base/log.h"

namespace segue::agent {

// The half of a fleet's agent that does what the other has decided: a driver for each instance.
class Executor {
 public:
  static constexpr std::size_t kMaxInstances = 4 * fleet::kMaxInstancesOfHost;
  // Of a component; of more the oldest are forgotten, and told again when they are wanted.
  static constexpr std::size_t kKeptRevisions = 16;

  struct Settings {
    std::string directory;  // of the instances
    std::string segue;      // this program's file
    std::string runtime;    // where the folders of keepers are …
    std::string state;      // … and what they keep
    std::string engine;     // of containers, as unix:///PATH; empty: the usual one
    std::vector<std::string> environment;
  };
  using Answer = std::function<void(const OrderAnswer& answer)>;
  // All outlive it. `answer` is never called from within a call.
  Executor(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
           Answer answer);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // resource_exhausted: too many instances.
  base::Result<void> carry_out(const Order& order);

 private:
  base::Result<void> know(const Know& know);
  void read_logs(const ReadLogs& wanted);
  [[nodiscard]] const fleet::ComponentSpec* find(const std::string& component,
                                                 fleet::Revision revision) const;
  base::Result<void> keep(const reconcile::KeepShare& order);
  base::Result<InstanceDriver*> driver(const reconcile::InstanceKey& key);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  const Settings settings_;
  Answer answer_;
  HealthMeans means_;
  std::map<std::string, std::map<fleet::Revision, fleet::ComponentSpec>> specs_;  // by component
  std::map<reconcile::InstanceKey, std::unique_ptr<InstanceDriver>> drivers_;
  std::map<std::string, std::unique_ptr<ProxyDriver>> proxies_;  // by component
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::agent
