// SPDX-License-Identifier: Apache-2.0
#include "handoff/loops.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <algorithm>
#include <ctime>

#include "handoff/clock.h"

namespace {

void signal_event(int fd) {
  const uint64_t one = 1;
  (void)!write(fd, &one, sizeof one);
}

void drain_event(int fd) {
  uint64_t count = 0;
  (void)!read(fd, &count, sizeof count);
}

}  // namespace

int segue_loop::dispatch() {
  using segue::handoff::LoopState;
  drain_event(fd.get());
  while (true) {
    switch (word.look()) {
      case LoopState::running:
        return SEGUE_OK;
      case LoopState::asked:
        if (word.offer()) loops->announce_offer();
        break;
      case LoopState::offered:
        if (word.wait_while(LoopState::offered, patience_ns) || !word.withdraw()) break;
        patience_ns = std::min(patience_ns * 2, loops->patience().longest_ns);
        return SEGUE_OK;
      case LoopState::taken:
        patience_ns = loops->patience().first_ns;
        word.wait_while(LoopState::taken, UINT64_MAX);
        break;
      case LoopState::ended:
        signal_event(fd.get());  // for a thread that does not heed it at once
        return SEGUE_GONE;
    }
  }
}

namespace segue::handoff {

Status Loops::open(const std::string& name, segue_loop*& loop) {
  if (!offers_.valid()) offers_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  auto made = std::make_unique<segue_loop>();
  // Readable from the start: a thread that polls before its first dispatch comes to wait there.
  made->fd.reset(eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!offers_.valid() || !made->fd.valid()) {
    return Status::system("opening an event descriptor for loop " + name);
  }
  made->loops = this;
  made->name = name;
  made->number = count() + 1;
  made->patience_ns = patience_.first_ns;
  loops_.push_back(std::move(made));
  loop = loops_.back().get();
  turns_.enable();
  return Status::good();
}

bool Loops::has(const std::string& name) const {
  return std::any_of(loops_.begin(), loops_.end(),
                     [&](const auto& loop) { return loop->name == name; });
}

void Loops::drain_offers() {
  drain_event(offers_.get());
}

void Loops::announce_offer() {
  signal_event(offers_.get());
}

void Loops::ask(segue_loop& loop) {
  if (loop.word.ask()) signal_event(loop.fd.get());
}

bool Loops::borrow(LoopNumber loop) {
  segue_loop& wanted = at(loop);
  if (wanted.word.take()) return true;
  ask(wanted);
  return false;
}

void Loops::give_back(LoopNumber loop) {
  if (loop == kInstanceThread) return;
  segue_loop& held = at(loop);
  if (held.word.give_back()) held.word.wake();
}

void Loops::give_all_back() {
  for (LoopNumber loop = 1; loop <= count(); ++loop) give_back(loop);
}

void Loops::decline_offers() {
  for (const auto& loop : loops_) {
    if (loop->word.take()) give_back(loop->number);
  }
}

bool Loops::take_all() {
  bool all = true;
  for (const auto& loop : loops_) {
    if (loop->word.look() == LoopState::taken || loop->word.take()) continue;
    ask(*loop);  // for the first time, or because its offer was not seen in time
    all = false;
  }
  return all;
}

bool Loops::gather(uint64_t deadline_ns, std::string& missing) {
  while (!take_all()) {
    const uint64_t now = monotonic_ns();
    if (now >= deadline_ns) {
      missing = late_names();
      if (missing.empty()) missing = "a loop";  // it has offered itself since
      give_all_back();
      return false;
    }
    constexpr uint64_t kSecond = 1'000'000'000;
    const uint64_t left = deadline_ns - now;
    const timespec timeout{static_cast<time_t>(left / kSecond), static_cast<long>(left % kSecond)};
    pollfd entry{offers_.get(), POLLIN, 0};
    if (ppoll(&entry, 1, &timeout, nullptr) == 1) drain_offers();
  }
  return true;
}

bool Loops::is_late() const {
  return std::any_of(loops_.begin(), loops_.end(),
                     [](const auto& loop) { return loop->word.look() == LoopState::asked; });
}

std::string Loops::late_names() const {
  std::string names;
  for (const auto& loop : loops_) {
    if (loop->word.look() != LoopState::asked) continue;
    names += (names.empty() ? "loop " : ", ") + loop->name;
  }
  return names;
}

void Loops::end_all() {
  for (const auto& loop : loops_) {
    loop->word.end();
    loop->word.wake();
    signal_event(loop->fd.get());
  }
}

}  // namespace segue::handoff
