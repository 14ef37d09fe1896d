// SPDX-License-Identifier: Apache-2.0
#include "os/epoll_loop.h"

#include <gtest/gtest.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include <chrono>
#include <string>
#include <vector>

#include "os/clock.h"

namespace segue::os {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;

class EpollLoopTest : public testing::Test {
 protected:
  // A descriptor that is ready to be read.
  static UniqueFd ready() { return UniqueFd(::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK)); }

  EpollLoop::TimerId after(base::Duration delay, EpollLoop::OnTime on_time) {
    return loop_.call_at(clock_.monotonic_now() + delay, std::move(on_time)).value();
  }
  void run_once() { ASSERT_TRUE(loop_.run_once(0s)); }

  ManualClock clock_;
  EpollLoop loop_ = EpollLoop::create(clock_).value();
  std::string calls_;
};

TEST_F(EpollLoopTest, calls_back_for_ready_descriptors_only) {
  const UniqueFd yes = ready();
  const UniqueFd no(::eventfd(0, EFD_CLOEXEC));
  ASSERT_TRUE(loop_.watch(yes.get(), EPOLLIN, [&](std::uint32_t events) {
    EXPECT_EQ(events, EPOLLIN);
    calls_ += "y";
  }));
  ASSERT_TRUE(loop_.watch(no.get(), EPOLLIN, [&](std::uint32_t) { calls_ += "n"; }));
  run_once();
  run_once();
  EXPECT_EQ(calls_, "yy");
}

TEST_F(EpollLoopTest, changes_what_it_waits_for) {
  const UniqueFd fd = ready();
  ASSERT_TRUE(loop_.watch(fd.get(), 0, [&](std::uint32_t) { calls_ += "x"; }));
  run_once();
  EXPECT_EQ(calls_, "");
  ASSERT_TRUE(loop_.change(fd.get(), EPOLLIN));
  run_once();
  EXPECT_EQ(calls_, "x");
}

TEST_F(EpollLoopTest, a_callback_may_unwatch_itself_and_others_that_are_ready) {
  const UniqueFd first = ready();
  const UniqueFd second = ready();
  const auto unwatch_both = [&](std::uint32_t) {
    loop_.unwatch(first.get());
    loop_.unwatch(second.get());
    calls_ += "x";  // its captures are still alive
  };
  ASSERT_TRUE(loop_.watch(first.get(), EPOLLIN, unwatch_both));
  ASSERT_TRUE(loop_.watch(second.get(), EPOLLIN, unwatch_both));
  run_once();
  run_once();
  EXPECT_EQ(calls_, "x");
}

TEST_F(EpollLoopTest, an_event_for_a_closed_descriptor_does_not_reach_the_next_with_its_number) {
  UniqueFd first = ready();
  UniqueFd second = ready();
  const auto replace = [&](UniqueFd& other) {
    return [&](std::uint32_t) {
      const int number = other.get();
      loop_.unwatch(number);
      other = UniqueFd(::eventfd(0, EFD_CLOEXEC));  // not ready
      if (other.get() != number) other = UniqueFd(::dup2(other.get(), number));
      ASSERT_TRUE(loop_.watch(number, EPOLLIN, [&](std::uint32_t) { calls_ += "stale"; }));
      calls_ += "x";
    };
  };
  ASSERT_TRUE(loop_.watch(first.get(), EPOLLIN, replace(second)));
  ASSERT_TRUE(loop_.watch(second.get(), EPOLLIN, replace(first)));
  run_once();
  EXPECT_EQ(calls_, "x");
}

TEST_F(EpollLoopTest, timers_run_when_due_in_the_order_of_their_times) {
  after(2ms, [&] { calls_ += "2"; });
  after(1ms, [&] { calls_ += "1"; });
  after(1ms, [&] { calls_ += "1"; });
  after(3ms, [&] { calls_ += "3"; });
  run_once();
  EXPECT_EQ(calls_, "");
  clock_.advance(2ms);
  run_once();
  EXPECT_EQ(calls_, "112");
}

TEST_F(EpollLoopTest, a_cancelled_timer_does_not_run_not_even_when_due) {
  const auto last = after(2ms, [&] { calls_ += "never"; });
  after(1ms, [&] {
    EXPECT_TRUE(loop_.cancel(last));
    EXPECT_FALSE(loop_.cancel(last));
  });
  clock_.advance(2ms);
  run_once();
  EXPECT_EQ(calls_, "");
}

TEST_F(EpollLoopTest, a_timer_that_starts_itself_again_at_once_does_not_hold_up_the_loop) {
  EpollLoop::OnTime again = [&] {
    calls_ += "x";
    after(0ms, again);
  };
  after(0ms, again);
  run_once();
  EXPECT_EQ(calls_, "x");
  run_once();
  EXPECT_EQ(calls_, "xx");
}

TEST_F(EpollLoopTest, refuses_more_timers_than_its_bound) {
  for (std::size_t i = 0; i < EpollLoop::kMaxTimers; ++i) after(1s, [] {});
  EXPECT_EQ(loop_.call_at(clock_.monotonic_now(), [] {}).error().code(),
            ErrorCode::resource_exhausted);
}

TEST_F(EpollLoopTest, reports_a_descriptor_that_cannot_be_watched_and_forgets_it) {
  const UniqueFd file(::open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
  EXPECT_FALSE(loop_.watch(file.get(), EPOLLIN, [](std::uint32_t) {}));
  EXPECT_FALSE(loop_.watch(file.get(), EPOLLIN, [](std::uint32_t) {}));
}

TEST(EpollLoop, waits_for_a_timer_of_the_system_clock_and_stops) {
  const SystemClock clock;
  auto loop = EpollLoop::create(clock).value();
  const auto due = clock.monotonic_now() + 5ms;
  ASSERT_TRUE(loop.call_at(due, [&] { loop.stop(); }));
  ASSERT_TRUE(loop.run());
  EXPECT_GE(clock.monotonic_now(), due);
}

}  // namespace
}  // namespace segue::os
