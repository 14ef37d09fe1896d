// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "keeper/component_snapshot.h"
#include "keeper/events.h"
#include "keeper/types.h"

namespace segue::keeper {

// Decides everything that a keeper does about its component, and does nothing itself: given an
// event, what the ownership page holds, and the time, it returns the commands to carry out, in
// order. What all contracts have in common; the rest is in Component for programs that link
// libsegue, and in ProgramComponent for all others.
class Decider {
 public:
  struct Settings {
    std::string name;
    std::string output_prefix;  // of the files with the instances' output, for people
    control::RunOptions run;
    control::ContractOptions contract;
    control::AttemptOptions health;  // only its checks: of every start and every upgrade
    Generation last_generation = 0;  // of an earlier keeper: the numbers go on from there
  };

  static constexpr std::size_t kMaxPrevious = 10;
  static constexpr base::Duration kFirstBackoff = std::chrono::milliseconds(100);
  static constexpr base::Duration kMaxBackoff = std::chrono::seconds(10);
  static constexpr base::Duration kPingInterval = std::chrono::seconds(1);
  static constexpr base::Duration kGoneLimit = std::chrono::seconds(15);  // then it is answered

  explicit Decider(Settings settings)
      : settings_(std::move(settings)), last_generation_(settings_.last_generation) {}
  virtual ~Decider() = default;
  Decider(const Decider&) = delete;
  Decider& operator=(const Decider&) = delete;

  Commands handle(const Event& event, const Ownership& page, MonotonicTime now);
  // When TimePassed is due; nothing is lost if it comes late.
  [[nodiscard]] virtual MonotonicTime next_deadline() const = 0;

  // ---- For the keeper's next program, or the next keeper (component_snapshot.cc)
  [[nodiscard]] virtual ComponentSnapshot snapshot() const;
  // Instead of a first event: goes on as the snapshot's component. One that links libsegue serves
  // and has no attempt by then; any other goes on in the phase where it was.
  virtual void resume(ComponentSnapshot snapshot, MonotonicTime now);
  // Why the keeper cannot be replaced or leave now; empty: it can. Otherwise somebody waits.
  [[nodiscard]] virtual std::string why_not_at_rest() const;

  // ---- What is known, for status and tests
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] MonotonicTime phase_since() const { return phase_since_; }
  [[nodiscard]] Generation owner() const { return owner_; }
  [[nodiscard]] const std::map<Generation, Instance>& instances() const { return instances_; }
  [[nodiscard]] const Instance* find(Generation generation) const;
  [[nodiscard]] const std::optional<Attempt>& attempt() const { return attempt_; }
  [[nodiscard]] const std::optional<Attempt>& undone() const { return undone_; }
  [[nodiscard]] const std::deque<Previous>& previous() const { return previous_; }
  [[nodiscard]] RequestId run_request() const { return run_request_; }
  [[nodiscard]] std::uint32_t restarts_in_row() const { return restarts_in_row_; }

 protected:
  using Request = std::variant<UpgradeRequested, UndoRequested>;
  struct Closing {  // a committed attempt whose predecessor has not gone yet
    Attempt attempt;
    MonotonicTime answer_at;
    bool answered = false;
  };

  virtual void dispatch(const Event& event) = 0;
  // The component ends; whoever waits is answered.
  virtual void stop_now(const std::string& why) = 0;
  void abandon_requests(const std::string& why);
  void leave();  // nothing runs any more

  // Requests
  void refuse(RequestId request, const std::string& what, const std::string& why);
  void enqueue_or_refuse(const Request& request, bool may_wait);
  void start_queued();
  // Of a component that serves; nullopt: there is nothing to go back to, and that is answered.
  std::optional<Attempt> undo_attempt(const UndoRequested& event);
  static bool has_health_checks(const control::AttemptOptions& options) {
    return !options.health_cmd.empty() || !options.health_tcp.empty();
  }
  [[nodiscard]] std::string busy_text() const;

  // Instances
  Generation spawn(const control::Launch& launch);
  Instance* find_mutable(Generation generation);
  void restart_later(const std::string& why);
  void give_up(const std::string& why);
  [[nodiscard]] std::string output_hint(Generation generation) const;

  // Ends of attempts
  void conclude(Attempt attempt, Outcome outcome, const std::string& why);
  void predecessor_gone(Generation generation);
  void answer_closing();
  void answer(Closing& closing);

  void set_phase(Phase phase);
  void set_deadline(base::Duration from_now) { deadline_ = now_ + from_now; }
  void step(std::string name, Step::Fields fields = {}, bool decisive = false);
  void step_attempt(std::string name, const Attempt& attempt, Step::Fields fields = {});
  void fault_point(std::string point) { commands_.emplace_back(FaultPoint{std::move(point)}); }
  void finish(RequestId request, control::ExitCode exit, std::string text,
              std::optional<Attempt> attempt = std::nullopt);
  template <class T>
  void command(T command) {
    commands_.emplace_back(std::move(command));
  }
  [[nodiscard]] bool in_attempt() const { return attempt_.has_value(); }
  [[nodiscard]] std::string label_of(Generation generation) const;

  Settings settings_;
  Phase phase_ = Phase::idle;
  MonotonicTime phase_since_{};
  std::optional<MonotonicTime> deadline_;  // of the phase
  std::map<Generation, Instance> instances_;
  Generation last_generation_;
  AttemptId last_attempt_ = 0;
  Generation owner_ = 0;
  Generation starting_ = 0;       // who is to be the first owner, the last one that was started
  control::Launch owner_launch_;  // to be restarted after a crash
  std::deque<Previous> previous_;

  std::optional<Attempt> attempt_;
  std::optional<Attempt> undone_;  // what attempt_ undoes in its probation
  std::deque<Closing> closing_;
  std::optional<Request> queued_;
  RequestId run_request_ = 0;
  std::vector<RequestId> stop_requests_;
  std::uint32_t restarts_in_row_ = 0;
  bool active_long_enough_ = false;  // for restarts_in_row_ to begin again
  MonotonicTime next_ping_{};
  control::ExitCode leave_with_ = control::ExitCode::done;

  // While handle() runs.
  MonotonicTime now_{};
  Ownership page_;
  Commands commands_;
};

}  // namespace segue::keeper
