// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "keeper/events.h"
#include "keeper/types.h"

namespace segue::keeper {

// Decides everything that a keeper does about its component, and does nothing itself: given an
// event, what the ownership page holds, and the time, it returns the commands to carry out, in
// order. The ownership page and the deaths of processes are facts; what instances say is not, so
// whatever does not fit the phase is ignored, and every wait has a deadline.
class Component {
 public:
  struct Settings {
    std::string name;
    std::string output_prefix;  // of the files with the instances' output, for people
    control::RunOptions run;
    Generation last_generation = 0;  // of an earlier keeper: the numbers go on from there
  };

  // Bounds. Beyond the first of each the operator may go on asking; nothing is dropped silently.
  static constexpr std::size_t kMaxPrevious = 10;
  static constexpr base::Duration kPingInterval = std::chrono::seconds(1);
  static constexpr base::Duration kMinPingInterval = std::chrono::milliseconds(10);
  static constexpr base::Duration kHungAfter = std::chrono::seconds(5);
  static constexpr base::Duration kAnswersWithin = std::chrono::seconds(3);
  static constexpr base::Duration kFirstBackoff = std::chrono::milliseconds(100);
  static constexpr base::Duration kMaxBackoff = std::chrono::seconds(10);
  static constexpr base::Duration kHealthyAfter = std::chrono::seconds(60);
  static constexpr base::Duration kAbortLimit = std::chrono::seconds(3);
  static constexpr base::Duration kCommitLimit = std::chrono::seconds(5);
  static constexpr base::Duration kRecoverMargin = std::chrono::seconds(3);
  static constexpr base::Duration kRetryDelay = std::chrono::milliseconds(500);
  static constexpr base::Duration kHealthInterval = std::chrono::milliseconds(500);
  static constexpr std::uint32_t kHealthFailuresAllowed = 1;              // in a row
  static constexpr base::Duration kVoteLimit = std::chrono::seconds(60);  // after the probation
  static constexpr base::Duration kGoneLimit = std::chrono::seconds(15);  // then it is answered
  static constexpr std::uint32_t kDefaultHangMs = 3'000;  // the library's own default
  static constexpr std::uint32_t kUndoRetries = 2;

  explicit Component(Settings settings)
      : settings_(std::move(settings)), last_generation_(settings_.last_generation) {}

  Commands handle(const Event& event, const Ownership& page, MonotonicTime now);
  // When TimePassed is due; nothing is lost if it comes late.
  [[nodiscard]] MonotonicTime next_deadline() const;

  // ---- What is known, for status and tests
  [[nodiscard]] const Settings& settings() const { return settings_; }
  [[nodiscard]] Phase phase() const { return phase_; }
  [[nodiscard]] MonotonicTime phase_since() const { return phase_since_; }
  [[nodiscard]] Generation owner() const { return owner_; }
  [[nodiscard]] const std::map<Generation, Instance>& instances() const { return instances_; }
  [[nodiscard]] const Instance* find(Generation generation) const;
  [[nodiscard]] const std::optional<Attempt>& attempt() const { return attempt_; }
  [[nodiscard]] const std::optional<Attempt>& undone() const { return undone_; }
  struct Previous {
    control::Launch launch;
    std::string version;
  };
  [[nodiscard]] const std::deque<Previous>& previous() const { return previous_; }
  [[nodiscard]] std::uint32_t restarts_in_row() const { return restarts_in_row_; }

 private:
  using Request = std::variant<UpgradeRequested, UndoRequested>;
  struct Closing {  // a committed attempt whose predecessor has not gone yet
    Attempt attempt;
    MonotonicTime answer_at;
    bool answered = false;
  };
  enum class WhyEnd { may_pass, final, refused };

  static std::optional<MonotonicTime> next_end_step(const Instance& instance,
                                                    const control::RunOptions& run);
  static control::AttemptOptions automatic_undo_options();

  // Events
  void on(const RunRequested& event);
  void on(const UpgradeRequested& event);
  void on(const UndoRequested& event);
  void on(const StopRequested& event);
  void on(const SpawnFailed& event);
  void on(const Spawned& event);
  void on(const HelloReceived& event);
  void on(const ProgressReceived& event);
  void on(const EventReceived& event);
  void on(const PongReceived& event);
  void on(const ChannelClosed& event);
  void on(const Exited& event);
  void on(const HealthChecked& event);
  void on(const TimePassed& event);
  void on(const FaultInjected& event);

  // Requests (component.cc)
  void refuse(RequestId request, const std::string& what, const std::string& why);
  void enqueue_or_refuse(const Request& request, bool may_wait);
  void start_queued();
  [[nodiscard]] std::string busy_text() const;
  [[nodiscard]] std::optional<MonotonicTime> request_timeout() const;
  void phase_deadline_passed();

  // Instances: starting, crashing, ending (component_instances.cc)
  Generation spawn(const control::Launch& launch);
  Instance* find_mutable(Generation generation);
  void first_owner_activated(Instance& instance);
  void first_instance_failed(const std::string& why);
  void owner_lost(const std::string& how);
  void restart_later(const std::string& why);
  void give_up(const std::string& why);
  void end_instance(Generation generation, EndPolicy policy, std::uint32_t reason, bool tell);
  void kill_instance(Generation generation);
  void drive_ending(Instance& instance);
  void stop_now(const std::string& why);
  void drive_stop();
  void ping_instances();
  [[nodiscard]] base::Duration ping_interval() const;
  [[nodiscard]] std::string output_hint(Generation generation) const;

  // Attempts until the activation (component_attempt.cc)
  void begin_attempt(Attempt attempt);
  void begin_try();
  void send_attempt(Instance& successor);
  [[nodiscard]] base::Duration phase_limit() const;
  void attempt_phase_changed();
  void said_frozen(const EventReceived& event);
  void said_failed(const EventReceived& event);
  void end_attempt_early(const std::string& why, WhyEnd kind);
  void tell_abort();
  void conclude_abort_if_over();
  void abort_deadline_passed();
  void attempt_failed();
  void conclude(Attempt attempt, Outcome outcome, const std::string& why);
  void exited_in_attempt(const Instance& gone, const std::string& how);
  void successor_exited(const Instance& gone, const std::string& how);
  void predecessor_exited(const std::string& how);
  [[nodiscard]] bool was_silent(const Instance& gone) const;

  // … and from the activation on (component_probation.cc)
  void said_activated(const EventReceived& event);
  void said_resumed(const EventReceived& event);
  void said_rehearsed(const EventReceived& event);
  void said_committed(const EventReceived& event);
  void said_vote(const EventReceived& event);
  void enter_probation(std::uint64_t blackout_ns);
  void review_probation();
  void commit();
  void commit_deadline_passed();
  void committed();
  void predecessor_gone(Generation generation);
  void answer_closing();
  void answer(Closing& closing);
  void hand_back(const std::string& why, RequestId undo_request,
                 const control::AttemptOptions& options);
  void hand_back_failed();
  void reclaimed(Generation generation);
  [[nodiscard]] bool has_candidate() const;
  void enter_recovering(const std::string& how);
  void nobody_recovered(const std::string& why);

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
  std::string service_;           // as the first instance named it
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
