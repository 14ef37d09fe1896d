// SPDX-License-Identifier: Apache-2.0
#include "handoff/poller.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

namespace segue::handoff {

Poller::Poller()
    : epoll_(epoll_create1(EPOLL_CLOEXEC)),
      timer_(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!valid()) return;
  const auto drain = [](int fd) {
    uint64_t count = 0;
    (void)!read(fd, &count, sizeof count);
  };
  watch(timer_.get(), EPOLLIN, [this, drain] {
    drain(timer_.get());
    timer_at_ = UINT64_MAX;
  });
  watch(wake_.get(), EPOLLIN, [this, drain] {
    drain(wake_.get());
    awake_ = false;
  });
}

void Poller::watch(int fd, uint32_t events, std::function<void()> handler) {
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  watches_[fd] = std::make_shared<Watch>(Watch{events, std::move(handler)});
  if (epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
  }
}

void Poller::change(int fd, uint32_t events) {
  const auto found = watches_.find(fd);
  if (found == watches_.end() || found->second->events == events) return;
  found->second->events = events;
  epoll_event event{};
  event.events = events;
  event.data.fd = fd;
  epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, fd, &event);
}

void Poller::forget(int fd) {
  if (watches_.erase(fd) == 0) return;
  epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
}

void Poller::set_timer(uint64_t at_ns) {
  if (at_ns == timer_at_) return;
  timer_at_ = at_ns;
  itimerspec when{};
  if (at_ns != UINT64_MAX) {
    when.it_value.tv_sec = static_cast<time_t>(at_ns / 1'000'000'000U);
    when.it_value.tv_nsec = static_cast<long>(at_ns % 1'000'000'000U);
    if (at_ns == 0) when.it_value.tv_nsec = 1;  // 0 would disarm it
  }
  timerfd_settime(timer_.get(), TFD_TIMER_ABSTIME, &when, nullptr);
}

void Poller::wake(bool on) {
  if (on == awake_) return;
  awake_ = on;
  uint64_t one = 1;
  if (on) {
    (void)!write(wake_.get(), &one, sizeof one);
  } else {
    (void)!read(wake_.get(), &one, sizeof one);
  }
}

void Poller::run() {
  // One event at a time: a handler may forget descriptors, its own included.
  constexpr int kMaxEvents = 32;
  for (int i = 0; i < kMaxEvents; ++i) {
    epoll_event event{};
    if (epoll_wait(epoll_.get(), &event, 1, 0) != 1) return;
    const auto found = watches_.find(event.data.fd);
    if (found == watches_.end()) continue;
    const std::shared_ptr<Watch> watch = found->second;
    watch->handler();
  }
}

}  // namespace segue::handoff
