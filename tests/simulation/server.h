// SPDX-License-Identifier: Apache-2.0
// A server's process around the engine, and the store that outlives it.
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "reconcile/desired.h"
#include "rollout/engine.h"
#include "simulation/host.h"
#include "simulation/loop.h"

namespace segue::simulation {

struct StoredRollout {
  rollout::Rollout head;
  std::map<std::pair<std::string, fleet::Slot>, rollout::InstanceRecord> records;
};

struct Store {
  std::map<std::uint64_t, StoredRollout> rollouts;  // by the number in their id
  std::map<std::string, reconcile::Desired> desired;
  std::set<std::string> drained;
  fleet::Revision good = fleet::kNoRevision;
};

class Server {
 public:
  explicit Server(World& world) : world_(world) {}

  void begin();
  void kill();
  void adopt(fleet::Revision runs);  // what every host runs before the first rollout
  void receive(const AgentSays& says);
  void ask(rollout::Event event);  // of a person
  void drain(const std::string& host, bool drained);
  void change(fleet::Revision target, const fleet::Strategy& strategy);

  [[nodiscard]] bool is_alive() const { return alive_; }
  [[nodiscard]] const Store& store() const { return store_; }
  [[nodiscard]] bool everything_is_final() const;
  [[nodiscard]] const rollout::Engine* engine() const { return engine_ ? &*engine_ : nullptr; }
  std::uint64_t events_ = 0;

 private:
  struct Write {
    std::uint64_t rollout = 0;
    rollout::Batch batch;
  };

  void load();
  void activate();
  void tick();
  void pump();
  void take(std::uint64_t rollout, rollout::Changes changes);
  void store_next();
  void apply(const Write& write);
  void send(const std::string& host);
  void look_for_silence();
  void judge();
  [[nodiscard]] rollout::Now now() const;
  [[nodiscard]] std::vector<rollout::HostFacts> facts(fleet::Revision target);

  World& world_;
  Store store_;

  // The process.
  bool alive_ = false;
  std::uint64_t life_ = 0;
  Duration started_{};
  std::optional<rollout::Engine> engine_;
  std::uint64_t active_ = 0;
  std::deque<rollout::Event> inbox_;
  std::deque<Write> writes_;
  std::set<std::string> to_send_;
  bool storing_ = false;
  Duration looked_{};
  std::map<std::string, Duration> heard_;
  std::set<std::string> silent_;
};

}  // namespace segue::simulation
