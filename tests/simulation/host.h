// SPDX-License-Identifier: Apache-2.0
// A host: what runs on it, its keepers with their history, its disk, and its agent's process.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "reconcile/decider.h"
#include "simulation/loop.h"

namespace segue::simulation {

class World;

// What an agent tells its server; complete, so any order and any loss will do.
struct AgentSays {
  std::string host;
  std::uint64_t epoch = 0;
  std::uint64_t generation = 0;
  std::map<fleet::Slot, fleet::Observation> observations;
};

class Host {
 public:
  Host(World& world, std::string name) : world_(world), name_(std::move(name)) {}

  void begin(fleet::Revision runs);
  void receive(const reconcile::Desired& desired);
  void kill_agent();
  void reboot();

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] fleet::Revision runs(fleet::Slot slot) const;
  [[nodiscard]] bool is_well(fleet::Slot slot) const;
  // The order that is being carried out to this revision, or to what runs already; nullptr also if
  // nothing served before.
  [[nodiscard]] const std::string* moving_to(fleet::Slot slot, fleet::Revision revision) const;

 private:
  struct Attempt {
    reconcile::Intent intent;
    std::uint64_t number = 0;
    bool was_well = false;
  };
  // Of a slot's keeper; outlives the agent, not the host.
  struct Slot {
    fleet::Revision runs = fleet::kNoRevision;
    fleet::Health health = fleet::Health::unknown;
    std::uint64_t connections = 0;
    std::uint32_t share_ppm = 0;
    std::set<fleet::Revision> staged;
    std::map<std::string, fleet::OrderResult> history;  // what the keeper has on its disk
    std::optional<Attempt> attempt;
  };

  void start_agent();
  void give(const reconcile::Event& event);
  void take(reconcile::Decision decision);
  void carry_out_pending();
  void set_deadline();
  void heartbeat();
  void say();
  void see(const reconcile::InstanceKey& key);
  template <class Work>
  void later(Duration least, Duration most, Work work);  // if the agent lives until then

  void on(const reconcile::Stage& command);
  void on(const reconcile::Act& command);
  void on(const reconcile::Restore& command);
  void on(const reconcile::LookUp& command);
  void on(const reconcile::SetShare& command);
  void on(const reconcile::KeepShare& command);
  void on(const reconcile::CheckHealth& command);
  void on(const reconcile::Report& command);
  void on(const reconcile::RefuseDesired& command);
  void end_attempt(const reconcile::InstanceKey& key, std::uint64_t number);

  World& world_;
  std::string name_;
  std::map<fleet::Slot, Slot> slots_;
  reconcile::Memory disk_;
  std::uint64_t attempts_ = 0;

  // The agent's process.
  struct Pending {
    std::optional<reconcile::Memory> keep;
    std::vector<reconcile::Command> commands;
  };
  std::optional<reconcile::Decider> decider_;  // nullopt: it does not run
  std::uint64_t life_ = 0;
  std::deque<Pending> pending_;
  bool keeping_ = false;
  std::optional<base::MonotonicTime> deadline_;
};

}  // namespace segue::simulation
