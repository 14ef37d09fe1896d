// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <unordered_map>

#include "base/error.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/unique_fd.h"

namespace segue::os {

// An event loop for one thread: descriptors (epoll(7), level-triggered) and timers. Callbacks may
// change anything, also what they are called for. When a bound is reached the call that would pass
// it returns resource_exhausted.
class EpollLoop {
 public:
  static constexpr std::size_t kMaxWatches = 4096;
  static constexpr std::size_t kMaxTimers = 4096;

  // `clock` outlives the loop.
  static base::Result<EpollLoop> create(const Clock& clock);

  using OnReady = std::function<void(std::uint32_t events)>;  // EPOLLIN, EPOLLHUP, …
  // `fd` is borrowed: unwatch it before it is closed.
  base::Result<void> watch(int fd, std::uint32_t events, OnReady on_ready);
  base::Result<void> change(int fd, std::uint32_t events);
  // From now on its callback is not called, not even for an event that was already there.
  void unwatch(int fd);

  struct TimerId {
    base::MonotonicTime at;
    std::uint64_t sequence = 0;
    friend auto operator<=>(const TimerId&, const TimerId&) = default;
  };
  using OnTime = std::function<void()>;
  // Calls once, at `at` or soon after. Timers run in the order of their times.
  base::Result<TimerId> call_at(base::MonotonicTime at, OnTime on_time);
  // False: it has run or has been cancelled before.
  bool cancel(TimerId timer);

  // Waits for something to happen, at most `max_wait`; then calls back what is due, each at most
  // once.
  base::Result<void> run_once(base::Duration max_wait);
  // Until stop() is called from a callback.
  base::Result<void> run();
  void stop() { stopped_ = true; }

 private:
  struct Watch {
    std::uint32_t generation;  // tells a descriptor from a closed one that had its number
    OnReady on_ready;
  };

  EpollLoop(const Clock& clock, UniqueFd epoll) : clock_(&clock), epoll_(std::move(epoll)) {}
  base::Result<void> control(int operation, int fd, std::uint32_t events);
  void dispatch(std::uint64_t tag, std::uint32_t events);
  void run_due_timers();

  const Clock* clock_;
  UniqueFd epoll_;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
  std::map<TimerId, OnTime> timers_;
  std::uint32_t next_generation_ = 0;
  std::uint64_t next_sequence_ = 0;
  bool stopped_ = false;
};

}  // namespace segue::os
