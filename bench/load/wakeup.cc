// SPDX-License-Identifier: Apache-2.0
#include "load/wakeup.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <new>

#include "os/clock.h"
#include "os/unique_fd.h"

namespace segue::load {
namespace {

// Not a multiple of the load's own tick, so that the two do not march in step.
constexpr base::Duration kInterval = std::chrono::microseconds(2'003);

timespec to_timespec(base::Duration duration) {
  return {.tv_sec = duration.count() / 1'000'000'000, .tv_nsec = duration.count() % 1'000'000'000};
}

}  // namespace

// Each histogram has one writer. A restart asks by number; the writer clears its own.
struct WakeupControl::Shared {
  std::atomic<bool> stop{false};
  std::atomic<unsigned> restarts{0};
  Histogram pipe;
  Histogram timer;
};

namespace {

template <class Shared>
[[noreturn]] void run_ticker(Shared& shared, int write_end) {
  const os::SystemClock clock;
  const os::UniqueFd timer(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
  unsigned restarts = 0;
  base::MonotonicTime due = clock.monotonic_now();
  while (!shared.stop) {
    due += kInterval;
    const itimerspec at{.it_interval = {}, .it_value = to_timespec(due.time_since_epoch())};
    std::uint64_t expirations = 0;
    if (::timerfd_settime(timer.get(), TFD_TIMER_ABSTIME, &at, nullptr) != 0 ||
        ::read(timer.get(), &expirations, sizeof expirations) != sizeof expirations) {
      ::_exit(1);
    }
    if (restarts != shared.restarts) {
      restarts = shared.restarts;
      shared.timer = Histogram();
    }
    const base::MonotonicTime now = clock.monotonic_now();
    shared.timer.record(now - due);
    if (::write(write_end, &now, sizeof now) != sizeof now) ::_exit(1);
    if (now - due > kInterval) due = now;
  }
  ::_exit(0);
}

template <class Shared>
[[noreturn]] void run_receiver(Shared& shared, int read_end) {
  const os::SystemClock clock;
  unsigned restarts = 0;
  base::MonotonicTime sent;
  while (::read(read_end, &sent, sizeof sent) == sizeof sent) {
    const base::MonotonicTime now = clock.monotonic_now();
    if (restarts != shared.restarts) {
      restarts = shared.restarts;
      shared.pipe = Histogram();
    }
    shared.pipe.record(now - sent);
  }
  ::_exit(0);
}

}  // namespace

WakeupControl::~WakeupControl() {
  stop();
  if (shared_ != nullptr) ::munmap(shared_, sizeof(Shared));
}

base::Result<void> WakeupControl::start() {
  void* memory =
      ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(base::errno_error("map the wake-up control", errno));
  shared_ = new (memory) Shared();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return fail(base::errno_error("make a pipe", errno));
  const os::UniqueFd read_end(ends[0]);
  os::UniqueFd write_end(ends[1]);

  ticker_ = ::fork();
  if (ticker_ < 0) return fail(base::errno_error("fork the wake-up ticker", errno));
  if (ticker_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    run_ticker(*shared_, write_end.get());
  }
  receiver_ = ::fork();
  if (receiver_ < 0) return fail(base::errno_error("fork the wake-up receiver", errno));
  if (receiver_ == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    write_end.reset();
    run_receiver(*shared_, read_end.get());
  }
  return {};
}

void WakeupControl::stop() {
  if (shared_ != nullptr) shared_->stop = true;
  // The ticker's end closes the pipe, which ends the receiver.
  for (pid_t* pid : {&ticker_, &receiver_}) {
    if (*pid > 0) ::waitpid(*pid, nullptr, 0);
    *pid = -1;
  }
}

void WakeupControl::restart() const {
  if (shared_ != nullptr) ++shared_->restarts;
}

WakeupControl::Result WakeupControl::result() const {
  return shared_ == nullptr ? Result{} : Result{.pipe = shared_->pipe, .timer = shared_->timer};
}

}  // namespace segue::load
