// SPDX-License-Identifier: Apache-2.0
// A store, and hosts that carry out what is stored for them, in virtual time: for tests.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rollout/engine.h"

namespace segue::rollout {

inline constexpr fleet::Revision kOld = 4;
inline constexpr fleet::Revision kNew = 5;

inline fleet::Strategy quick(fleet::StrategyKind kind = fleet::StrategyKind::rolling) {
  fleet::Strategy strategy = fleet::careful(kind);
  strategy.limits.bake = std::chrono::seconds(5);
  for (auto& step : strategy.canary.steps) step.limits.bake = std::chrono::seconds(5);
  strategy.late_watch = std::chrono::seconds(20);
  strategy.undo_window = std::chrono::seconds(30);
  return strategy;
}

// Whose connections the canary slot serves never end by themselves.
class TestFleet {
 public:
  using Key = std::pair<std::string, fleet::Slot>;
  // What an order comes to, if not `done`.
  using Behaviour =
      std::function<fleet::OrderResult(const Key& instance, const fleet::Assignment& assignment)>;

  explicit TestFleet(int host_count, fleet::Strategy strategy = quick())
      : strategy_(std::move(strategy)) {
    now_.real = base::RealTime(std::chrono::hours(500'000));
    now_.monotonic = base::MonotonicTime(std::chrono::hours(1));
    for (int i = 0; i < host_count; ++i) add_host(fmt::format("h{:03}", i));
  }

  void add_host(const std::string& host) {
    HostFacts facts{.host = host, .site = "berlin", .to = kNew, .back = kOld};
    facts.stable = {.revision = kOld, .order = "r0.0.1"};
    facts_[host] = facts;
    assignments_[{host, fleet::Slot::stable}] = facts.stable;
    seen_[{host, fleet::Slot::stable}] = {.revision = kOld,
                                          .order = "r0.0.1",
                                          .result = fleet::OrderResult::done,
                                          .health = fleet::Health::good,
                                          .connections = 100};
  }

  void begin(const std::string& behind = "") {
    auto engine = Engine::propose({.id = "r1",
                                   .component = "chat",
                                   .author = "ada",
                                   .title = "chat 5",
                                   .target = kNew,
                                   .checks_health = true,
                                   .strategy = strategy_,
                                   .behind = behind},
                                  now_);
    ASSERT_TRUE(engine) << engine.error().to_string();
    engine_.emplace(std::move(*engine));
    if (!behind.empty()) {
      store(engine_->announce());
      return;
    }
    auto changes = engine_->begin(kOld, facts(), now_);
    ASSERT_TRUE(changes) << changes.error().to_string();
    store(std::move(*changes));
    tell_everything();
  }

  // A new process, made from what is stored.
  void restart() {
    auto head = read_rollout(head_);
    ASSERT_TRUE(head) << head.error().to_string();
    std::vector<InstanceRecord> records;
    for (const auto& [key, document] : records_) {
      auto record = read_record(document);
      ASSERT_TRUE(record) << record.error().to_string();
      records.push_back(std::move(*record));
    }
    engine_.emplace(std::move(*head), std::move(records));
    now_.monotonic = base::MonotonicTime(std::chrono::hours(2 + restarts_++));
    if (engine_->head().phase == Phase::preparing) {
      auto changes = engine_->begin(kOld, facts(), now_);
      ASSERT_TRUE(changes) << changes.error().to_string();
      store(std::move(*changes));
    } else {
      store(engine_->resume(facts(), now_));
    }
    tell_everything();
  }

  base::Result<void> give(const Event& event) {
    auto changes = engine_->handle(event, now_);
    if (!changes) return base::fail(std::move(changes).error());
    store(std::move(*changes));
    return {};
  }
  void tell(const Event& event) {
    const auto given = give(event);
    EXPECT_TRUE(given) << given.error().to_string();
  }

  void silence(const std::string& host, bool silent) {
    facts_[host].silent = silent;
    tell(HostSilent{host, silent});
    if (silent) return;
    for (const auto& [key, seen] : seen_) {
      if (key.first == host) tell(Observed{key.first, key.second, seen});
    }
    work();
  }

  // What hosts do about what is stored, and say.
  void work() {
    for (int i = 0; i < 10'000; ++i) {
      if (!work_once()) return;
    }
    FAIL() << "the hosts never have nothing to do";
  }

  void pass(base::Duration time) {
    now_.real += time;
    now_.monotonic += time;
    tell(TimePassed{});
    work();
  }

  // Until `condition`, or for ever so long.
  bool run_until(const std::function<bool()>& condition) {
    for (int i = 0; i < 10'000 && !testing::Test::HasFailure(); ++i) {
      work();
      if (condition()) return true;
      if (answers_gates_) {
        for (const auto& wanted : engine_->gates_wanted()) {
          tell(Judged{wanted.step, wanted.gate, verdict_, "as told"});
        }
        work();
        if (condition()) return true;
      }
      const auto wakeup = engine_->next_wakeup();
      if (!wakeup) return condition();
      pass(*wakeup > now_.monotonic ? *wakeup - now_.monotonic : base::Duration(0));
    }
    return condition();
  }
  bool run_until(Phase phase) {
    return run_until([&] { return head().phase == phase; });
  }
  bool run_until_step(const std::string& name, StepPhase phase) {
    return run_until([&] {
      return head().phase == Phase::running && head().steps[head().step].name == name &&
             head().step_phase == phase;
    });
  }

  [[nodiscard]] const Rollout& head() const { return engine_->head(); }
  [[nodiscard]] Engine& engine() { return *engine_; }
  [[nodiscard]] fleet::Revision serves(const std::string& host,
                                       fleet::Slot slot = fleet::Slot::stable) const {
    const auto found = seen_.find({host, slot});
    return found == seen_.end() ? fleet::kNoRevision : found->second.revision;
  }
  [[nodiscard]] const fleet::Assignment& assigned(const std::string& host,
                                                  fleet::Slot slot = fleet::Slot::stable) {
    return assignments_[{host, slot}];
  }
  [[nodiscard]] std::size_t serving(fleet::Revision revision,
                                    fleet::Slot slot = fleet::Slot::stable) const {
    std::size_t count = 0;
    for (const auto& [key, seen] : seen_) {
      if (key.second == slot && seen.revision == revision) ++count;
    }
    return count;
  }
  [[nodiscard]] std::vector<HostFacts> facts() {
    std::vector<HostFacts> list;
    for (auto& [host, facts] : facts_) {
      facts.stable = assignments_[{host, fleet::Slot::stable}];
      const auto canary = assignments_.find({host, fleet::Slot::canary});
      if (canary != assignments_.end()) facts.canary = canary->second;
      list.push_back(facts);
    }
    return list;
  }
  // What facts_ say of the host's canary slot is what it is to be.
  void keep_canary(const std::string& host) {
    assignments_[{host, fleet::Slot::canary}] = facts_[host].canary.value();
  }
  fleet::Observation& seen(const std::string& host, fleet::Slot slot = fleet::Slot::stable) {
    return seen_[{host, slot}];
  }
  void report(const std::string& host, fleet::Slot slot = fleet::Slot::stable) {
    tell(Observed{host, slot, seen_[{host, slot}]});
  }

  Behaviour behaviour_;
  bool answers_gates_ = true;
  Verdict verdict_ = Verdict::good;
  std::optional<std::size_t> kill_at_;  // the process ends when so many batches are stored
  std::size_t stored_ = 0;
  std::size_t most_under_way_ = 0;
  std::vector<Notice> notices_;
  std::map<std::string, HostFacts> facts_;
  Now now_;

 private:
  void tell_everything() {
    for (const auto& [key, seen] : seen_) {
      if (!facts_[key.first].silent) tell(Observed{key.first, key.second, seen});
    }
  }

  void store(Changes changes) {
    std::move(changes.notices.begin(), changes.notices.end(), std::back_inserter(notices_));
    for (auto& batch : changes.batches) {
      ASSERT_LE(batch.instances.size(), Batch::kMaxInstances);
      if (batch.head) {
        head_ = write_rollout(*batch.head);
        ASSERT_LE(head_.size(), kMaxRolloutBytes);
        const auto again = read_rollout(head_);
        ASSERT_TRUE(again) << again.error().to_string();
        ASSERT_EQ(*again, *batch.head);
      }
      for (const auto& [record, assigns] : batch.instances) store_instance(record, assigns);
      if (testing::Test::HasFatalFailure()) return;
      if (kill_at_ && ++stored_ == *kill_at_) {
        restart();
        return;
      }
    }
  }

  void store_instance(const InstanceRecord& record, bool assigns) {
    const Key key{record.host, record.slot};
    records_[key] = write_record(record);
    const auto again = read_record(records_[key]);
    ASSERT_TRUE(again) << again.error().to_string();
    ASSERT_EQ(*again, record);
    if (!assigns) return;
    const fleet::Assignment& now = record.assignment;
    const bool may_be_none = record.slot == fleet::Slot::canary;
    ASSERT_TRUE(now.revision == kOld || now.revision == kNew ||
                (now.revision == fleet::kNoRevision && may_be_none))
        << now.revision;
    if (assignments_[key].order != now.order) {
      ASSERT_TRUE(orders_.insert({key, now.order}).second) << now.order << " was given twice";
    }
    assignments_[key] = now;
    std::size_t under_way = 0;
    for (const auto& [instance, assignment] : assignments_) {
      if (instance.second == fleet::Slot::stable && seen_[instance].order != assignment.order &&
          seen_[instance].revision != assignment.revision && !facts_[instance.first].silent) {
        ++under_way;
      }
    }
    most_under_way_ = std::max(most_under_way_, under_way);
  }

  bool work_once() {
    for (const auto& [key, assignment] : assignments_) {
      if (facts_[key.first].silent) continue;
      fleet::Observation& seen = seen_[key];
      seen.staged = assignment.stage;
      if (seen.order == assignment.order) continue;
      const auto result = behaviour_ ? behaviour_(key, assignment) : fleet::OrderResult::done;
      if (result == fleet::OrderResult::none) continue;
      seen.order = assignment.order;
      seen.result = result;
      seen.text = std::string(to_string(result));
      if (result == fleet::OrderResult::done) {
        seen.revision = assignment.revision;
        seen.health =
            bad_revisions_.contains(seen.revision) ? fleet::Health::bad : fleet::Health::good;
        if (key.second == fleet::Slot::canary && assignment.share_ppm > 0) seen.connections = 7;
      }
      tell(Observed{key.first, key.second, seen});
      return true;
    }
    return false;
  }

 public:
  std::set<fleet::Revision> bad_revisions_;

 private:
  fleet::Strategy strategy_;
  std::optional<Engine> engine_;
  int restarts_ = 0;
  // What is stored.
  std::string head_;
  std::map<Key, std::string> records_;
  std::map<Key, fleet::Assignment> assignments_;
  std::set<std::pair<Key, std::string>> orders_;
  // The hosts.
  std::map<Key, fleet::Observation> seen_;
};

}  // namespace segue::rollout
