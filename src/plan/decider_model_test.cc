// SPDX-License-Identifier: Apache-2.0
// Every way in which the steps can go, with a kill before or after any of them; and months of
// virtual time with clock steps, kills and versions that come late.
#include <gtest/gtest.h>

#include <random>
#include <set>

#include "plan/decider.h"
#include "plan/test_times.h"
#include "plans/system_zones.h"

namespace segue::plan {
namespace {

const plans::SystemZones kZones;

PlaceState kept(const PlaceState& state) {
  const auto read = read_place_state(write_place_state(state));
  EXPECT_TRUE(read) << read.error().to_string();
  EXPECT_EQ(read.value_or(PlaceState{}), state);
  return read.value_or(PlaceState{});
}

// Goes through all sequences of choices, one run each.
class Choices {
 public:
  std::size_t choose(std::size_t count) {
    if (depth_ == path_.size()) path_.push_back({0, count});
    return path_[depth_++].first;
  }
  bool next() {
    depth_ = 0;
    while (!path_.empty() && path_.back().first + 1 == path_.back().second) path_.pop_back();
    if (path_.empty()) return false;
    ++path_.back().first;
    return true;
  }

 private:
  std::vector<std::pair<std::size_t, std::size_t>> path_;
  std::size_t depth_ = 0;
};

// What stands on the host, as the steps change it.
struct World {
  std::string live = "1";
  std::string runs = "1";

  void apply(Step step) {
    switch (step) {
      case Step::stop_old:
      case Step::stop_new:
        runs = "";
        break;
      case Step::switch_over:
        live = "2";
        break;
      case Step::switch_back:
        live = "1";
        break;
      case Step::start_new:
      case Step::start_old:
        runs = live;
        break;
      case Step::check_new:
      case Step::check_old:
        break;
    }
  }
};

class GoLiveRun {
 public:
  GoLiveRun(PlaceDecider::Settings settings, Choices& choices)
      : settings_(std::move(settings)), choices_(choices), decider_(settings_, kZones) {}

  void run() {
    const Plan plan = plan_for("p", "2", utc("2026-12-01T01:00:00Z"));
    now_ = {utc("2026-12-01T01:00:00Z"), base::MonotonicTime(std::chrono::hours(1))};
    std::vector<Command> commands = decider_.handle(PlansRead{{plan}}, now_);
    commands = decider_.handle(Staged{"p", "2"}, now_);
    for (int i = 0; i < 30 && decider_.active() != nullptr; ++i) {
      const auto* step = step_in(commands);
      ASSERT_NE(step, nullptr);
      commands = carry_out(*step);
    }
    check_end();
  }

 private:
  static const RunStep* step_in(const std::vector<Command>& commands) {
    for (const auto& command : commands) {
      if (const auto* step = std::get_if<RunStep>(&command)) return step;
    }
    return nullptr;
  }

  std::vector<Command> carry_out(RunStep step) {
    enum Outcome { good, failed_undone, failed_done, killed_before, killed_after, old_serves };
    std::vector<Outcome> possible = {good, failed_undone};
    const bool is_check = step.step == Step::check_new || step.step == Step::check_old;
    if (!is_check) possible.push_back(failed_done);
    if (kills_ < 1) {
      possible.push_back(killed_before);
      if (!is_check) possible.push_back(killed_after);
    }
    if (settings_.hands_over && step.step == Step::start_new) possible.push_back(old_serves);
    const Outcome outcome = possible[choices_.choose(possible.size())];
    if (outcome == good || outcome == failed_done || outcome == killed_after) {
      world_.apply(step.step);
    }
    if (outcome == killed_before || outcome == killed_after) {
      ++kills_;
      decider_ = PlaceDecider(settings_, kZones, kept(decider_.state()));
      return decider_.resume(now_);
    }
    if (outcome != good && is_back(step.step)) way_back_failed_ = true;
    const auto result = outcome == good         ? StepResult::good
                        : outcome == old_serves ? StepResult::old_serves
                                                : StepResult::failed;
    return decider_.handle(StepEnded{step.plan, step.step, result, "?"}, now_);
  }
  static bool is_back(Step step) { return step >= Step::stop_new; }

  void check_end() const {
    const Progress& progress = decider_.state().plans.at("p");
    ASSERT_TRUE(is_final(progress.phase));
    ASSERT_TRUE(progress.report_due);
    switch (progress.phase) {
      case Phase::live:
        EXPECT_EQ(world_.live, "2");
        if (settings_.starts) {
          EXPECT_EQ(world_.runs, "2");
        }
        break;
      case Phase::undone:
        EXPECT_EQ(world_.live, "1");
        if (settings_.starts) {
          EXPECT_EQ(world_.runs, "1");
        }
        break;
      default:
        EXPECT_EQ(progress.phase, Phase::failed);
        EXPECT_TRUE(way_back_failed_ || !settings_.undoes);
        EXPECT_NE(progress.text, "");
    }
  }

  PlaceDecider::Settings settings_;
  Choices& choices_;
  PlaceDecider decider_;
  World world_;
  Now now_;
  int kills_ = 0;
  bool way_back_failed_ = false;
};

TEST(DeciderModel,
     whatever_fails_and_wherever_it_is_killed_it_is_live_undone_or_says_that_it_failed) {
  std::size_t runs = 0;
  for (const unsigned bits : {0U, 1U, 2U, 3U}) {
    for (const unsigned kind :
         {0U, 1U, 2U, 3U}) {  // only files, restarts, stops and starts, hands over
      const PlaceDecider::Settings settings{.component = "chat",
                                            .site = "berlin",
                                            .stops = kind == 2,
                                            .starts = kind != 0,
                                            .hands_over = kind == 3,
                                            .checks = (bits & 1U) != 0,
                                            .undoes = (bits & 2U) != 0};
      Choices choices;
      do {
        GoLiveRun(settings, choices).run();
        ASSERT_FALSE(testing::Test::HasFailure()) << "kind " << kind << " bits " << bits;
        ++runs;
      } while (choices.next());
    }
  }
  EXPECT_GT(runs, 1'000U);
}

// ---- Months of virtual time

class HostLife {
 public:
  explicit HostLife(std::uint64_t seed) : random_(seed) {
    now_ = {utc("2026-10-20T00:00:00Z"), base::MonotonicTime(std::chrono::hours(1))};
    for (int i = 0; i < 5; ++i) plans_.push_back(random_plan(i));
  }

  void live() {
    restart();
    for (int i = 0; i < 1'500 && !testing::Test::HasFailure(); ++i) happen();
    for (const auto& plan : plans_) published_.insert(plan.version);
    for (int i = 0; i < 400 && !testing::Test::HasFailure(); ++i) {
      pass(std::chrono::hours(6));
      give(PlansRead{plans_});
    }
    for (const auto& plan : plans_) {
      EXPECT_TRUE(is_final(decider_->state().plans.at(plan.id).phase)) << plan.id;
      EXPECT_EQ(reports_.count(plan.id), 1U);
    }
  }

 private:
  std::uint64_t below(std::uint64_t bound) { return random_() % bound; }

  Plan random_plan(int number) {
    Plan plan = plan_for("p" + std::to_string(number), std::to_string(number + 2),
                         std::chrono::floor<seconds>(now_.real) + seconds(below(30 * 86'400)));
    plan.created = std::chrono::floor<seconds>(now_.real);
    plan.missed = static_cast<MissedPolicy>(below(3));
    if (below(2) == 0) plan.windows = {window("Mon-Fri 01:00-05:00"), window("Sat 22:00-03:00")};
    if (below(3) == 0) {
      plan.freezes = {{"2026-10-25T01:00 local", "2026-11-02T02:30 local", "autumn"}};
    }
    plan.late_limit = seconds(below(2'000));
    return plan;
  }

  void restart() {
    decider_.emplace(
        PlaceDecider::Settings{
            .component = "chat", .site = "berlin", .stops = true, .starts = true, .checks = true},
        kZones, decider_ ? kept(decider_->state()) : PlaceState{});
    stepped_at_.reset();
    staging_.clear();
    running_.reset();
    take(decider_->resume(now_));
  }

  void give(const Event& event) { take(decider_->handle(event, now_)); }

  void pass(base::Duration time) {
    now_.real += time;
    now_.monotonic += time;
    give(TimePassed{});
    work();
  }

  void happen() {
    switch (below(12)) {
      case 0:
        give(PlansRead{plans_});
        break;
      case 1:
        published_.insert(plans_[below(plans_.size())].version);
        break;
      case 2: {  // the clock is set
        const auto by = seconds(below(2 * 86'400)) - std::chrono::days(1);
        now_.real += by;
        if (by > seconds(2) || by < -seconds(2)) stepped_at_ = now_.monotonic;
        give(TimePassed{});
        break;
      }
      case 3:  // killed, and down for a while
        now_.real += seconds(below(20'000));
        now_.monotonic += seconds(below(20'000));
        restart();
        break;
      case 4:
        if (below(10) == 0) {
          plans_[below(plans_.size())].cancelled =
              Cancellation{std::chrono::floor<seconds>(now_.real), "no"};
        }
        break;
      default: {
        const Now next = decider_->next_deadline(now_);
        const auto wait = std::min(next.real - now_.real, next.monotonic - now_.monotonic);
        pass(std::min<base::Duration>(wait, seconds(below(100'000))));
      }
    }
  }

  // What is under way ends, or fails.
  void work() {
    for (int i = 0; i < 40 && (running_ || !staging_.empty()); ++i) {
      if (running_) {
        const RunStep step = *std::exchange(running_, std::nullopt);
        const bool good = below(8) != 0;
        give(StepEnded{step.plan, step.step, good ? StepResult::good : StepResult::failed, ""});
        continue;
      }
      const std::string plan = std::exchange(staging_, "");
      const std::string version = decider_->state().plans.at(plan).plan.version;
      if (!published_.contains(version)) {
        give(StagingFailed{plan, version, true, "no such release"});
      } else if (below(4) == 0) {
        give(StagingFailed{plan, version, false, "line down"});
      } else {
        give(Staged{plan, version});
      }
    }
  }

  void take(const Commands& commands) {
    for (const auto& command : commands) {
      if (const auto* stage = std::get_if<Stage>(&command)) {
        EXPECT_EQ(staging_, "");
        staging_ = stage->plan;
      } else if (std::holds_alternative<EndStaging>(command)) {
        staging_.clear();
      } else if (const auto* step = std::get_if<RunStep>(&command)) {
        EXPECT_FALSE(running_);
        running_ = *step;
        if (begun_.insert(step->plan).second) check_begin(decider_->state().plans.at(step->plan));
      } else if (const auto* report = std::get_if<KeepReport>(&command)) {
        reports_.insert(report->plan);
        give(ReportKept{report->plan});
      }
    }
  }

  void check_begin(const Progress& progress) {
    const Instant now = std::chrono::floor<seconds>(now_.real);
    EXPECT_EQ(progress.step, Step::stop_old);
    EXPECT_TRUE(published_.contains(progress.plan.version));
    EXPECT_FALSE(progress.plan.cancelled);
    EXPECT_GE(now, progress.due);
    EXPECT_GE(progress.due, progress.planned);
    const bool late = now > progress.due + progress.plan.late_limit;
    EXPECT_TRUE(!late || progress.plan.missed == MissedPolicy::at_once);
    const auto hold = late ? freeze_at(progress.plan, "Europe/Berlin", kZones, now)
                           : hold_at(progress.plan, "Europe/Berlin", kZones, now);
    EXPECT_TRUE(hold && !*hold);
    if (stepped_at_) {
      EXPECT_GE(now_.monotonic, *stepped_at_ + PlaceDecider::kClockSettles);
    }
    EXPECT_TRUE(!newest_ || *newest_ < progress.planned) << "an older plan after a newer one";
    newest_ = progress.planned;
  }

  std::mt19937_64 random_;
  Now now_;
  std::vector<Plan> plans_;
  std::optional<PlaceDecider> decider_;
  std::set<std::string> published_;
  std::optional<base::MonotonicTime> stepped_at_;
  std::string staging_;
  std::optional<RunStep> running_;
  std::set<std::string> begun_;
  std::set<std::string> reports_;
  std::optional<Instant> newest_;
};

TEST(DeciderModel, months_with_clock_steps_and_kills_break_no_promise) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    HostLife(seed).live();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace segue::plan
