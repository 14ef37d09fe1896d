// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "keeper/decider.h"

namespace segue::keeper {

// Decides for a component whose program links libsegue. The ownership page and the deaths of
// processes are facts; what instances say is not, so whatever does not fit the phase is ignored,
// and every wait has a deadline.
class Component final : public Decider {
 public:
  // Bounds. Beyond the first of each the operator may go on asking; nothing is dropped silently.
  static constexpr base::Duration kMinPingInterval = std::chrono::milliseconds(10);
  static constexpr base::Duration kHungAfter = std::chrono::seconds(5);
  static constexpr base::Duration kAnswersWithin = std::chrono::seconds(3);
  static constexpr base::Duration kHealthyAfter = std::chrono::seconds(60);
  static constexpr base::Duration kAbortLimit = std::chrono::seconds(3);
  static constexpr base::Duration kCommitLimit = std::chrono::seconds(5);
  static constexpr base::Duration kRecoverMargin = std::chrono::seconds(3);
  static constexpr base::Duration kRetryDelay = std::chrono::milliseconds(500);
  static constexpr base::Duration kHealthInterval = std::chrono::milliseconds(500);
  static constexpr std::uint32_t kHealthFailuresAllowed = 1;              // in a row
  static constexpr base::Duration kVoteLimit = std::chrono::seconds(60);  // after the probation
  static constexpr std::uint32_t kDefaultHangMs = 3'000;  // the library's own default
  static constexpr std::uint32_t kUndoRetries = 2;

  explicit Component(Settings settings) : Decider(std::move(settings)) {}

  [[nodiscard]] MonotonicTime next_deadline() const override;
  [[nodiscard]] ComponentSnapshot snapshot() const override;
  void resume(ComponentSnapshot snapshot, MonotonicTime now) override;
  [[nodiscard]] std::string why_not_at_rest() const override;

 private:
  enum class WhyEnd { may_pass, final, refused };

  void dispatch(const Event& event) override {
    std::visit([this](const auto& typed) { on(typed); }, event);
  }

  static std::optional<MonotonicTime> next_end_step(const Instance& instance,
                                                    const control::RunOptions& run);
  static control::AttemptOptions automatic_undo_options();

  // Events
  void on(const RunRequested& event);
  void on(const UpgradeRequested& event);
  void on(const UndoRequested& event);
  void on(const StopRequested& event);
  void on(const EjectRequested& event);
  void on(const SpawnFailed& event);
  void on(const Spawned& event);
  void on(const HelloReceived& event);
  void on(const ProgressReceived& event);
  void on(const EventReceived& event);
  void on(const PongReceived& event);
  void on(const ChannelClosed& event);
  void on(const Exited& event);
  void on(const FenceAsked& event);
  void on(const HealthChecked& event);
  void on(const ProgramTold& /*event*/) {}  // of another contract
  void on(const TimePassed& event);
  void on(const FaultInjected& event);

  // Requests (component.cc)
  [[nodiscard]] std::optional<MonotonicTime> request_timeout() const;
  void phase_deadline_passed();

  // Instances: starting, crashing, ending (component_instances.cc)
  void first_owner_activated(Instance& instance);
  void first_instance_failed(const std::string& why);
  void owner_lost(const std::string& how);
  void end_instance(Generation generation, EndPolicy policy, std::uint32_t reason, bool tell);
  void kill_instance(Generation generation);
  void drive_ending(Instance& instance);
  void stop_now(const std::string& why) override;
  void drive_stop();
  void ping_instances();
  [[nodiscard]] base::Duration ping_interval() const;

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
  void said_released(const EventReceived& event);
  void enter_probation(std::uint64_t blackout_ns);
  void review_probation();
  void commit();
  void commit_deadline_passed();
  void committed();
  void hand_back(const std::string& why, RequestId undo_request,
                 const control::AttemptOptions& options);
  void hand_back_failed();
  void reclaimed(Generation generation, const std::string& how);
  [[nodiscard]] bool has_candidate() const;
  void enter_recovering(const std::string& how);
  void nobody_recovered(const std::string& why);

  std::string service_;          // as the first instance named it
  RequestId eject_request_ = 0;  // the owner was told to go on alone; the answer is awaited
};

}  // namespace segue::keeper
