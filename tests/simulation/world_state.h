// SPDX-License-Identifier: Apache-2.0
// What the parts of a simulated fleet share.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "simulation/host.h"
#include "simulation/server.h"
#include "simulation/world.h"

namespace segue::simulation {

class World {
 public:
  explicit World(const Settings& settings);
  Result run();

  Loop& loop() { return loop_; }
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] bool faulty() const {
    return settings_.faults && loop_.now() < settings_.faults_end;
  }
  Server& server() { return server_; }
  Host* find(const std::string& host);
  [[nodiscard]] const std::vector<std::unique_ptr<Host>>& hosts() const { return hosts_; }

  // Over a network that loses, doubles, delays and parts.
  void to_server(AgentSays says);
  void to_host(const std::string& host, reconcile::Desired desired);

  [[nodiscard]] base::RealTime real_now() const;
  [[nodiscard]] bool is_bad(fleet::Revision revision) const { return bad_.contains(revision); }
  [[nodiscard]] bool is_cut(const std::string& host) const { return cut_.contains(host); }
  [[nodiscard]] std::uint64_t failing_per_mille() const { return failing_per_mille_; }

  void fail(std::string what);
  // An order is about to be carried out.
  void check_move(const Host& host, fleet::Slot slot, const reconcile::Intent& intent);
  void check_revision(const std::string& host, fleet::Slot slot, fleet::Revision revision);

  Result result_;

 private:
  template <class Deliver>
  void deliver(const std::string& host, Deliver deliver);
  void cause_trouble();
  void interfere();
  void calm();
  void check_end();

  Settings settings_;
  Loop loop_;
  Server server_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::map<std::string, Host*> by_name_;
  std::set<std::string> cut_;
  std::set<fleet::Revision> bad_;
  std::set<fleet::Revision> known_;
  fleet::Revision last_revision_ = 4;
  std::uint64_t failing_per_mille_ = 0;
  Duration clock_error_{};
  Duration calm_at_{};
  int resumed_ = 0;
};

}  // namespace segue::simulation
