// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>

#include "keeper/decider.h"

namespace segue::keeper {

// Decides for a component whose program does not link libsegue: no state moves, so what an upgrade
// can keep depends on the contract (control/contract.h). In all of them a program first shows that
// it is ready, and afterwards the predecessor can come back: because it still runs (listeners,
// signal) or because it is started again (restart, fdstore).
class ProgramComponent final : public Decider {
 public:
  static constexpr base::Duration kLookInterval = std::chrono::milliseconds(25);
  static constexpr base::Duration kCountInterval = std::chrono::milliseconds(100);
  static constexpr base::Duration kCutInterval = std::chrono::seconds(1);
  static constexpr base::Duration kStartedAfter = std::chrono::seconds(1);  // Ready::started
  static constexpr base::Duration kHealthyAfter = std::chrono::seconds(60);
  static constexpr base::Duration kHealthInterval = std::chrono::milliseconds(500);
  static constexpr base::Duration kKillAfter = std::chrono::seconds(2);  // the last signal
  static constexpr base::Duration kSideBySideDrain = std::chrono::seconds(30);
  static constexpr base::Duration kRestartDrain = std::chrono::seconds(5);
  static constexpr base::Duration kMaxExtension = std::chrono::hours(1);
  static constexpr base::Duration kMaxCutting = std::chrono::hours(1);
  static constexpr std::uint32_t kHealthFailuresAllowed = 1;  // in a row

  explicit ProgramComponent(Settings settings);

  [[nodiscard]] MonotonicTime next_deadline() const override;
  [[nodiscard]] ComponentSnapshot snapshot() const override;
  void resume(ComponentSnapshot snapshot, MonotonicTime now) override;

 private:
  using Side = ProgramSide;

  void dispatch(const Event& event) override;
  void on(const RunRequested& event);
  void on(const UpgradeRequested& event);
  void on(const UndoRequested& event);
  void on(const StopRequested& event);
  void on(const EjectRequested& event);
  void on(const SpawnFailed& event);
  void on(const Spawned& event);
  void on(const Exited& event);
  void on(const HealthChecked& event);
  void on(const ProgramTold& event);
  void on(const TimePassed& event);
  void on(const FaultInjected& event);

  // What programs tell (program_component.cc)
  void told(Generation generation, const Notice& notice);
  void told(Generation generation, const ProgramTold::Counted& counted);
  void told(Generation generation, const ProgramTold::Accepting& accepting);
  void told(Generation generation, const ProgramTold::Cut& cut);
  void told(Generation generation, const ProgramTold::NewMain& main);
  void note_watchdog(Generation generation, const Notice& notice);

  // Life of an instance (program_instances.cc)
  Generation start(const control::Launch& launch);
  void look(Generation generation, Side& side);
  void review_ready(Generation generation);
  void find_contract(const Side& side);
  [[nodiscard]] bool shows_contract(const Side& side) const;
  [[nodiscard]] bool shows_ready(const Instance& instance, const Side& side) const;
  [[nodiscard]] std::string not_ready_text(Generation generation) const;
  void became_owner(Generation generation);
  void begin_leaving(Generation generation, base::Duration limit, int signal);
  void drive_leaving(Generation generation, Side& side);
  void drain_limit_reached(Generation generation, Side& side);
  void kill(Generation generation);
  bool went_to_background(const Exited& event);
  void forget_unfound();
  void watch_dog(Generation generation, Side& side);
  void owner_lost(const std::string& how);
  void start_failed(const std::string& why);
  [[nodiscard]] base::Duration drain_limit() const;

  // Upgrades (program_upgrade.cc)
  void begin(Attempt attempt);
  void start_successor();
  void successor_ready();
  void review_probation();
  void commit();
  void predecessor_left(const Instance& gone, const Side& side);
  void go_back(const std::string& why, RequestId undo_request);
  void end_unsuccessful(const std::string& why);
  void exited_in_attempt(const Instance& gone, const Side& side, const std::string& how);
  [[nodiscard]] bool side_by_side() const;
  [[nodiscard]] control::AttemptOptions checks() const;
  void check_health(Generation generation);

  // Going on after another keeper, and leaving (program_succession.cc)
  void fill_in(Attempt& attempt) const;
  [[nodiscard]] std::string what_leaving_costs(const EjectRequested& event) const;

  void stop_now(const std::string& why) override;
  void drive_stop();

  control::Contract contract_;
  bool found_ = false;  // the contract, by what the program did; else it was named
  control::Ready ready_;
  int stop_signal_;
  std::map<Generation, Side> sides_;
  bool health_running_ = false;
  MonotonicTime stopped_at_{};  // restart: when the predecessor was told to end
};

}  // namespace segue::keeper
