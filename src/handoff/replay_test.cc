// SPDX-License-Identifier: Apache-2.0
// A predecessor does again what its dead successor did: both on one inventory each, with the same
// sockets, as after a handoff. Where the successor died is where its writer stops.
#include "handoff/replay.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "handoff/journal_memory.h"
#include "handoff/kernel_totals.h"
#include "handoff/recorder.h"
#include "handoff/test_link.h"
#include "handoff/test_process.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kFirst = uint64_t{1} << 32;
constexpr uint64_t kLate = uint64_t{7} << 32 | 3;

// Adds numbers: "5\n" is answered with the sum so far and the time that is noted for it; "x\n"
// closes.
class Adder {
 public:
  Adder() {
    auto cls = std::make_unique<segue_class>();
    cls->number = 4;
    cls->inventory = &inventory;
    cls->user = this;
    cls->ops.readable = [](void* self, segue_conn* conn) { of(self).handle(*conn); };
    cls->ops.writable = [](void* self, segue_conn* conn) { of(self).flush(*conn); };
    cls->ops.accepted = [](void* self, segue_conn* conn, int) {
      of(self).welcomed.push_back(conn->id());
      return int{SEGUE_OK};
    };
    cls->ops.drop = [](void* self, segue_conn* conn) { of(self).dropped.push_back(conn->id()); };
    inventory.classes.push_back(std::move(cls));
  }

  segue_conn* adopt(int fd, uint64_t id) {
    return inventory.connections.adopt(inventory.classes[0].get(), dup(fd), id);
  }
  segue_conn& at(uint64_t id) { return *inventory.connections.find(id); }

  void handle(segue_conn& conn) {
    char bytes[8];  // small, so that one input takes several reads
    const ssize_t size = segue_read(&conn, bytes, sizeof bytes);
    if (size == 0) return hang_up(conn);
    if (size < 0) return;
    std::string& text = input[conn.id()];
    text.append(bytes, static_cast<size_t>(size));
    for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n')) {
      const std::string request = text.substr(0, end);
      text.erase(0, end + 1);
      if (request == "x") return hang_up(conn);
      sum += std::stoi(request) + error;
      uint64_t now = clock;
      if (inventory.traffic) inventory.traffic->note(1, &now, sizeof now, sizeof now);
      output[conn.id()] += std::to_string(sum) + "@" + std::to_string(now) + "\n";
    }
    if (answers) flush(conn);
  }
  void flush(segue_conn& conn) {
    std::string& text = output[conn.id()];
    if (text.empty()) return;
    const ssize_t size = segue_write(&conn, text.data(), std::min(text.size(), most_at_once));
    if (size > 0) text.erase(0, static_cast<size_t>(size));
  }
  void hang_up(segue_conn& conn) { segue_conn_close(&conn, SEGUE_CLOSE_FIN); }

  Inventory inventory;
  int sum = 0;
  int error = 0;  // what a version does wrong
  uint64_t clock = 100;
  bool answers = true;
  size_t most_at_once = SIZE_MAX;
  std::map<uint64_t, std::string> input;
  std::map<uint64_t, std::string> output;
  std::vector<uint64_t> welcomed;
  std::vector<uint64_t> dropped;

 private:
  static Adder& of(void* self) { return *static_cast<Adder*>(self); }
};

class Replayed : public testing::Test {
 protected:
  Replayed() {
    EXPECT_TRUE(JournalMemory::create(kSmallestJournalBytes, memory_).ok());
    JournalMemory second;
    EXPECT_TRUE(
        JournalMemory::map(UniqueFd(dup(memory_.fd())), kSmallestJournalBytes, second).ok());
    auto recorder =
        std::make_unique<Recorder>(Recorder::What::everything, std::move(second),
                                   Recorder::Outlet{}, successor_.inventory.loops.turns());
    recorder->begin();
    successor_.inventory.traffic = std::move(recorder);
    successor_.clock = 200;
    share(tcp_.server.get(), kFirst);
  }
  void share(int fd, uint64_t id) {
    predecessor_.adopt(fd, id);
    successor_.adopt(fd, id);
  }
  void ask(int client, const std::string& text, uint64_t id = kFirst) {
    write_all(client, text);
    pollfd entry{successor_.at(id).fd, POLLIN, 0};
    ASSERT_EQ(poll(&entry, 1, 2000), 1);
    char waiting[64];
    while (successor_.inventory.connections.find(id) != nullptr &&
           recv(successor_.at(id).fd, waiting, sizeof waiting, MSG_PEEK | MSG_DONTWAIT) > 0) {
      successor_.handle(successor_.at(id));
    }
  }
  // False where nothing can be replayed.
  bool replay(AcceptedFds accepted = {}) {
    auto replay = std::make_unique<Replay>(
        predecessor_.inventory, memory_.bytes(), std::move(accepted),
        [this](uint32_t tag, const void*, size_t) { pushed_.push_back(tag); });
    if (!replay->prepare()) return false;
    Replay& running = *replay;
    predecessor_.inventory.traffic = std::move(replay);
    counts_ = running.run();
    predecessor_.inventory.traffic.reset();
    return true;
  }
  // As the recorder does it, up to the operation.
  void open_intent(JournalWriter& writer, EntryKind kind, size_t size, uint64_t digest = 0) {
    writer.begin();
    KernelTotals totals;
    if (kernel_totals(successor_.at(kFirst).fd, totals) == TotalsKind::known) {
      writer.append({EntryKind::totals, 0, kFirst, totals.consumed, totals.sent, 0, {}});
    }
    place_ = writer.open_intent({kind, static_cast<uint32_t>(size), kFirst, 0, digest, 0, {}});
  }

  Tcp tcp_ = connected();
  JournalMemory memory_;
  Adder predecessor_;
  Adder successor_;
  ReplayCounts counts_;
  std::vector<uint32_t> pushed_;
  char* place_ = nullptr;
};

TEST_F(Replayed, what_was_answered_is_done_again_and_not_said_again) {
  ask(tcp_.client.get(), "5\n7\n1000000\n");
  EXPECT_EQ(next(tcp_.client.get()), "5@200\n12@200\n1000012@200\n");
  ASSERT_TRUE(replay());
  EXPECT_EQ(predecessor_.sum, 1'000'012);
  EXPECT_EQ(counts_.closed, 0U);
  EXPECT_TRUE(pushed_.empty()) << "the notes were asked for";
  write_all(tcp_.client.get(), "1\n");
  predecessor_.handle(predecessor_.at(kFirst));
  EXPECT_EQ(next(tcp_.client.get()), "1000013@100\n");
}

TEST_F(Replayed, what_was_read_and_not_answered_is_answered) {
  successor_.answers = false;
  ask(tcp_.client.get(), "5\n6\n");
  ASSERT_TRUE(replay());
  EXPECT_EQ(next(tcp_.client.get()), "5@200\n11@200\n");
  EXPECT_EQ(counts_.repaired, 1U);
}

TEST_F(Replayed, what_was_sent_by_half_is_completed) {
  successor_.most_at_once = 3;
  ask(tcp_.client.get(), "123\n");
  EXPECT_EQ(next(tcp_.client.get()), "123");
  ASSERT_TRUE(replay());
  EXPECT_EQ(next(tcp_.client.get()), "@200\n");
  EXPECT_EQ(counts_.closed, 0U);
}

TEST_F(Replayed, another_answer_than_was_sent_closes_the_connection_and_counts_it) {
  ask(tcp_.client.get(), "5\n");
  EXPECT_EQ(next(tcp_.client.get()), "5@200\n");
  predecessor_.error = 1;
  ASSERT_TRUE(replay());
  EXPECT_EQ(counts_.closed, 1U);
  EXPECT_EQ(predecessor_.dropped, std::vector<uint64_t>{kFirst});
  EXPECT_EQ(next(tcp_.client.get()), "RST");
}

TEST_F(Replayed, input_taken_and_not_recorded_is_found_by_the_kernels_count) {
  JournalWriter writer(memory_.data(), memory_.size());
  open_intent(writer, EntryKind::input, 64);
  write_all(tcp_.client.get(), "42\n");
  ASSERT_EQ(recv(successor_.at(kFirst).fd, place_, 64, 0), 3);
  ASSERT_TRUE(replay());
  EXPECT_EQ(next(tcp_.client.get()), "42@100\n") << "no note was recorded";
  EXPECT_EQ(counts_.replayed, 1U);
  EXPECT_EQ(counts_.closed, 0U);
}

TEST_F(Replayed, output_taken_and_not_recorded_is_not_sent_twice) {
  JournalWriter writer(memory_.data(), memory_.size());
  const JournalView view(memory_.bytes());
  SipStream answer(view.key0(), view.key1());
  answer.add("8@100\n");
  predecessor_.output[kFirst] = "8@100\n";  // it waited at the freeze
  open_intent(writer, EntryKind::sent, 6, answer.value());
  ASSERT_EQ(send(successor_.at(kFirst).fd, "8@10", 4, 0), 4);
  ASSERT_TRUE(replay());
  EXPECT_EQ(next(tcp_.client.get()), "8@100\n");
  EXPECT_EQ(counts_.closed, 0U);
  EXPECT_EQ(counts_.repaired, 1U);
}

TEST_F(Replayed, an_intent_that_did_not_happen_changes_nothing) {
  JournalWriter writer(memory_.data(), memory_.size());
  open_intent(writer, EntryKind::input, 64);
  ASSERT_TRUE(replay());
  EXPECT_EQ(counts_.replayed, 0U);
  write_all(tcp_.client.get(), "1\n");
  predecessor_.handle(predecessor_.at(kFirst));
  EXPECT_EQ(next(tcp_.client.get()), "1@100\n");
}

TEST_F(Replayed, an_open_intent_on_a_unix_socket_closes_and_counts_it) {
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
  const UniqueFd client(ends[0]);
  const UniqueFd server(ends[1]);
  share(server.get(), kLate);
  ask(client.get(), "5\n", kLate);
  EXPECT_EQ(next(client.get()), "5@200\n");
  ASSERT_TRUE(replay()) << "whole entries need no counters";
  EXPECT_EQ(counts_.closed, 0U);

  JournalWriter writer(memory_.data(), memory_.size());
  writer.begin();
  writer.open_intent({EntryKind::input, 64, kLate, 0, 0, 0, {}});
  ASSERT_TRUE(replay());
  EXPECT_EQ(counts_.closed, 1U);
  EXPECT_EQ(next(client.get()), "FIN");
}

TEST_F(Replayed, a_connection_that_the_successor_accepted_is_taken_over) {
  Tcp late = connected();
  segue_conn* conn = successor_.adopt(late.server.get(), kLate);
  successor_.inventory.traffic->opened(*conn);
  ask(late.client.get(), "5\n", kLate);
  EXPECT_EQ(next(late.client.get()), "5@200\n");
  AcceptedFds accepted;
  accepted[kLate] = {4, UniqueFd(dup(late.server.get()))};
  accepted[kLate + 1] = {4, UniqueFd(dup(connected().server.get()))};  // not used yet
  ASSERT_TRUE(replay(std::move(accepted)));
  EXPECT_EQ(predecessor_.welcomed, (std::vector<uint64_t>{kLate, kLate + 1}));
  EXPECT_EQ(counts_.closed, 0U);
  write_all(late.client.get(), "2\n");
  predecessor_.handle(predecessor_.at(kLate));
  EXPECT_EQ(next(late.client.get()), "7@100\n");
}

TEST_F(Replayed, what_a_lost_connection_asked_for_is_done_and_it_is_counted) {
  Tcp late = connected();
  segue_conn* conn = successor_.adopt(late.server.get(), kLate);
  successor_.inventory.traffic->opened(*conn);
  ask(late.client.get(), "5\n", kLate);
  ASSERT_TRUE(replay());
  EXPECT_EQ(predecessor_.sum, 5) << "its client was told so";
  EXPECT_EQ(counts_.closed, 1U);
}

TEST_F(Replayed, a_connection_of_a_class_that_only_the_successor_has_is_closed_and_counted) {
  predecessor_.inventory.classes[0]->number = 0;
  auto own = std::make_unique<segue_class>();
  own->inventory = &successor_.inventory;
  Tcp late = connected();
  segue_conn* conn =
      successor_.inventory.connections.adopt(own.get(), dup(late.server.get()), kLate);
  successor_.inventory.traffic->opened(*conn);
  AcceptedFds accepted;
  accepted[kLate] = {own->number, UniqueFd(dup(late.server.get()))};
  ASSERT_TRUE(replay(std::move(accepted)));
  EXPECT_TRUE(predecessor_.welcomed.empty());
  EXPECT_EQ(counts_.closed, 1U);
  EXPECT_EQ(next(late.client.get()), "RST");
}

TEST_F(Replayed, without_room_for_the_sockets_of_lost_connections_nothing_is_done) {
  Tcp late = connected();
  segue_conn* conn = successor_.adopt(late.server.get(), kLate);
  successor_.inventory.traffic->opened(*conn);
  ask(late.client.get(), "5\n", kLate);
  const auto replay_with_free = [this](size_t free) {
    rlimit limit{};
    EXPECT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = open_fds() + free;
    EXPECT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    return replay();
  };
  EXPECT_TRUE(holds_in_child([&] {
    EXPECT_FALSE(replay_with_free(1));
    EXPECT_EQ(predecessor_.sum, 0);
  }));
  EXPECT_TRUE(holds_in_child([&] {
    EXPECT_TRUE(replay_with_free(2));
    EXPECT_EQ(predecessor_.sum, 5);
  }));
}

TEST_F(Replayed, what_the_successor_closed_is_closed) {
  ask(tcp_.client.get(), "5\nx\n");
  EXPECT_EQ(next(tcp_.client.get()), "FIN") << "the answer waited behind the end";
  ASSERT_TRUE(replay());
  EXPECT_EQ(predecessor_.inventory.connections.find(kFirst), nullptr);
  EXPECT_EQ(counts_.closed, 0U);
}

TEST_F(Replayed, a_client_that_has_gone_meanwhile_is_no_loss) {
  ask(tcp_.client.get(), "5\n");
  const linger at_once{1, 0};
  setsockopt(tcp_.client.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  tcp_.client.reset();
  ASSERT_TRUE(replay());
  EXPECT_EQ(predecessor_.sum, 5);
  EXPECT_EQ(counts_.closed, 0U);
}

TEST_F(Replayed, notes_that_nobody_asks_for_are_pushed) {
  uint64_t now = 1;
  successor_.inventory.traffic->note(9, &now, sizeof now, sizeof now);
  ask(tcp_.client.get(), "5\n");
  successor_.inventory.traffic->note(8, nullptr, 0, 0);
  ASSERT_TRUE(replay());
  EXPECT_EQ(pushed_, (std::vector<uint32_t>{9, 8}));
}

TEST_F(Replayed, an_incomplete_or_contradicting_journal_is_not_touched) {
  ask(tcp_.client.get(), "5\n");
  JournalWriter writer(memory_.data(), memory_.size());
  writer.end(JournalState::full);
  EXPECT_FALSE(replay());
  writer.begin();
  EXPECT_TRUE(replay());
  writer.append({EntryKind::closed, 0, kFirst, 0, 0, 0, {}});
  writer.append({EntryKind::sent, 5, kFirst, 5, 0, 0, {}});
  EXPECT_FALSE(replay()) << "something after the end";
  writer.begin();
  writer.append({EntryKind::sent, 5, kLate, 5, 0, 0, {}});
  EXPECT_FALSE(replay()) << "a connection that nobody has";
  EXPECT_EQ(predecessor_.sum, 0);
}

TEST_F(Replayed, a_recorder_that_is_full_says_so_and_goes_on) {
  for (int i = 0; i < 2000; ++i) {
    ask(tcp_.client.get(), "1\n");
    next(tcp_.client.get());
  }
  EXPECT_EQ(successor_.sum, 2000);
  EXPECT_EQ(JournalView(memory_.bytes()).state(), JournalState::full);
  EXPECT_FALSE(replay());
}

}  // namespace
}  // namespace segue::handoff::test
