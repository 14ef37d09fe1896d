// SPDX-License-Identifier: Apache-2.0
#include "engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace respkv {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class FakeHost final : public Host {
 public:
  std::string address_of(const Session& /*session*/) override { return "nowhere"; }
  std::string information() override { return {}; }
  void sleep(double seconds) override { slept_seconds += seconds; }
  void note(Note /*what*/, std::string& text) override {
    if (!choice.empty()) text = choice;
  }
  void key_changed(const std::string& key) override { changes.push_back("+" + key); }
  void key_erased(const std::string& key) override { changes.push_back("-" + key); }
  void all_keys_erased() override { changes.emplace_back("-*"); }

  std::vector<std::string> changes;
  double slept_seconds = 0;
  std::string choice;  // what is chosen, whatever the engine chose
};

class EngineTest : public testing::Test {
 protected:
  EngineTest() : engine_(host_, 1) {
    engine_.keys.set_now(kStartMs);
    engine_.add(first_);
    engine_.add(second_);
  }

  std::string run(Session& session, const std::vector<std::string_view>& arguments) {
    engine_.execute(session, arguments);
    return std::exchange(session.output, {});
  }
  std::string run(const std::vector<std::string_view>& arguments) { return run(first_, arguments); }
  std::string output(Session& session) { return std::exchange(session.output, {}); }

  static constexpr std::uint64_t kStartMs = 1'000'000;
  FakeHost host_;
  Engine engine_;
  Session first_;
  Session second_;
};

TEST_F(EngineTest, tells_the_host_of_each_changed_key_and_of_no_other) {
  run({"SET", "a", "1"});
  run({"GET", "a"});
  run({"INCR", "a"});
  run({"DEL", "a", "b"});
  run({"RPUSH", "l", "x"});
  run({"LPOP", "l"});
  EXPECT_THAT(host_.changes, ElementsAre("+a", "+a", "-a", "+l", "-l"));
}

TEST_F(EngineTest, a_flush_is_told_once_and_breaks_watches_of_keys_that_were_there) {
  run({"MSET", "a", "1", "b", "2"});
  run(first_, {"WATCH", "a"});
  run(second_, {"WATCH", "none"});
  host_.changes.clear();
  EXPECT_EQ(run({"FLUSHALL"}), "+OK\r\n");
  EXPECT_EQ(host_.changes, std::vector<std::string>{"-*"});
  EXPECT_EQ(run({"DBSIZE"}), ":0\r\n");
  EXPECT_EQ(engine_.keys.check(), "");
  for (Session* session : {&first_, &second_}) {
    run(*session, {"MULTI"});
    run(*session, {"PING"});
  }
  EXPECT_EQ(run(first_, {"EXEC"}), "*-1\r\n");
  EXPECT_EQ(run(second_, {"EXEC"}), "*1\r\n+PONG\r\n");
}

TEST_F(EngineTest, failed_commands_change_nothing) {
  run({"SET", "a", "text"});
  host_.changes.clear();
  for (const std::vector<std::string_view>& request : {std::vector<std::string_view>{"INCR", "a"},
                                                       {"LPUSH", "a", "x"},
                                                       {"HSET", "h", "f"},
                                                       {"ZADD", "z", "x", "m"},
                                                       {"SET", "b", "x", "EX", "0"},
                                                       {"EXPIRE", "b", "10"},
                                                       {"SETRANGE", "c", "-1", "x"},
                                                       {"HINCRBY", "h", "f", "x"},
                                                       {"INCRBYFLOAT", "c", "x"}}) {
    run(request);
  }
  EXPECT_THAT(host_.changes, IsEmpty());
  EXPECT_EQ(engine_.keys.size(), 1U);
}

TEST_F(EngineTest, keys_end_when_their_time_has_come) {
  run({"SET", "a", "1", "PX", "50"});
  run({"SET", "b", "1", "PX", "90"});
  engine_.keys.set_now(kStartMs + 49);
  EXPECT_EQ(run({"PTTL", "a"}), ":1\r\n");
  EXPECT_EQ(engine_.next_due_ms(), kStartMs + 50);
  engine_.keys.set_now(kStartMs + 50);
  EXPECT_EQ(run({"GET", "a"}), "$-1\r\n");
  engine_.keys.set_now(kStartMs + 90);
  engine_.do_due();
  EXPECT_EQ(engine_.keys.size(), 0U);
  EXPECT_EQ(engine_.keys.expired_keys, 2U);
  EXPECT_THAT(host_.changes, ElementsAre("+a", "+b", "-a", "-b"));
}

TEST_F(EngineTest, a_transaction_is_one_step) {
  EXPECT_EQ(run({"MULTI"}), "+OK\r\n");
  EXPECT_EQ(run({"INCR", "a"}), "+QUEUED\r\n");
  EXPECT_EQ(run({"CLIENT", "ID"}), "+QUEUED\r\n");
  EXPECT_EQ(run(second_, {"GET", "a"}), "$-1\r\n");
  EXPECT_EQ(run({"EXEC"}), "*2\r\n:1\r\n:1\r\n");
  EXPECT_EQ(first_.transactions, 1U);
}

TEST_F(EngineTest, a_command_that_cannot_be_queued_fails_the_transaction) {
  for (const std::vector<std::string_view>& request :
       {std::vector<std::string_view>{"NONSENSE"}, {"GET"}, {"CLIENT", "NONSENSE"}}) {
    run({"MULTI"});
    EXPECT_EQ(run(request).front(), '-');
    EXPECT_EQ(run({"EXEC"}), "-EXECABORT Transaction discarded because of previous errors.\r\n");
  }
}

TEST_F(EngineTest, watched_keys_that_change_end_or_appear_break_the_transaction) {
  run({"SET", "a", "1"});
  run({"SET", "ends", "1", "PX", "10"});
  run({"WATCH", "a", "absent", "ends"});
  EXPECT_EQ(engine_.check(), "");
  const auto breaks = [this](const auto& change) {
    change();
    run({"MULTI"});
    const bool broken = run({"EXEC"}) == "*-1\r\n";
    run({"WATCH", "a", "absent", "ends"});
    return broken;
  };
  EXPECT_FALSE(breaks([] {}));
  EXPECT_TRUE(breaks([this] { run(second_, {"INCR", "a"}); }));
  EXPECT_TRUE(breaks([this] { run(second_, {"SET", "absent", "1"}); }));
  EXPECT_TRUE(breaks([this] {
    run(second_, {"SET", "b", "1"});
    run(second_, {"RENAME", "b", "absent"});
  }));
  EXPECT_TRUE(breaks([this] { engine_.keys.set_now(kStartMs + 10); }));
  EXPECT_EQ(engine_.check(), "");
}

TEST_F(EngineTest, blocked_clients_are_served_once_the_whole_transaction_is_done) {
  run({"BLPOP", "q", "0"});
  EXPECT_NE(first_.wait, nullptr);
  run(second_, {"MULTI"});
  run(second_, {"LPUSH", "q", "a"});
  run(second_, {"DEL", "q"});
  run(second_, {"EXEC"});
  EXPECT_NE(first_.wait, nullptr);
  run(second_, {"LPUSH", "q", "a", "b"});
  EXPECT_EQ(output(first_), "*2\r\n$1\r\nq\r\n$1\r\nb\r\n");
  EXPECT_EQ(first_.wait, nullptr);
  std::vector<Session*> attention;
  engine_.take_attention(attention);
  EXPECT_THAT(attention, ElementsAre(&first_));
  EXPECT_EQ(engine_.check(), "");
}

TEST_F(EngineTest, a_wait_ends_at_its_deadline) {
  run({"BLPOP", "q", "0.01"});
  EXPECT_EQ(engine_.next_due_ms(), kStartMs + 10);
  engine_.keys.set_now(kStartMs + 10);
  engine_.do_due();
  EXPECT_EQ(output(first_), "*-1\r\n");
  EXPECT_EQ(engine_.next_due_ms(), 0U);
}

TEST_F(EngineTest, messages_reach_subscribers_in_their_protocol) {
  run({"SUBSCRIBE", "c"});
  run(second_, {"HELLO", "3"});
  run(second_, {"PSUBSCRIBE", "?"});
  EXPECT_EQ(engine_.publish("c", "m"), 2);
  EXPECT_EQ(output(first_), "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n");
  EXPECT_EQ(output(second_), ">4\r\n$8\r\npmessage\r\n$1\r\n?\r\n$1\r\nc\r\n$1\r\nm\r\n");
  EXPECT_THAT(run({"GET", "a"}), testing::StartsWith("-ERR Can't execute 'get'"));
  EXPECT_EQ(run(second_, {"GET", "a"}), "_\r\n");
}

TEST_F(EngineTest, a_subscriber_that_reads_nothing_reaches_its_bound) {
  run({"SUBSCRIBE", "c"});
  const std::string message(kMaxSubscriberOutputBytes / 4, 'x');
  for (int i = 0; i < 3; ++i) engine_.publish("c", message);
  EXPECT_FALSE(first_.over_limit);
  engine_.publish("c", message);
  EXPECT_TRUE(first_.over_limit);
  EXPECT_LE(first_.output.size(), kMaxSubscriberOutputBytes);
}

TEST_F(EngineTest, a_client_that_leaves_is_in_no_index) {
  run({"WATCH", "a"});
  run({"SUBSCRIBE", "c"});
  engine_.remove(first_);
  run(second_, {"SET", "a", "1"});
  EXPECT_EQ(engine_.publish("c", "m"), 0);
  EXPECT_EQ(engine_.check(), "");
}

TEST_F(EngineTest, check_finds_a_watch_that_does_not_compare) {
  run({"SET", "a", "1"});
  run({"WATCH", "a"});
  ASSERT_EQ(engine_.check(), "");
  ++first_.watches[0].modification;
  EXPECT_THAT(engine_.check(), testing::HasSubstr("watches key 'a'"));
}

TEST_F(EngineTest, check_finds_an_entry_that_is_newer_than_the_count) {
  run({"SET", "a", "1"});
  engine_.keys.last_modification = 0;
  EXPECT_THAT(engine_.check(), testing::HasSubstr("above the newest"));
}

TEST_F(EngineTest, each_command_is_found_in_either_case) {
  EXPECT_EQ(run({"pInG"}), "+PONG\r\n");
  EXPECT_EQ(run({"client", "GeTnAmE"}), "$-1\r\n");
  EXPECT_THAT(run({"a-name-longer-than-that-of-any-command"}),
              testing::StartsWith("-ERR unknown command"));
}

}  // namespace
}  // namespace respkv
