// SPDX-License-Identifier: Apache-2.0
// Killed after every batch that is stored; and whatever hosts, persons and gates do in any order.
// TestFleet checks at each write that no order is given twice and that no revision is foreign.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "rollout/test_fleet.h"

namespace segue::rollout {
namespace {

using fleet::OrderResult;
using fleet::Slot;
using fleet::StrategyKind;

struct Scenario {
  const char* name;
  StrategyKind kind;
  fleet::Split split;
  int hosts;
  bool fails;   // on one host, so that it is undone
  bool undone;  // by a person, when it is done
};

constexpr Scenario kScenarios[] = {
    {"rolling", StrategyKind::rolling, fleet::Split::kernel, 15, false, false},
    {"rolling, fails", StrategyKind::rolling, fleet::Split::kernel, 15, true, false},
    {"rolling, undone", StrategyKind::rolling, fleet::Split::kernel, 15, false, true},
    {"canary", StrategyKind::canary, fleet::Split::kernel, 6, false, false},
    {"canary, fails", StrategyKind::canary, fleet::Split::kernel, 6, true, false},
    {"canary, undone", StrategyKind::canary, fleet::Split::kernel, 6, false, true},
    {"proxy, undone", StrategyKind::canary, fleet::Split::proxy, 6, false, true},
    {"hosts", StrategyKind::canary, fleet::Split::hosts, 10, false, true},
    {"blue-green", StrategyKind::blue_green, fleet::Split::kernel, 6, false, true},
    {"all at once", StrategyKind::all_at_once, fleet::Split::kernel, 65, true, false}};

struct End {
  Phase phase = Phase::running;
  std::size_t stable_new = 0;
  std::size_t canary_new = 0;
  std::size_t canary_old = 0;
  std::uint32_t share_ppm = 0;
  std::size_t stored = 0;

  bool operator==(const End& other) const {
    return phase == other.phase && stable_new == other.stable_new &&
           canary_new == other.canary_new && canary_old == other.canary_old &&
           share_ppm == other.share_ppm;
  }
};

End run(const Scenario& scenario, std::size_t kill_at) {
  fleet::Strategy strategy = quick(scenario.kind);
  strategy.canary.split = scenario.split;
  strategy.limits.gates = {"latency"};
  TestFleet fleet(scenario.hosts, strategy);
  fleet.kill_at_ = kill_at;
  if (scenario.fails) {
    fleet.behaviour_ = [](const auto& key, const auto& assignment) {
      return key.first == "h004" && key.second == Slot::stable && assignment.revision == kNew
                 ? OrderResult::failed
                 : OrderResult::done;
    };
  }
  fleet.begin();
  fleet.run_until(scenario.fails ? Phase::undone : Phase::done);
  if (scenario.undone) {
    // Whoever asked and got no answer asks again.
    if (fleet.head().phase == Phase::done) fleet.tell(Undo{"bob", ""});
    if (fleet.head().phase == Phase::done) fleet.tell(Undo{"bob", ""});
    fleet.run_until(Phase::undone);
  }
  End end{fleet.head().phase,
          fleet.serving(kNew),
          fleet.serving(kNew, Slot::canary),
          fleet.serving(kOld, Slot::canary),
          fleet.assigned("h001", Slot::canary).share_ppm,
          fleet.stored_};
  return end;
}

TEST(EngineModel, killed_after_any_batch_it_comes_to_the_same_end) {
  for (const auto& scenario : kScenarios) {
    const End whole = run(scenario, std::size_t{1} << 40);
    ASSERT_EQ(whole.phase, scenario.fails || scenario.undone ? Phase::undone : Phase::done)
        << scenario.name;
    ASSERT_EQ(whole.stable_new,
              whole.phase == Phase::done ? static_cast<std::size_t>(scenario.hosts) : 0U);
    ASSERT_GT(whole.stored, 10U);
    for (std::size_t kill_at = 1; kill_at <= whole.stored; ++kill_at) {
      const End killed = run(scenario, kill_at);
      ASSERT_FALSE(testing::Test::HasFailure()) << scenario.name << " killed at " << kill_at;
      ASSERT_EQ(killed, whole) << scenario.name << " killed at " << kill_at;
    }
  }
}

// ---- Anything in any order

class Life {
 public:
  explicit Life(std::uint64_t seed) : random_(seed), fleet_(12 + below(20), strategy()) {}

  void live() {
    fleet_.behaviour_ = [this](const auto&, const auto&) {
      const auto dice = below(100);
      if (faults_ && dice < 10) return OrderResult::none;
      if (faults_ && dice < 15) return OrderResult::refused;
      if (faults_ && dice < 15 + fail_percent_) return OrderResult::undone;
      return OrderResult::done;
    };
    fleet_.answers_gates_ = false;
    fleet_.begin();
    for (int i = 0; i < 200 && !testing::Test::HasFailure(); ++i) happen();
    stop_faults();
    if (!is_final(fleet_.head().phase)) end();
    check();
  }

 private:
  int below(int bound) { return static_cast<int>(random_() % static_cast<unsigned>(bound)); }

  fleet::Strategy strategy() {
    fleet::Strategy strategy = quick(static_cast<StrategyKind>(below(4)));
    strategy.canary.split = strategy.kind == StrategyKind::canary
                                ? static_cast<fleet::Split>(below(3))
                                : static_cast<fleet::Split>(below(2));
    if (strategy.kind == StrategyKind::canary && strategy.canary.split != fleet::Split::hosts) {
      strategy.canary.baseline = static_cast<fleet::Baseline>(below(2));
    }
    strategy.limits.max_unavailable = fleet::hosts(static_cast<std::uint32_t>(1 + below(4)));
    for (auto& step : strategy.canary.steps) {
      step.limits.max_unavailable = strategy.limits.max_unavailable;
    }
    strategy.limits.max_failures = fleet::hosts(static_cast<std::uint32_t>(below(3)));
    strategy.limits.max_silent = fleet::hosts(static_cast<std::uint32_t>(below(2)));
    if (below(3) == 0) strategy.limits.gates = {"latency"};
    if (below(3) == 0) strategy.approvals = 2;
    strategy.on_bad = static_cast<fleet::OnBad>(below(2));
    strategy.order_limit = std::chrono::minutes(2);
    fail_percent_ = below(4) == 0 ? 5 : 0;
    return strategy;
  }

  std::string some_host() { return fmt::format("h{:03}", below(12)); }

  void happen() {
    switch (below(14)) {
      case 0:
        fleet_.silence(some_host(), true);
        return;
      case 1:
        fleet_.silence(some_host(), false);
        return;
      case 2: {
        const std::string host = some_host();
        const bool drained = below(2) == 0;
        fleet_.facts_[host].drained = drained;
        fleet_.tell(HostDrained{host, drained});
        return;
      }
      case 3:
        if (below(6) == 0) (void)fleet_.give(Pause{"bob", "?"});
        return;
      case 4:
        (void)fleet_.give(Resume{"bob"});
        return;
      case 5:
        (void)fleet_.give(Promote{"bob", below(4) == 0});
        return;
      case 6:
        (void)fleet_.give(Approve{below(2) == 0 ? "bob" : "eve"});
        return;
      case 7:
        if (below(20) == 0) (void)fleet_.give(Undo{"bob", "?"});
        return;
      case 8:
        fleet_.restart();
        return;
      case 9:
        tell_of_canary(some_host());
        return;
      case 10:
        fleet_.now_.real += std::chrono::hours(below(100) - 50);
        return;
      case 11:
        for (const auto& wanted : fleet_.engine().gates_wanted()) {
          fleet_.tell(Judged{wanted.step, wanted.gate,
                             below(30) == 0 ? Verdict::bad : static_cast<Verdict>(below(2)), "?"});
        }
        return;
      case 12:
        fleet_.tell(EmergencyStop{"eve", below(10) == 0});
        return;
      default:
        fleet_.pass(std::chrono::seconds(1 + below(20)));
    }
  }

  // As a proxy before it does, or does not yet, what it is to do.
  void tell_of_canary(const std::string& host) {
    const bool may_be_sent_to = below(2) == 0;
    fleet_.tell(Observed{host, Slot::canary, fleet_.seen(host, Slot::canary), may_be_sent_to});
  }

  void stop_faults() {
    faults_ = false;
    fleet_.answers_gates_ = true;
    fleet_.tell(EmergencyStop{"eve", false});
    for (auto& [host, facts] : fleet_.facts_) {
      facts.drained = false;
      fleet_.tell(HostDrained{host, false});
      if (facts.silent) fleet_.silence(host, false);
    }
  }

  void end() {
    for (int i = 0; i < 300 && !is_final(fleet_.head().phase); ++i) {
      ASSERT_FALSE(testing::Test::HasFailure());
      if (fleet_.head().paused) fleet_.tell(Resume{"bob"});
      (void)fleet_.give(Approve{"bob"});
      (void)fleet_.give(Approve{"eve"});
      fleet_.run_until([&] {
        return is_final(fleet_.head().phase) || fleet_.head().paused ||
               (fleet_.head().phase == Phase::running &&
                fleet_.head().step_phase == StepPhase::approving);
      });
    }
    ASSERT_TRUE(is_final(fleet_.head().phase))
        << to_string(fleet_.head().phase) << " "
        << write_progress(fleet_.engine().progress(fleet_.now_));
  }

  void check() {
    const Phase phase = fleet_.head().phase;
    ASSERT_TRUE(phase == Phase::done || phase == Phase::undone || phase == Phase::failed)
        << to_string(phase);
    fleet_.work();
    if (phase == Phase::undone) {
      EXPECT_EQ(fleet_.serving(kNew), 0U);
      EXPECT_EQ(fleet_.serving(kNew, Slot::canary), 0U);
    }
    for (const auto& facts : fleet_.facts()) {
      EXPECT_EQ(fleet_.assigned(facts.host, Slot::canary).share_ppm, 0U);
      EXPECT_NE(fleet_.serves(facts.host), fleet::kNoRevision);
    }
  }

  std::mt19937_64 random_;
  int fail_percent_ = 0;
  bool faults_ = true;
  TestFleet fleet_;
};

TEST(EngineModel, whatever_happens_it_ends_when_the_faults_stop) {
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    Life(seed).live();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace segue::rollout
