// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "agent/executor_protocol.h"
#include "agent/spec_files.h"
#include "base/log.h"
#include "fleet/host.h"
#include "membership/server_line.h"
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
    std::string incarnation;
    std::string boot_id;
    bool observe_only = false;
    std::function<void(const Order& order)> order;  // gives it to the half that carries it out
  };
  // All outlive it. data_loss: what is kept is damaged, and nothing was begun.
  static base::Result<std::unique_ptr<FleetAgent>> open(os::EpollLoop& loop, const os::Clock& clock,
                                                        const base::Log& log, Settings settings,
                                                        membership::MembershipFiles files,
                                                        membership::Membership membership);
  ~FleetAgent();
  FleetAgent(const FleetAgent&) = delete;
  FleetAgent& operator=(const FleetAgent&) = delete;

  void start();
  void answered(const OrderAnswer& answer);

 private:
  FleetAgent(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings,
             membership::MembershipFiles files, membership::Membership membership, SpecFiles specs,
             reconcile::Memory memory);

  void received(const rpc::Envelope& envelope);
  void take_desired(const std::string& document);
  void take_logs_wanted(const rpc::Envelope& envelope);
  void give(reconcile::Event event);
  void work();
  void decide(const std::function<reconcile::Decision()>& decision);
  [[nodiscard]] base::Result<void> keep();
  void carry_out(const reconcile::Command& command);
  void watch(const reconcile::InstanceKey& key);
  void report_soon();
  void report();
  void say_hello();
  bool send(rpc::EnvelopeKind kind, std::uint64_t number, std::string document);
  void set_timer();
  void say_trouble(const std::string& trouble);
  [[nodiscard]] std::string hello() const;
  [[nodiscard]] std::uint64_t generation() const;

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  const Settings settings_;
  SpecFiles specs_;
  reconcile::Decider decider_;
  membership::ServerLine line_;
  std::set<reconcile::InstanceKey> watched_;
  std::deque<reconcile::Event> events_;
  std::optional<reconcile::Decision> pending_;  // decided, and not kept so far
  bool working_ = false;
  std::string trouble_;
  std::optional<os::EpollLoop::TimerId> timer_;
  std::optional<os::EpollLoop::TimerId> keep_timer_;
  std::optional<os::EpollLoop::TimerId> report_timer_;
};

}  // namespace segue::agent
