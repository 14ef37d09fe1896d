// SPDX-License-Identifier: Apache-2.0
// Decides everything that a host does about the plans of one place, and does nothing itself: given
// an event and the time, it returns the commands to carry out, in order. `state` is to be kept
// before they are carried out; a decider made from the kept state goes on with resume().
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "plan/place_state.h"
#include "plan/schedule.h"

namespace segue::plan {

// ---- Events
struct PlansRead {
  std::vector<Plan> plans;  // all that there are; one that is missing is not cancelled by that
};
struct Staged {
  std::string plan;
  std::string version;
};
struct StagingFailed {
  std::string plan;
  std::string version;
  bool refused = false;  // by what is there: no such version so far, or no line to it
  std::string text;
};
struct StagingEstimated {
  std::string plan;
  seconds remaining{};
};
enum class StepResult {
  good,
  failed,
  old_serves,  // start_new: failed, and the old one was not touched
};
struct StepEnded {
  std::string plan;
  Step step = Step::stop_old;
  StepResult result = StepResult::good;
  std::string text;
};
struct ReportKept {
  std::string plan;
};
struct TimePassed {};
using Event = std::variant<PlansRead, Staged, StagingFailed, StagingEstimated, StepEnded,
                           ReportKept, TimePassed>;

// ---- Commands
struct Stage {
  std::string plan;
  std::string version;
};
struct EndStaging {};  // it goes on later where it was
// To be repeated after a kill: has to come to the same if it was done in part or as a whole.
struct RunStep {
  std::string plan;
  std::string version;
  Step step = Step::stop_old;
};
struct Alarm {
  std::string plan;
  std::string text;
};
struct KeepReport {
  std::string plan;
};
using Command = std::variant<Stage, EndStaging, RunStep, Alarm, KeepReport>;
using Commands = std::vector<Command>;

struct Now {
  base::RealTime real{};
  base::MonotonicTime monotonic{};  // since the host was started
};

class PlaceDecider {
 public:
  struct Settings {
    std::string component;
    std::string site;
    bool stops = false;       // there is a command that closes the old one before the switch
    bool starts = false;      // there is one that starts the new one, or hands over to it
    bool hands_over = false;  // `starts`: the old one serves until the new one does
    bool checks = false;      // there is a health check
    bool undoes = true;       // when starting or the health check fails
  };

  static constexpr std::size_t kMaxPlans = 200;
  // Whoever sets a clock may correct it at once: nothing goes live before it has run on for so
  // long.
  static constexpr base::Duration kClockSettles = std::chrono::seconds(30);
  // A host that has just been started may show any time until somebody has told it.
  static constexpr base::Duration kClockSettlesAfterBoot = std::chrono::minutes(2);
  static constexpr base::Duration kClockStep = std::chrono::seconds(2);
  static constexpr base::Duration kPoll = std::chrono::seconds(60);
  static constexpr base::Duration kFirstRetry = std::chrono::seconds(5);
  static constexpr base::Duration kMaxRetry = std::chrono::minutes(10);
  static constexpr int kSwitchBackTries = 3;

  // `zones` outlives it.
  PlaceDecider(Settings settings, const Zones& zones, PlaceState state = {})
      : settings_(std::move(settings)), zones_(&zones), state_(std::move(state)) {}

  // Instead of a first event.
  Commands resume(Now now);
  Commands handle(const Event& event, Now now);
  // By when TimePassed is due at the latest.
  [[nodiscard]] Now next_deadline(Now now) const;

  [[nodiscard]] const PlaceState& state() const { return state_; }
  // The plan whose steps are under way.
  [[nodiscard]] const Progress* active() const;

 private:
  struct Retry {
    std::uint32_t failures = 0;
    base::MonotonicTime at{};
  };

  void on(const PlansRead& event);
  void on(const Staged& event);
  void on(const StagingFailed& event);
  void on(const StagingEstimated& event);
  void on(const StepEnded& event);
  void on(const ReportKept& event);
  void on(const TimePassed& /*event*/) {}

  void observe_clock(Now now);
  [[nodiscard]] Instant instant() const;
  [[nodiscard]] bool clock_is_settled() const { return now_.monotonic >= settled_at_; }
  Progress* find(const std::string& plan);
  Progress* changeable_active();
  void accept(const Plan& plan);
  void forget_old(const std::vector<Plan>& present);
  void review();
  void review_missed(Progress& progress);
  void review_lateness(Progress& progress);
  [[nodiscard]] bool may_begin(Progress& progress);
  void begin(Progress& progress);
  void begin_step(Progress& progress, Step step);
  void step_was_good(Progress& progress);
  void step_failed(Progress& progress, const std::string& text, bool old_serves);
  void undo_from(Progress& progress, const std::string& text);
  void switched_back(Progress& progress);
  void finish(Progress& progress, Phase phase, std::string text);
  void start_staging();
  void end_staging();

  Settings settings_;
  const Zones* zones_;
  PlaceState state_;
  std::string staging_;  // the plan whose version is being staged
  std::map<std::string, Retry> retries_;
  std::map<std::string, seconds> estimates_;
  Now now_;
  bool clock_known_ = false;
  base::MonotonicTime settled_at_{};
  Commands commands_;
};

}  // namespace segue::plan
