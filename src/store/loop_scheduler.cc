// SPDX-License-Identifier: Apache-2.0
#include "store/loop_scheduler.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/assert.h"

namespace segue::store {

using base::errno_error;
using base::fail;
using base::Result;

Result<std::unique_ptr<LoopScheduler>> LoopScheduler::create(os::EpollLoop& loop,
                                                             const os::Clock& clock) {
  os::UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
  if (!timer) return fail(errno_error("make a timer", errno));
  os::UniqueFd posted(::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!posted) return fail(errno_error("make an eventfd", errno));
  std::unique_ptr<LoopScheduler> scheduler(
      new LoopScheduler(loop, clock, std::move(timer), std::move(posted)));
  LoopScheduler* self = scheduler.get();
  SEGUE_TRY(loop.watch(self->timer_.get(), EPOLLIN, [self](std::uint32_t) { self->run_due(); }));
  SEGUE_TRY(loop.watch(self->posted_event_.get(), EPOLLIN,
                       [self](std::uint32_t) { self->run_posted(); }));
  return scheduler;
}

LoopScheduler::LoopScheduler(os::EpollLoop& loop, const os::Clock& clock, os::UniqueFd timer,
                             os::UniqueFd posted)
    : loop_(&loop), clock_(&clock), timer_(std::move(timer)), posted_event_(std::move(posted)) {}

LoopScheduler::~LoopScheduler() {
  loop_->unwatch(timer_.get());
  loop_->unwatch(posted_event_.get());
}

void LoopScheduler::call_at(base::MonotonicTime at, std::function<void()> call) {
  const auto added = calls_.emplace(std::pair(at, next_call_++), std::move(call)).first;
  if (added == calls_.begin()) arm();
}

void LoopScheduler::arm() {
  itimerspec setting{};  // all zero: not at all
  if (!calls_.empty()) {
    // Not 0, which would disarm it.
    const base::Duration wait = std::max(calls_.begin()->first.first - now(), base::Duration(1));
    const auto seconds = std::chrono::floor<std::chrono::seconds>(wait);
    setting.it_value.tv_sec = seconds.count();
    setting.it_value.tv_nsec = (wait - seconds).count();
  }
  SEGUE_ASSERT(::timerfd_settime(timer_.get(), 0, &setting, nullptr) == 0);
}

void LoopScheduler::run_due() {
  std::uint64_t expirations = 0;
  static_cast<void>(::read(timer_.get(), &expirations, sizeof expirations) < 0);
  const base::MonotonicTime due = now();
  const std::uint64_t first_new = next_call_;  // what a call adds has its turn next time
  auto next = calls_.begin();
  while (next != calls_.end() && next->first.first <= due) {
    const auto id = next->first;
    if (id.second < first_new) {
      const std::function<void()> call = std::move(calls_.extract(next).mapped());
      call();
    }
    next = calls_.upper_bound(id);
  }
  arm();
}

void LoopScheduler::post(std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    posted_.push_back(std::move(call));
  }
  const std::uint64_t one = 1;
  // EAGAIN: it is readable as it is.
  static_cast<void>(::write(posted_event_.get(), &one, sizeof one) < 0);
}

void LoopScheduler::run_posted() {
  std::uint64_t count = 0;
  static_cast<void>(::read(posted_event_.get(), &count, sizeof count) < 0);
  std::deque<std::function<void()>> calls;
  {
    const std::lock_guard lock(mutex_);
    calls.swap(posted_);
  }
  for (const auto& call : calls) call();
}

}  // namespace segue::store
