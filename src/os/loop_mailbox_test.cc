// SPDX-License-Identifier: Apache-2.0
#include "os/loop_mailbox.h"

#include <gtest/gtest.h>

#include <thread>

namespace segue::os {
namespace {

using std::chrono::seconds;

TEST(LoopMailbox, what_threads_post_runs_on_the_loops_thread_in_each_threads_order) {
  constexpr int kEach = 500;
  SystemClock clock;
  EpollLoop loop = EpollLoop::create(clock).value();
  const auto mailbox = LoopMailbox::open(loop).value();
  const auto me = std::this_thread::get_id();
  std::array<int, 3> next{};
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < next.size(); ++t) {
    threads.emplace_back([&, t, poster = mailbox->poster()] {
      for (int i = 0; i < kEach; ++i) {
        EXPECT_TRUE(poster.post([&, t, i] {
          EXPECT_EQ(std::this_thread::get_id(), me);
          EXPECT_EQ(next[t]++, i);
        }));
      }
    });
  }
  const auto done = [&] { return next == std::array<int, 3>{kEach, kEach, kEach}; };
  for (int turn = 0; turn < 10'000 && !done(); ++turn) ASSERT_TRUE(loop.run_once(seconds(10)));
  for (auto& thread : threads) thread.join();
  EXPECT_TRUE(done());
}

TEST(LoopMailbox, nothing_runs_after_its_end) {
  SystemClock clock;
  EpollLoop loop = EpollLoop::create(clock).value();
  auto mailbox = LoopMailbox::open(loop).value();
  const auto poster = mailbox->poster();
  bool ran = false;
  EXPECT_TRUE(poster.post([&] { mailbox.reset(); }));
  EXPECT_TRUE(poster.post([&] { ran = true; }));
  ASSERT_TRUE(loop.run_once(seconds(10)));
  EXPECT_FALSE(poster.post([&] { ran = true; }));
  ASSERT_TRUE(loop.run_once(seconds(0)));
  EXPECT_FALSE(ran);
}

}  // namespace
}  // namespace segue::os
