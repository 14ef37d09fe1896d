// SPDX-License-Identifier: Apache-2.0
#include "os/epoll_loop.h"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "base/assert.h"

namespace segue::os {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxEventsPerWait = 64;
constexpr base::Duration kMaxWait = std::chrono::hours(1);

std::uint64_t tag_of(int fd, std::uint32_t generation) {
  return std::uint64_t{generation} << 32U | static_cast<std::uint32_t>(fd);
}

int to_epoll_timeout_ms(base::Duration wait) {
  return static_cast<int>(
      std::chrono::ceil<std::chrono::milliseconds>(std::clamp(wait, base::Duration(0), kMaxWait))
          .count());
}

}  // namespace

Result<EpollLoop> EpollLoop::create(const Clock& clock) {
  UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail(errno_error("make an epoll instance", errno));
  return EpollLoop(clock, std::move(epoll));
}

Result<void> EpollLoop::watch(int fd, std::uint32_t events, OnReady on_ready) {
  if (watches_.size() >= kMaxWatches) {
    return fail(ErrorCode::resource_exhausted, "the event loop watches {} descriptors already",
                kMaxWatches);
  }
  const auto [entry, is_new] = watches_.try_emplace(fd);
  SEGUE_ASSERT(is_new);
  entry->second = std::make_shared<Watch>(Watch{next_generation_++, std::move(on_ready)});
  auto added = control(EPOLL_CTL_ADD, fd, events);
  if (!added) watches_.erase(entry);
  return added;
}

Result<void> EpollLoop::change(int fd, std::uint32_t events) {
  return control(EPOLL_CTL_MOD, fd, events);
}

void EpollLoop::unwatch(int fd) {
  if (watches_.erase(fd) == 0) return;
  ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

Result<void> EpollLoop::control(int operation, int fd, std::uint32_t events) {
  const auto found = watches_.find(fd);
  SEGUE_ASSERT(found != watches_.end());
  epoll_event event{};
  event.events = events;
  event.data.u64 = tag_of(fd, found->second->generation);
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) == 0) return {};
  return fail(errno_error(fmt::format("watch descriptor {}", fd), errno));
}

Result<EpollLoop::TimerId> EpollLoop::call_at(base::MonotonicTime at, OnTime on_time) {
  if (timers_.size() >= kMaxTimers) {
    return fail(ErrorCode::resource_exhausted, "the event loop has {} timers already", kMaxTimers);
  }
  const TimerId timer{.at = at, .sequence = next_sequence_++};
  timers_.emplace(timer, std::move(on_time));
  return timer;
}

bool EpollLoop::cancel(TimerId timer) {
  return timers_.erase(timer) > 0;
}

Result<void> EpollLoop::run_once(base::Duration max_wait) {
  base::Duration wait = max_wait;
  if (!timers_.empty()) {
    wait = std::min(wait, timers_.begin()->first.at - clock_->monotonic_now());
  }
  std::array<epoll_event, kMaxEventsPerWait> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()),
                                 to_epoll_timeout_ms(wait));
  if (count < 0 && errno != EINTR) return fail(errno_error("wait for events", errno));
  for (std::size_t i = 0; count > 0 && i < static_cast<std::size_t>(count); ++i) {
    dispatch(events.at(i).data.u64, events.at(i).events);
  }
  run_due_timers();
  return {};
}

Result<void> EpollLoop::run() {
  stopped_ = false;
  while (!stopped_) SEGUE_TRY(run_once(kMaxWait));
  return {};
}

void EpollLoop::dispatch(std::uint64_t tag, std::uint32_t events) {
  const auto found = watches_.find(static_cast<int>(tag & 0xFFFFFFFFU));
  if (found == watches_.end() || found->second->generation != tag >> 32U) return;
  const auto watch = found->second;  // keeps the callback alive while it unwatches itself
  watch->on_ready(events);
}

void EpollLoop::run_due_timers() {
  const base::MonotonicTime now = clock_->monotonic_now();
  const std::uint64_t first_new = next_sequence_;  // what a timer adds has its turn next time
  auto next = timers_.begin();
  while (next != timers_.end() && next->first.at <= now) {
    const TimerId id = next->first;
    if (id.sequence < first_new) {
      const OnTime on_time = std::move(timers_.extract(next).mapped());
      on_time();
    }
    next = timers_.upper_bound(id);  // the callback may have changed the rest
  }
}

}  // namespace segue::os
