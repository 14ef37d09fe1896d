// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/instance_driver.h"
#include "agent/server_line.h"
#include "agent/spec_files.h"
#include "base/log.h"
#include "fleet/host.h"
#include "reconcile/decider.h"

namespace segue::agent {

// The thin shell around the decider of what this host is to be: it keeps what is decided before it
// is carried out, goes on with it when there is no server, and tells the server what it sees.
class FleetAgent {
 public:
  static constexpr base::Duration kKeepRetry = std::chrono::seconds(5);
  static constexpr base::Duration kReportAfter = std::chrono::milliseconds(50);

  struct Settings {
    std::string directory;  // its own
    std::string segue;      // this program's file
    std::vector<std::string> environment;
    std::string incarnation;
    std::string boot_id;
    bool observe_only = false;
  };
  // All outlive it. data_loss: what is kept is damaged, and nothing was begun.
  static base::Result<std::unique_ptr<FleetAgent>> open(os::EpollLoop& loop, const os::Clock& clock,
                                                        const base::Log& log, Settings settings,
                                                        MembershipFiles files,
                                                        Membership membership);
  ~FleetAgent();
  FleetAgent(const FleetAgent&) = delete;
  FleetAgent& operator=(const FleetAgent&) = delete;

  void start();

 private:
  FleetAgent(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
             MembershipFiles files, Membership membership, SpecFiles specs,
             reconcile::Memory memory);

  void received(const rpc::Envelope& envelope);
  void take_desired(const std::string& document);
  void give(reconcile::Event event);
  void work();
  void decide(const std::function<reconcile::Decision()>& decision);
  [[nodiscard]] base::Result<void> keep();
  void carry_out(const reconcile::Command& command);
  InstanceDriver& driver(const reconcile::InstanceKey& key);
  void report_soon();
  void report();
  void set_timer();
  void say_trouble(const std::string& trouble);
  [[nodiscard]] std::string hello() const;

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  const Settings settings_;
  SpecFiles specs_;
  reconcile::Decider decider_;
  ServerLine line_;
  std::map<reconcile::InstanceKey, std::unique_ptr<InstanceDriver>> drivers_;
  std::deque<reconcile::Event> events_;
  std::optional<reconcile::Decision> pending_;  // decided, and not kept so far
  bool working_ = false;
  std::string trouble_;
  std::optional<os::EpollLoop::TimerId> timer_;
  std::optional<os::EpollLoop::TimerId> keep_timer_;
  std::optional<os::EpollLoop::TimerId> report_timer_;
};

}  // namespace segue::agent
