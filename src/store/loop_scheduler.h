// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <utility>

#include "base/error.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/unique_fd.h"
#include "store/scheduler.h"

namespace segue::store {

// On an event loop, in real time: one timerfd(2) for all. Loop and clock outlive it; it is
// not destroyed by what it calls.
class LoopScheduler final : public Scheduler {
 public:
  static base::Result<std::unique_ptr<LoopScheduler>> create(os::EpollLoop& loop,
                                                             const os::Clock& clock);
  ~LoopScheduler() override;

  [[nodiscard]] base::MonotonicTime now() const override { return clock_->monotonic_now(); }
  void call_at(base::MonotonicTime at, std::function<void()> call) override;
  // From any thread: runs on the loop's, in the order of the calls.
  void post(std::function<void()> call);

 private:
  LoopScheduler(os::EpollLoop& loop, const os::Clock& clock, os::UniqueFd timer,
                os::UniqueFd posted);
  void arm();
  void run_due();
  void run_posted();

  os::EpollLoop* loop_;
  const os::Clock* clock_;
  os::UniqueFd timer_;
  std::map<std::pair<base::MonotonicTime, std::uint64_t>, std::function<void()>> calls_;
  std::uint64_t next_call_ = 0;
  os::UniqueFd posted_event_;
  std::mutex mutex_;
  std::deque<std::function<void()>> posted_;  // guarded by mutex_
};

}  // namespace segue::store
