// SPDX-License-Identifier: Apache-2.0
// Services with one event loop per thread: their state moves whole while every loop changes it, and
// the barrier before a freeze has a deadline.
#include "handoff/loops.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "handoff/clock.h"
#include "handoff/inventory.h"
#include "handoff/link.h"
#include "handoff/sender.h"
#include "handoff/test_loops.h"

namespace segue::handoff::test {
namespace {

constexpr int kSeenMs = 2000;

class EventLoops : public testing::Test {
 protected:
  [[nodiscard]] LoopedOptions options(uint32_t loops) const {
    LoopedOptions o;
    o.directory = directory_.path();
    o.loops = loops;
    return o;
  }
  static std::vector<UniqueFd> connect_clients(LoopedService& service, int per_shard) {
    std::vector<UniqueFd> ends;
    for (uint32_t shard = 0; shard < LoopedService::kShards; ++shard) {
      for (int i = 0; i < per_shard; ++i) {
        ends.push_back(service.connect(shard, std::to_string(i)));
      }
    }
    return ends;
  }
  // Every client of `service` is answered by the thread of its loop.
  static void expect_answers(LoopedService& service, const std::vector<UniqueFd>& ends) {
    for (uint32_t shard = 0; shard < LoopedService::kShards; ++shard) {
      service.on_loop(shard, [](LoopedService::Shard& home) {
        for (const auto& [id, client] : home.clients) {
          EXPECT_EQ(send(segue_conn_fd(client.conn), "x", 1, MSG_NOSIGNAL), 1);
        }
      });
    }
    for (const UniqueFd& end : ends) {
      pollfd entry{end.get(), POLLIN, 0};
      ASSERT_EQ(poll(&entry, 1, kSeenMs), 1);
      char byte = 0;
      EXPECT_EQ(read(end.get(), &byte, 1), 1);
    }
  }
  // Waits until every loop has had another turn.
  static void expect_running(LoopedService& service) {
    for (const auto& thread : service.threads) {
      const uint64_t before = thread->turns();
      EXPECT_TRUE(eventually([&] { return thread->turns() > before + 1; }));
    }
  }

  TemporaryDirectory directory_;
};

// ---- Moving ------------------------------------------------------------------------------------

struct Numbers {
  uint32_t from;
  uint32_t to;
};

class Move : public EventLoops, public testing::WithParamInterface<Numbers> {};

TEST_P(Move, brings_over_what_every_loop_changes_meanwhile) {
  LoopedService first(options(GetParam().from));
  ASSERT_EQ(first.start(), SEGUE_OK) << first.error();
  const std::vector<UniqueFd> ends = connect_clients(first, 20);
  for (uint32_t shard = 0; shard < LoopedService::kShards; ++shard) {
    first.on_loop(shard, [&](LoopedService::Shard& home) {
      for (int i = 0; i < 3000; ++i) first.change_something(home);
    });
  }
  LoopedService second(options(GetParam().to));
  second.changing = false;
  ASSERT_EQ(second.start(), SEGUE_OK) << second.error();
  ASSERT_TRUE(run_looped({&first, &second}, [&] { return first.ended() && second.active(); }))
      << first.error() << " / " << second.error();
  EXPECT_EQ(first.end_reason, SEGUE_END_COMMITTED);
  first.join();  // their loops ended with it
  for (uint32_t shard = 0; shard < LoopedService::kShards; ++shard) {
    second.on_loop(shard, [&](LoopedService::Shard& home) {
      EXPECT_EQ(home.records, first.shards[shard].records) << shard;
      EXPECT_EQ(home.clients.size(), 20U);
    });
  }
  EXPECT_EQ(second.shared, first.shared);
  EXPECT_EQ(second.client_states(), first.client_states());
  expect_answers(second, ends);
}

INSTANTIATE_TEST_SUITE_P(EventLoops, Move,
                         testing::Values(Numbers{3, 3}, Numbers{4, 1}, Numbers{1, 4}, Numbers{0, 3},
                                         Numbers{3, 0}),
                         [](const auto& numbers) {
                           return std::to_string(numbers.param.from) + "_to_" +
                                  std::to_string(numbers.param.to);
                         });

TEST_F(EventLoops, chain_of_handoffs_with_tiny_slices_loses_nothing) {
  LoopedOptions o = options(3);
  o.slice_us = 20;
  auto current = std::make_unique<LoopedService>(o);
  ASSERT_EQ(current->start(), SEGUE_OK);
  const std::vector<UniqueFd> ends = connect_clients(*current, 3);
  for (int i = 0; i < 8; ++i) {
    o.loops = static_cast<uint32_t>(1 + i % 4);
    auto next = std::make_unique<LoopedService>(o);
    ASSERT_EQ(next->start(), SEGUE_OK);
    ASSERT_TRUE(
        run_looped({current.get(), next.get()}, [&] { return current->ended() && next->active(); }))
        << i << ": " << current->error() << " / " << next->error();
    current->join();
    next->changing = false;
    expect_running(*next);
    uint64_t before = 0;
    uint64_t after = 0;
    for (const auto& [key, count] : current->shared) before += count;
    {
      const std::lock_guard lock(next->shared_mutex);
      for (const auto& [key, count] : next->shared) after += count;
    }
    EXPECT_GE(after, before);
    expect_answers(*next, ends);
    next->changing = true;
    current = std::move(next);
  }
}

TEST_F(EventLoops, every_loop_goes_on_after_a_refusal) {
  LoopedService first(options(3));
  ASSERT_EQ(first.start(), SEGUE_OK);
  LoopedOptions failing = options(2);
  failing.fail_check = true;
  LoopedService second(failing);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run_looped({&first, &second}, [&] { return second.ended(); }));
  EXPECT_TRUE(first.active());
  expect_running(first);
  second.join();  // its loops never ran, and end
}

// A first change between the look at what has changed and taking it: thousands of rounds meet it.
TEST(RoundOfALoopsTable, is_encoded_only_while_the_loop_is_held) {
  constexpr int kRounds = 3'000;
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const UniqueFd peer(ends[0]);
  Link link{UniqueFd(ends[1])};
  Inventory inventory({1'000'000, 1'000'000});
  segue_loop* loop = nullptr;
  ASSERT_TRUE(inventory.loops.open("own", loop).ok());
  inventory.tables.push_back(std::make_unique<segue_table>());
  segue_table& table = *inventory.tables[0];
  table.inventory = &inventory;
  table.loop = loop->number;
  table.user = &inventory;
  table.ops.encode = [](void* user, const void*, size_t, segue_writer*) {
    EXPECT_TRUE(static_cast<Inventory*>(user)->loops.holds(1));
    return int{SEGUE_GONE};
  };
  inventory.share();
  inventory.track();
  inventory.loops.give_all_back();
  std::thread thread([&] {
    while (segue_loop_dispatch(loop) == SEGUE_OK) {
      if (table.dirty.size() == 0) segue_table_put(&table, "key", 3);
    }
  });
  Sender sender(inventory, link);
  char message[256];
  for (int round = 0; round < kRounds && !HasFailure(); ++round) {
    sender.begin_round();
    bool done = false;
    while (!done) {
      const LoopNumber wanted = sender.wanted_loop();
      if (wanted != kInstanceThread && !inventory.loops.borrow(wanted)) continue;
      const Status status = sender.advance(UINT64_MAX, done);
      EXPECT_TRUE(status.ok()) << status.text;
      done = done || !status.ok();
      inventory.loops.give_back(wanted);
    }
    while (recv(peer.get(), message, sizeof message, 0) > 0) continue;
  }
  inventory.loops.end_all();
  thread.join();
  EXPECT_GT(sender.records(), 0U);
}

// ---- The barrier -------------------------------------------------------------------------------

// Keeps a loop inside one request until it is let go.
class LongRequest {
 public:
  explicit LongRequest(LoopThread& thread) {
    thread.post([this] {
      begun_ = true;
      while (!let_go_) poll(nullptr, 0, 1);
    });
    EXPECT_TRUE(eventually([this] { return begun_.load(); }));
  }
  ~LongRequest() { let_go_ = true; }
  LongRequest(const LongRequest&) = delete;
  LongRequest& operator=(const LongRequest&) = delete;
  void let_go() { let_go_ = true; }

 private:
  std::atomic<bool> begun_ = false;
  std::atomic<bool> let_go_ = false;
};

TEST_F(EventLoops, loop_that_never_arrives_is_named_and_the_others_go_on) {
  LoopedOptions o = options(3);
  o.answer_ms = 200;
  o.budget_us = 20'000;
  o.bind = false;  // so that only the barrier needs the loops
  LoopedService first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  LoopedService second(options(3));
  LongRequest request(*first.threads[1]);
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run_looped({&first, &second}, [&] { return second.ended(); }));
  // On a busy host others may be late too.
  EXPECT_NE(first.error().find("worker-2"), std::string::npos) << first.error();
  EXPECT_NE(first.error().find("did not come to its request boundary"), std::string::npos)
      << first.error();
  EXPECT_NE(second.error().find("worker-2"), std::string::npos) << second.error();
  EXPECT_TRUE(first.active());
  EXPECT_EQ(first.freezes, 0);
  request.let_go();
  expect_running(first);
}

TEST_F(EventLoops, loop_that_never_arrives_is_named_in_the_background_too) {
  LoopedOptions o = options(3);
  o.answer_ms = 200;
  LoopedService first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  const std::vector<UniqueFd> ends = connect_clients(first, 1);
  LongRequest request(*first.threads[2]);
  LoopedService second(options(3));
  ASSERT_EQ(second.start(), SEGUE_OK);
  ASSERT_TRUE(run_looped({&first, &second}, [&] { return second.ended(); }));
  EXPECT_NE(first.error().find("loop worker-3 has not come to its request boundary for 200 ms"),
            std::string::npos)
      << first.error();
  EXPECT_TRUE(first.active());
  request.let_go();
  expect_running(first);
}

TEST_F(EventLoops, loop_that_arrives_late_costs_an_attempt_and_no_more) {
  LoopedOptions o = options(3);
  o.budget_us = 20'000;
  o.max_attempts = 50;
  o.bind = false;
  LoopedService first(o);
  ASSERT_EQ(first.start(), SEGUE_OK);
  auto request = std::make_unique<LongRequest>(*first.threads[0]);
  LoopedService second(options(3));
  ASSERT_EQ(second.start(), SEGUE_OK);
  // The rehearsal's mark is the first to need every loop: it tries again round by round.
  ASSERT_TRUE(run_looped({&first, &second}, [&] {
    if (first.progress().rounds >= 1 && first.progress().phase == SEGUE_PHASE_BACKGROUND &&
        request != nullptr && first.loops[0]->word.look() == LoopState::asked) {
      request->let_go();
    }
    return first.ended() && second.active();
  })) << first.error();
  EXPECT_EQ(first.end_reason, SEGUE_END_COMMITTED);
  first.join();
}

TEST_F(EventLoops, offer_that_is_not_taken_is_withdrawn) {
  LoopedService first(options(1));
  ASSERT_EQ(first.start(), SEGUE_OK);
  const std::vector<UniqueFd> ends = connect_clients(first, 5);
  LoopedService second(options(1));
  ASSERT_EQ(second.start(), SEGUE_OK);
  const LoopWord& word = first.loops[0]->word;
  ASSERT_TRUE(run_looped({&first, &second}, [&] { return word.look() != LoopState::running; }));
  // From here on nobody takes it: the loop goes on by itself.
  EXPECT_TRUE(eventually([&] { return word.look() == LoopState::running; }));
  expect_running(first);
  ASSERT_TRUE(run_looped({&first, &second}, [&] { return first.ended() && second.active(); }))
      << first.error();
  first.join();
}

// ---- Closing -----------------------------------------------------------------------------------

enum class When { background, rehearsal, probation, committed };

class CloseFromLoop : public EventLoops, public testing::WithParamInterface<When> {
 protected:
  static bool is_due(const LoopedService& first, const LoopedService& second) {
    const uint32_t phase = first.progress().phase;
    switch (GetParam()) {
      case When::background:
        return phase == SEGUE_PHASE_BACKGROUND && first.progress().connections > 0;
      case When::rehearsal:
        return phase == SEGUE_PHASE_REHEARSAL;
      case When::probation:
        return second.active() && !first.ended();
      case When::committed:
        return second.active() && first.ended();
    }
    return false;
  }
};

TEST_P(CloseFromLoop, is_seen_by_the_client_at_once) {
  LoopedOptions o = options(3);
  o.vote_required = true;
  LoopedService first(o);
  first.changing = false;
  ASSERT_EQ(first.start(), SEGUE_OK);
  for (uint32_t shard = 0; shard < LoopedService::kShards; ++shard) {
    first.on_loop(shard, [&](LoopedService::Shard& home) {
      for (int i = 0; i < 2000; ++i) first.change_something(home);
    });
  }
  const std::vector<UniqueFd> ends = connect_clients(first, 5);
  LoopedService second(options(2));
  second.changing = false;
  ASSERT_EQ(second.start(), SEGUE_OK);
  const bool by_successor = GetParam() == When::probation || GetParam() == When::committed;
  bool closed = false;
  uint64_t slowest_us = 0;
  const auto close_all = [&](LoopedService& owner) {
    for (uint32_t shard = 0; shard < LoopedService::kShards; ++shard) {
      owner.on_loop(shard, [&](LoopedService::Shard& home) {
        const auto clients = std::exchange(home.clients, {});
        for (const auto& [id, client] : clients) segue_conn_close(client.conn, SEGUE_CLOSE_FIN);
      });
      const uint64_t closed_at = monotonic_ns();
      for (size_t i = 0; i < 5; ++i) {
        pollfd entry{ends[shard * 5 + i].get(), POLLIN, 0};
        ASSERT_EQ(poll(&entry, 1, kSeenMs), 1);
        char byte = 0;
        EXPECT_EQ(read(entry.fd, &byte, 1), 0);
      }
      slowest_us = std::max(slowest_us, (monotonic_ns() - closed_at) / 1000);
    }
    closed = true;
  };
  ASSERT_TRUE(run_looped({&first, &second},
                         [&] {
                           if (!closed && is_due(first, second))
                             close_all(by_successor ? second : first);
                           if (second.active() && (closed || GetParam() == When::committed)) {
                             segue_vote(second.instance.get(), 1, nullptr);
                           }
                           return closed && first.ended() && second.active();
                         }))
      << first.error() << " / " << second.error();
  EXPECT_TRUE(second.client_states().empty());
  RecordProperty("slowest_us", static_cast<int>(slowest_us));
  first.join();
}

std::string name_of(When when) {
  constexpr const char* kNames[] = {"background", "rehearsal", "probation", "committed"};
  return kNames[static_cast<size_t>(when)];
}

INSTANTIATE_TEST_SUITE_P(EventLoops, CloseFromLoop,
                         testing::Values(When::background, When::rehearsal, When::probation,
                                         When::committed),
                         [](const auto& closing) { return name_of(closing.param); });

// ---- Ends and mistakes -------------------------------------------------------------------------

TEST_F(EventLoops, waiting_loops_of_a_successor_end_when_it_stops) {
  LoopedService first(options(1));
  ASSERT_EQ(first.start(), SEGUE_OK);
  LoopedService second(options(4));
  ASSERT_EQ(second.start(), SEGUE_OK);
  segue_stop(second.instance.get());
  second.join();
  for (const LoopedService::Shard& shard : second.shards) EXPECT_EQ(shard.changes, 0U);
  EXPECT_TRUE(first.active());
}

TEST_F(EventLoops, declarations_are_checked) {
  LoopedService service(options(1));
  segue_instance* s = service.instance.get();
  EXPECT_EQ(segue_loop_open(s, "no spaces"), nullptr);
  EXPECT_EQ(segue_loop_open(s, "worker-1"), nullptr);
  EXPECT_NE(service.error().find("declared already"), std::string::npos);
  EXPECT_EQ(segue_table_bind(service.shared_table, nullptr), SEGUE_INVALID);
  LoopedService other(options(1));
  EXPECT_EQ(segue_table_bind(service.shared_table, other.loops[0]), SEGUE_INVALID);
  EXPECT_EQ(segue_conn_add_to(service.clients, other.loops[0], 0, nullptr), nullptr);
  ASSERT_EQ(service.start(), SEGUE_OK);
  EXPECT_EQ(segue_table_bind(service.shared_table, service.loops[0]), SEGUE_STATE);
  EXPECT_EQ(segue_loop_open(s, "late"), nullptr);
  EXPECT_NE(service.error().find("before segue_start()"), std::string::npos);
}

}  // namespace
}  // namespace segue::handoff::test
