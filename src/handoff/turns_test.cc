// SPDX-License-Identifier: Apache-2.0
// Several event loops whose doings are recorded come in turns, and what they did to each other is
// done again by one thread.
#include "handoff/turns.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "handoff/instance.h"
#include "handoff/journal_memory.h"
#include "handoff/recorder.h"
#include "handoff/replay.h"
#include "handoff/test_link.h"
#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr uint32_t kLoops = 4;
constexpr int kTurns = 500;
constexpr size_t kJournalBytes = size_t{1} << 20;

uint64_t id_of(uint32_t number) {
  return uint64_t{1} << 32 | number;
}

// A loop's thread in a test; the loop itself is only declared.
void declare_loops(Inventory& inventory) {
  for (uint32_t i = 0; i < kLoops; ++i) {
    segue_loop* loop = nullptr;
    ASSERT_TRUE(inventory.loops.open("loop-" + std::to_string(i), loop).ok());
  }
}

TEST(Turns, go_one_after_the_other) {
  Turns turns;
  turns.enable();
  int inside = 0;  // no atomic: a turn is what guards it
  int done = 0;
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kLoops; ++i) {
    threads.emplace_back([&] {
      for (int turn = 0; turn < kTurns; ++turn) {
        const Turns::Held held(turns);
        EXPECT_EQ(++inside, 1);
        {
          const Turns::Held part_of_it(turns);
          ++done;
        }
        EXPECT_TRUE(turns.mine());
        --inside;
      }
      EXPECT_FALSE(turns.mine());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(done, static_cast<int>(kLoops) * kTurns);
}

TEST(Turns, cost_nothing_with_one_loop) {
  Turns turns;
  const Turns::Held held(turns);
  EXPECT_FALSE(turns.mine());
}

// Connections share a sum without any lock: "5\n" is answered with what it has come to.
class Sharer {
 public:
  explicit Sharer(uint32_t loops) {
    if (loops > 0) declare_loops(inventory);
    auto cls = std::make_unique<segue_class>();
    cls->inventory = &inventory;
    cls->user = this;
    cls->ops.readable = [](void* self, segue_conn* conn) { of(self).handle(*conn); };
    cls->ops.writable = [](void*, segue_conn*) {};
    cls->ops.accepted = [](void*, segue_conn*, int) { return int{SEGUE_OK}; };
    cls->ops.drop = [](void*, segue_conn*) {};
    inventory.classes.push_back(std::move(cls));
  }
  void adopt(int fd, uint64_t id) {
    ASSERT_NE(inventory.connections.adopt(inventory.classes[0].get(), dup(fd), id), nullptr);
  }
  segue_conn& at(uint64_t id) { return *inventory.connections.find(id); }
  void handle(segue_conn& conn) {
    char bytes[64];
    const ssize_t size = segue_read(&conn, bytes, sizeof bytes);
    if (size <= 0) return;
    sum = sum * 3 + std::stoul(std::string(bytes, static_cast<size_t>(size)));
    const std::string answer = std::to_string(sum) + "\n";
    EXPECT_EQ(segue_write(&conn, answer.data(), answer.size()),
              static_cast<ssize_t>(answer.size()));
  }

  Inventory inventory;
  unsigned long sum = 0;  // depends on the order

 private:
  static Sharer& of(void* self) { return *static_cast<Sharer*>(self); }
};

class RecordedLoops : public testing::Test {
 protected:
  RecordedLoops() {
    EXPECT_TRUE(JournalMemory::create(kJournalBytes, memory_).ok());
    JournalMemory second;
    EXPECT_TRUE(JournalMemory::map(UniqueFd(dup(memory_.fd())), kJournalBytes, second).ok());
    auto recorder =
        std::make_unique<Recorder>(Recorder::What::everything, std::move(second),
                                   Recorder::Outlet{}, successor_.inventory.loops.turns());
    recorder->begin();
    recorder_ = recorder.get();
    successor_.inventory.traffic = std::move(recorder);
    for (uint32_t i = 0; i < kLoops; ++i) {
      ends_[i] = connected();
      predecessor_.adopt(ends_[i].server.get(), id_of(i));
      successor_.adopt(ends_[i].server.get(), id_of(i));
    }
  }
  [[nodiscard]] JournalState state() const { return JournalView(memory_.bytes()).state(); }

  // One of the successor's loops, for as long as its client asks.
  void serve(uint32_t number) {
    Traffic& traffic = *successor_.inventory.traffic.get();
    Turns& turns = successor_.inventory.loops.turns();
    for (int turn = 0; turn < kTurns; ++turn) {
      write_all(ends_[number].client.get(), std::to_string(turn % 7) + "\n");
      pollfd entry{successor_.at(id_of(number)).fd, POLLIN, 0};
      ASSERT_EQ(poll(&entry, 1, 10'000), 1);
      ASSERT_TRUE(traffic.begin_turn());
      successor_.handle(successor_.at(id_of(number)));
      turns.end();
      ASSERT_NE(next(ends_[number].client.get()), "nothing");
    }
  }

  JournalMemory memory_;
  Sharer predecessor_{0};
  Sharer successor_{kLoops};
  Recorder* recorder_ = nullptr;
  std::array<Tcp, kLoops> ends_;
};

TEST_F(RecordedLoops, what_they_did_to_each_other_is_done_again_in_its_order) {
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kLoops; ++i) threads.emplace_back([this, i] { serve(i); });
  for (std::thread& thread : threads) thread.join();
  ASSERT_EQ(state(), JournalState::kept);
  auto replay = std::make_unique<Replay>(predecessor_.inventory, memory_.bytes(), AcceptedFds{},
                                         [](uint32_t, const void*, size_t) {});
  ASSERT_TRUE(replay->prepare());
  Replay& running = *replay;
  predecessor_.inventory.traffic = std::move(replay);
  const ReplayCounts counts = running.run();
  predecessor_.inventory.traffic.reset();
  EXPECT_EQ(counts.replayed, uint64_t{kLoops} * kTurns);
  EXPECT_EQ(counts.closed, 0U) << "an answer is another than the one that was given";
  EXPECT_EQ(predecessor_.sum, successor_.sum);
}

TEST_F(RecordedLoops, what_happens_outside_a_turn_ends_the_record_visibly) {
  ASSERT_TRUE(successor_.inventory.traffic->begin_turn());
  write_all(ends_[0].client.get(), "5\n");
  successor_.handle(successor_.at(id_of(0)));
  successor_.inventory.loops.turns().end();
  EXPECT_EQ(state(), JournalState::kept);
  write_all(ends_[0].client.get(), "5\n");
  successor_.handle(successor_.at(id_of(0)));
  EXPECT_EQ(state(), JournalState::out_of_turn);
  EXPECT_EQ(next(ends_[0].client.get()), "5\n20\n") << "clients are served all the same";
  Replay replay(predecessor_.inventory, memory_.bytes(), {}, {});
  EXPECT_FALSE(replay.prepare());
}

TEST_F(RecordedLoops, what_happens_outside_a_turn_waits_for_no_turn) {
  write_all(ends_[0].client.get(), "5\n");
  const Turns::Held held(successor_.inventory.loops.turns());
  std::thread([this] { successor_.handle(successor_.at(id_of(0))); }).join();
  EXPECT_EQ(next(ends_[0].client.get()), "5\n");
  EXPECT_EQ(state(), JournalState::out_of_turn);
}

TEST_F(RecordedLoops, do_not_wait_for_each_other_once_nothing_is_recorded) {
  Turns& turns = successor_.inventory.loops.turns();
  const auto begins_beside_another = [&] {
    const Turns::Held held(turns);
    bool began = false;
    std::thread([&] {
      began = successor_.inventory.traffic->begin_turn();
      EXPECT_FALSE(turns.mine());
      EXPECT_EQ(successor_.inventory.traffic->note(1, nullptr, 0, 0), 0U);
    }).join();
    return began;
  };
  successor_.inventory.traffic->hand_on();
  EXPECT_EQ(state(), JournalState::given_up);
  EXPECT_TRUE(begins_beside_another());
  recorder_->end();
  EXPECT_TRUE(begins_beside_another());
  write_all(ends_[0].client.get(), "5\n");
  successor_.handle(successor_.at(id_of(0)));
  EXPECT_EQ(next(ends_[0].client.get()), "5\n") << "the journal is gone, the service is not";
}

TEST_F(RecordedLoops, begin_no_turn_where_the_connections_go_back) {
  recorder_->stop();
  EXPECT_FALSE(successor_.inventory.traffic->begin_turn());
  EXPECT_FALSE(successor_.inventory.loops.turns().mine());
  write_all(ends_[0].client.get(), "5\n");
  char byte = 0;
  EXPECT_EQ(segue_read(&successor_.at(id_of(0)), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
}

using Instances = HandoffTest;

TEST_F(Instances, replay_needs_no_more_of_several_loops_than_of_one) {
  ServiceOptions o = options();
  o.on_crash = SEGUE_ON_CRASH_REPLAY;
  Service service(o);
  segue_loop* loop = segue_loop_open(service.instance.get(), "second");
  ASSERT_NE(loop, nullptr);
  ASSERT_EQ(service.start(), SEGUE_INVALID);
  EXPECT_NE(service.error().find("needs readable"), std::string::npos) << service.error();
}

TEST_F(Instances, dispatch_inside_a_turn_is_refused) {
  Service service(options());
  segue_loop* loop = segue_loop_open(service.instance.get(), "second");
  ASSERT_NE(loop, nullptr);
  ASSERT_EQ(service.start(), SEGUE_OK) << service.error();
  EXPECT_EQ(segue_turn_begin(service.instance.get()), SEGUE_OK);
  EXPECT_EQ(segue_dispatch(service.instance.get()), SEGUE_OK) << "nothing is recorded: no turn";
  segue_turn_end(service.instance.get());
  Turns& turns = service.instance->inventory().loops.turns();
  {
    const Turns::Held held(turns);
    EXPECT_EQ(segue_dispatch(service.instance.get()), SEGUE_STATE);
    EXPECT_EQ(segue_loop_dispatch(loop), SEGUE_STATE);
  }
  EXPECT_EQ(segue_dispatch(service.instance.get()), SEGUE_OK);
}

}  // namespace
}  // namespace segue::handoff::test
