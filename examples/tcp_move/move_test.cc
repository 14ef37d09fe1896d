// SPDX-License-Identifier: Apache-2.0
// Whole moves of many connections with data in flight, and moves that fail.
#include "tcp/move.h"

#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>

#include "lab_test.h"
#include "traffic.h"

namespace segue::example {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

class MoveTest : public LabTest {
 protected:
  void flow(std::size_t connections_per_kind) {
    for (const Kind kind : {Kind::ipv4, Kind::ipv6}) {
      auto pairs = lab_->connect(kind, connections_per_kind);
      ASSERT_TRUE(pairs) << pairs.error().to_string();
      traffic_.add(std::move(*pairs));
    }
    traffic_.start();
    const auto flowing = traffic_.wait_until_flowing(kDeadline);
    ASSERT_TRUE(flowing) << flowing.error().to_string();
  }

  void expect_every_byte() {
    traffic_.thaw();
    const auto flowing = traffic_.wait_until_flowing(kDeadline);
    EXPECT_TRUE(flowing) << flowing.error().to_string();
    const auto whole = traffic_.finish(16'384, kDeadline);
    EXPECT_TRUE(whole) << whole.error().to_string();
  }

  tcp::MoveOptions to_place_1() const {
    tcp::MoveOptions options;
    options.destination_namespace = lab_->place(1);
    return options;
  }

  Traffic traffic_{clock_};
};

TEST_F(MoveTest, a_thousand_connections_lose_double_and_reorder_no_byte) {
  flow(500);
  auto initial_window = tcp::InitialWindow::attach();
  tcp::MoveOptions options = to_place_1();
  if (initial_window) options.initial_window = &*initial_window;
  traffic_.freeze();
  const std::vector<int> originals = traffic_.servers();
  tcp::Move move(originals, lab_->hooks(0, 1), options, clock_);
  const auto run = move.run();
  ASSERT_TRUE(run) << run.error().to_string();
  const auto finished = move.finish();
  ASSERT_TRUE(finished) << finished.error().to_string();
  EXPECT_TRUE(move.report().broken.empty()) << move.report().broken.front().error.to_string();
  EXPECT_TRUE(move.report().left_behind.empty());
  traffic_.replace_servers(move.release_connections());
  expect_every_byte();
}

TEST_F(MoveTest, each_congestion_window_moves_along) {
  auto initial_window = tcp::InitialWindow::attach();
  if (!initial_window) {
    GTEST_SKIP() << "NOT TESTED: " << initial_window.error().to_string();
  }
  std::vector<ConnectedPair> pairs;
  std::vector<int> originals;
  std::vector<std::uint32_t> before;
  for (std::size_t i = 0; i < 5; ++i) {
    pairs.push_back(connect());
    const int server = pairs.back().server.get();
    const std::string bytes = numbered(i, 1 + i * 60'000);
    std::thread sender([&] { EXPECT_TRUE(send_all(clock_, server, bytes)); });
    EXPECT_TRUE(receive_exactly(clock_, pairs.back().client.get(), bytes.size()) == bytes);
    sender.join();
    ASSERT_TRUE(wait_until(clock_, kDeadline, [&] {
      int unacknowledged = -1;
      return ::ioctl(server, SIOCOUTQ, &unacknowledged) == 0 && unacknowledged == 0;
    }));
    originals.push_back(server);
    before.push_back(tcp::congestion_window_segments(server).value_or(0));
  }
  EXPECT_GT(before.back(), before.front());
  tcp::MoveOptions options = to_place_1();
  options.initial_window = &*initial_window;
  tcp::Move move(originals, lab_->hooks(0, 1), options, clock_);
  ASSERT_TRUE(move.run());
  ASSERT_TRUE(move.finish());
  const auto connections = move.release_connections();
  for (std::size_t i = 0; i < connections.size(); ++i) {
    EXPECT_EQ(tcp::congestion_window_segments(connections[i].get()).value_or(0), before[i]);
  }
}

TEST_F(MoveTest, there_and_back_again) {
  flow(20);
  for (const auto& [from, to] : {std::pair{0U, 1U}, std::pair{1U, 0U}, std::pair{0U, 1U}}) {
    traffic_.freeze();
    tcp::MoveOptions options;
    options.destination_namespace = lab_->place(to);
    const std::vector<int> originals = traffic_.servers();
    tcp::Move move(originals, lab_->hooks(from, to), options, clock_);
    ASSERT_TRUE(move.run());
    ASSERT_TRUE(move.finish());
    traffic_.replace_servers(move.release_connections());
    traffic_.thaw();
    const auto flowing = traffic_.wait_until_flowing(kDeadline);
    ASSERT_TRUE(flowing) << flowing.error().to_string();
  }
  const auto whole = traffic_.finish(16'384, kDeadline);
  EXPECT_TRUE(whole) << whole.error().to_string();
}

TEST_F(MoveTest, a_restore_that_fails_in_the_middle_is_taken_back) {
  flow(20);
  traffic_.freeze();
  tcp::MoveHooks hooks = lab_->hooks(0, 1);
  hooks.hand_over_address = [this]() -> Result<void> {
    SEGUE_TRY(lab_->remove_address(0));
    return lab_->add_address(1, /*with_ipv6=*/false);
  };
  const std::vector<int> originals = traffic_.servers();
  tcp::Move move(originals, hooks, to_place_1(), clock_);
  const auto refused = move.run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unavailable) << refused.error().to_string();
  EXPECT_NE(refused.error().to_string().find("connection 21 of 40"), std::string::npos)
      << refused.error().to_string();
  EXPECT_NE(refused.error().to_string().find("go on at the source"), std::string::npos);
  expect_every_byte();
}

TEST_F(MoveTest, each_failing_hook_is_taken_back) {
  flow(5);
  const auto fails = []() -> Result<void> { return fail(ErrorCode::internal, "on purpose"); };
  tcp::MoveHooks hooks = lab_->hooks(0, 1);
  hooks.block_link = fails;
  tcp::MoveHooks other = lab_->hooks(0, 1);
  other.hand_over_address = fails;
  for (const tcp::MoveHooks& broken : {hooks, other}) {
    traffic_.freeze();
    const std::vector<int> originals = traffic_.servers();
    tcp::Move move(originals, broken, to_place_1(), clock_);
    const auto refused = move.run();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::internal) << refused.error().to_string();
    traffic_.thaw();
    const auto flowing = traffic_.wait_until_flowing(kDeadline);
    ASSERT_TRUE(flowing) << flowing.error().to_string();
  }
  const auto whole = traffic_.finish(16'384, kDeadline);
  EXPECT_TRUE(whole) << whole.error().to_string();
}

TEST_F(MoveTest, a_connection_that_ends_before_its_dump_stops_the_move_or_stays_behind) {
  for (const bool leave_behind : {false, true}) {
    ConnectedPair first = connect();
    ConnectedPair closing = connect();
    ConnectedPair last = connect();
    tcp::MoveHooks hooks = lab_->hooks(0, 1);
    hooks.block_link = [&]() -> Result<void> {
      EXPECT_EQ(::shutdown(closing.client.get(), SHUT_WR), 0);
      EXPECT_TRUE(wait_until(clock_, kDeadline, [&] {
        return !tcp::check_movable(closing.server.get()).has_value();
      }));
      return lab_->block(0);
    };
    tcp::MoveOptions options = to_place_1();
    options.leave_refused_behind = leave_behind;
    const int originals[] = {first.server.get(), closing.server.get(), last.server.get()};
    tcp::Move move(originals, hooks, options, clock_);
    const auto run = move.run();
    std::vector<os::UniqueFd> moved;
    std::array<int, 2> servers = {first.server.get(), last.server.get()};
    if (leave_behind) {
      ASSERT_TRUE(run) << run.error().to_string();
      ASSERT_TRUE(move.finish());
      moved = move.release_connections();
      ASSERT_EQ(move.report().left_behind.size(), 1U);
      EXPECT_EQ(move.report().left_behind.front().index, 1U);
      servers = {moved[0].get(), moved[2].get()};
    } else {
      ASSERT_FALSE(run);
      EXPECT_NE(run.error().to_string().find("CLOSE_WAIT"), std::string::npos);
      EXPECT_NE(run.error().to_string().find("go on at the source"), std::string::npos);
    }
    for (std::size_t i = 0; i < servers.size(); ++i) {
      const int client = (i == 0 ? first : last).client.get();
      ASSERT_TRUE(send_all(clock_, servers.at(i), "onward"));
      EXPECT_EQ(receive_exactly(clock_, client, 6), "onward");
      ASSERT_TRUE(send_all(clock_, client, "back"));
      EXPECT_EQ(receive_exactly(clock_, servers.at(i), 4), "back");
    }
  }
}

TEST_F(MoveTest, what_cannot_be_taken_back_is_named) {
  flow(2);
  traffic_.freeze();
  tcp::MoveHooks hooks = lab_->hooks(0, 1);
  hooks.hand_over_address = []() -> Result<void> { return fail(ErrorCode::internal, "first"); };
  hooks.unblock_link = []() -> Result<void> { return fail(ErrorCode::internal, "second"); };
  const std::vector<int> originals = traffic_.servers();
  tcp::Move move(originals, hooks, to_place_1(), clock_);
  const auto refused = move.run();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::unknown_outcome);
  EXPECT_NE(refused.error().message().find("cannot unblock the link: second"), std::string::npos);
  ASSERT_TRUE(lab_->open(0));
  expect_every_byte();
}

TEST_F(MoveTest, a_link_that_opens_at_the_second_call_loses_nothing) {
  flow(5);
  traffic_.freeze();
  tcp::MoveHooks hooks = lab_->hooks(0, 1);
  int calls = 0;
  hooks.open_link = [&]() -> Result<void> {
    if (++calls == 1) return fail(ErrorCode::unavailable, "not yet");
    return lab_->open(1);
  };
  const std::vector<int> originals = traffic_.servers();
  tcp::Move move(originals, hooks, to_place_1(), clock_);
  ASSERT_TRUE(move.run());
  const auto waiting = move.finish();
  ASSERT_FALSE(waiting);
  EXPECT_NE(waiting.error().to_string().find("10 restored connections wait"), std::string::npos);
  ASSERT_TRUE(move.finish());
  traffic_.replace_servers(move.release_connections());
  expect_every_byte();
}

TEST_F(MoveTest, a_half_closed_connection_refuses_the_move_or_stays_behind) {
  ConnectedPair closing = connect();
  ConnectedPair open = connect();
  ASSERT_EQ(::shutdown(closing.client.get(), SHUT_WR), 0);
  ASSERT_TRUE(wait_until(clock_, kDeadline,
                         [&] { return !tcp::check_movable(closing.server.get()).has_value(); }));
  const int originals[] = {closing.server.get(), open.server.get()};
  {
    tcp::Move move(originals, lab_->hooks(0, 1), to_place_1(), clock_);
    const auto refused = move.run();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
    EXPECT_NE(refused.error().to_string().find("connection 1 of 2"), std::string::npos);
  }
  ASSERT_TRUE(send_all(clock_, open.server.get(), "untouched"));
  EXPECT_EQ(receive_exactly(clock_, open.client.get(), 9), "untouched");

  tcp::MoveOptions options = to_place_1();
  options.leave_refused_behind = true;
  tcp::Move move(originals, lab_->hooks(0, 1), options, clock_);
  ASSERT_TRUE(move.run());
  ASSERT_TRUE(move.finish());
  ASSERT_EQ(move.report().left_behind.size(), 1U);
  EXPECT_EQ(move.report().left_behind.front().index, 0U);
  const auto connections = move.release_connections();
  ASSERT_EQ(connections.size(), 2U);
  EXPECT_FALSE(connections[0]);
  ASSERT_TRUE(send_all(clock_, connections[1].get(), "moved"));
  EXPECT_EQ(receive_exactly(clock_, open.client.get(), 5), "moved");
}

}  // namespace
}  // namespace segue::example
