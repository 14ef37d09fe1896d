// SPDX-License-Identifier: Apache-2.0
// What a simulation asks of the memory's store: that faults do what they say, and that a seed says
// everything. And elections, with a clock that jumps from one call to the next.
#include "store/memory_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "store/election.h"
#include "store/test_scheduler.h"

namespace segue::store {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;
using Effect = MemoryFault::Effect;
using Kind = CommitFailure::Kind;

class MemoryFaultTest : public testing::Test {
 protected:
  std::optional<CommitResult> commit(const Transaction& transaction) {
    std::optional<CommitResult> answer;
    store_.commit(transaction, [&](const CommitResult& result) { answer = result; });
    EXPECT_TRUE(scheduler_.run_until([&] { return answer.has_value(); }));
    return answer;
  }
  [[nodiscard]] bool has(const std::string& key) const {
    return database_->get(key).entry.has_value();
  }

  TestScheduler scheduler_;
  std::shared_ptr<MemoryDatabase> database_ = std::make_shared<MemoryDatabase>(scheduler_);
  MemoryFault fault_;
  MemoryStore store_{database_, scheduler_, [this](MemoryRequest) { return fault_; }};
};

TEST_F(MemoryFaultTest, a_delay_puts_off_the_effect_and_the_answer) {
  fault_ = {.effect = Effect::none, .takes_effect = 2s, .answered = 5s};
  std::optional<CommitResult> answer;
  store_.commit(Transaction().put("a", "1"), [&](const CommitResult& result) { answer = result; });
  scheduler_.run_for(1s);
  EXPECT_FALSE(has("a"));
  scheduler_.run_for(2s);
  EXPECT_TRUE(has("a"));
  EXPECT_FALSE(answer);
  scheduler_.run_for(2s);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->has_value());
}

TEST_F(MemoryFaultTest, an_injected_conflict_names_a_compare_and_changes_nothing) {
  fault_.effect = Effect::conflict;
  const auto answer = commit(Transaction().expect_absent("b").put("a", "1"));
  ASSERT_FALSE(*answer);
  EXPECT_EQ(answer->error().kind, Kind::conflict);
  EXPECT_EQ(answer->error().key, "b");
  EXPECT_FALSE(has("a"));
  const auto blind = commit(Transaction().put("a", "1"));
  EXPECT_EQ(blind->error().kind, Kind::not_committed);
}

TEST_F(MemoryFaultTest, what_was_not_committed_never_will_be) {
  fault_ = {.effect = Effect::not_committed, .takes_effect = 0s, .answered = 1s};
  const auto answer = commit(Transaction().put("a", "1"));
  EXPECT_EQ(answer->error().kind, Kind::not_committed);
  EXPECT_EQ(answer->error().error.code(), ErrorCode::unavailable);
  scheduler_.run_for(1h);
  EXPECT_FALSE(has("a"));
}

TEST_F(MemoryFaultTest, an_unknown_outcome_may_come_true_after_its_answer) {
  fault_ = {.effect = Effect::unknown_done, .takes_effect = 9s, .answered = 1s};
  const auto late = commit(Transaction().put("late", "1"));
  EXPECT_EQ(late->error().kind, Kind::unknown);
  EXPECT_FALSE(has("late"));
  scheduler_.run_for(10s);
  EXPECT_TRUE(has("late"));
  fault_ = {.effect = Effect::unknown_lost, .takes_effect = 0s, .answered = 1s};
  const auto lost = commit(Transaction().put("lost", "1"));
  EXPECT_EQ(lost->error().kind, Kind::unknown);
  scheduler_.run_for(10s);
  EXPECT_FALSE(has("lost"));
}

TEST_F(MemoryFaultTest, reads_and_leases_fail_as_unavailable) {
  fault_.effect = Effect::not_committed;
  std::optional<base::Result<Reading>> reading;
  store_.get("a", [&](const auto& result) { reading = result; });
  std::optional<base::Result<LeaseId>> lease;
  store_.grant_lease(10s, [&](const auto& result) { lease = result; });
  ASSERT_TRUE(scheduler_.run_until([&] { return reading && lease; }));
  EXPECT_EQ(reading->error().code(), ErrorCode::unavailable);
  EXPECT_EQ(lease->error().code(), ErrorCode::unavailable);
}

TEST_F(MemoryFaultTest, a_server_that_crashes_leaves_what_had_taken_effect) {
  auto server = std::make_unique<MemoryStore>(database_, scheduler_, [](MemoryRequest) {
    return MemoryFault{.effect = Effect::none, .takes_effect = 1s, .answered = 3s};
  });
  bool is_called = false;
  const auto call = [&](const CommitResult&) { is_called = true; };
  server->commit(Transaction().put("early", "1"), call);
  scheduler_.run_for(500ms);
  server->commit(Transaction().put("late", "1"), call);
  scheduler_.run_for(700ms);
  server.reset();
  scheduler_.run_for(1h);
  EXPECT_TRUE(has("early"));
  EXPECT_FALSE(has("late"));
  EXPECT_FALSE(is_called);
}

TEST_F(MemoryFaultTest, a_lease_ends_when_nobody_keeps_it_alive) {
  const LeaseId lease = database_->grant_lease(10s);
  ASSERT_TRUE(database_->commit(Transaction().put("a", "1", lease)));
  scheduler_.run_for(9s);
  EXPECT_TRUE(database_->keep_alive(lease));
  scheduler_.run_for(9s);
  EXPECT_TRUE(has("a"));
  scheduler_.run_for(2s);
  EXPECT_FALSE(has("a"));
  EXPECT_FALSE(database_->keep_alive(lease));
}

// Servers that campaign while their ways to the store fail as a seed draws it.
struct Fleet {
  struct Server {
    std::unique_ptr<MemoryStore> store;
    std::unique_ptr<Election> election;
    bool is_cut_off = false;
    std::optional<Compare> guard;
  };

  explicit Fleet(unsigned seed) : dice(seed) {
    for (std::size_t i = 0; i < servers.size(); ++i) {
      Server& server = servers.at(i);
      server.store = std::make_unique<MemoryStore>(
          database, scheduler, [this, &server](MemoryRequest) { return draw(server); });
      server.election = std::make_unique<Election>(
          *server.store, scheduler,
          Election::Settings{.key = "e", .candidate = fmt::format("s{}", i), .ttl = 10s},
          Election::Observer{.on_elected =
                                 [this, &server](const Compare& guard) {
                                   server.guard = guard;
                                   trace += fmt::format("{} leads with {}\n",
                                                        scheduler.now().time_since_epoch().count(),
                                                        guard.modified);
                                 },
                             .on_deposed = [&server](const std::string&) { server.guard.reset(); },
                             .on_leader = {}});
      server.election->campaign();
    }
  }

  MemoryFault draw(const Server& server) {
    MemoryFault fault;
    fault.takes_effect = std::chrono::milliseconds(dice() % 200);
    fault.answered = fault.takes_effect + std::chrono::milliseconds(dice() % 200);
    const auto drawn = dice() % 100;
    if (server.is_cut_off || (is_rough && drawn < 10))
      fault.effect = Effect::not_committed;
    else if (is_rough && drawn < 15)
      fault.effect = Effect::unknown_done;
    else if (is_rough && drawn < 20)
      fault.effect = Effect::unknown_lost;
    else if (is_rough && drawn < 25)
      fault.effect = Effect::conflict;
    return fault;
  }

  // Every server that believes that it leads writes; the tokens of what is written never go back.
  void write_all() {
    for (Server& server : servers) {
      if (!server.guard) continue;
      Transaction transaction = Transaction().put("log", std::to_string(server.guard->modified));
      transaction.guard = server.guard;
      server.store->commit(transaction, [](const CommitResult&) {});
    }
  }

  [[nodiscard]] int leaders() const {
    int count = 0;
    for (const Server& server : servers) count += server.guard ? 1 : 0;
    return count;
  }

  std::minstd_rand dice;
  bool is_rough = true;
  TestScheduler scheduler;
  std::shared_ptr<MemoryDatabase> database = std::make_shared<MemoryDatabase>(scheduler);
  std::array<Server, 3> servers;
  std::string trace;
};

class ElectionSimulation : public testing::TestWithParam<unsigned> {};

TEST_P(ElectionSimulation, a_deposed_leader_writes_nothing_and_somebody_leads_in_the_end) {
  Fleet fleet(GetParam());
  const auto watch = fleet.database->feed().watch("log", 2);
  Revision last_token = 0;
  std::function<void(tl::expected<Change, WatchEnd>)> take =
      [&](const tl::expected<Change, WatchEnd>& change) {
        ASSERT_TRUE(change);
        const Revision token = std::stoull(change->events.front().value);
        EXPECT_GE(token, last_token);
        last_token = token;
        watch->next(take);
      };
  watch->next(take);
  for (int minute = 0; minute < 60; ++minute) {
    for (auto& server : fleet.servers) server.is_cut_off = fleet.dice() % 3 == 0;
    for (int second = 0; second < 60; ++second) {
      fleet.scheduler.run_for(1s);
      fleet.write_all();
    }
  }
  fleet.is_rough = false;
  for (auto& server : fleet.servers) server.is_cut_off = false;
  fleet.scheduler.run_for(60s);
  EXPECT_EQ(fleet.leaders(), 1);
  EXPECT_GT(last_token, 0U);
}

TEST_P(ElectionSimulation, the_same_seed_runs_the_same) {
  const auto run = [](unsigned seed) {
    Fleet fleet(seed);
    for (int i = 0; i < 300; ++i) {
      fleet.servers.at(fleet.dice() % 3).is_cut_off = fleet.dice() % 2 == 0;
      fleet.scheduler.run_for(2s);
    }
    return fleet.trace;
  };
  const std::string once = run(GetParam());
  EXPECT_FALSE(once.empty());
  EXPECT_EQ(once, run(GetParam()));
}

INSTANTIATE_TEST_SUITE_P(Seeds, ElectionSimulation, testing::Range(0U, 20U));

TEST(Election, a_leader_that_is_cut_off_knows_before_the_next_is_elected) {
  Fleet fleet(7);
  fleet.is_rough = false;
  ASSERT_TRUE(fleet.scheduler.run_until([&] { return fleet.leaders() == 1; }));
  auto& old = *std::find_if(fleet.servers.begin(), fleet.servers.end(),
                            [](const auto& server) { return server.guard.has_value(); });
  old.is_cut_off = true;
  ASSERT_TRUE(fleet.scheduler.run_until([&] { return !old.guard.has_value(); }));
  EXPECT_EQ(fleet.leaders(), 0);
  ASSERT_TRUE(fleet.scheduler.run_until([&] { return fleet.leaders() == 1; }));
}

}  // namespace
}  // namespace segue::store
