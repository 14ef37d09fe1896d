// SPDX-License-Identifier: Apache-2.0
#include "handoff/turns.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace segue::handoff {
namespace {

uint64_t this_thread() {
  return static_cast<uint64_t>(pthread_self());
}

// Who waits for its ticket is woken by that, not by each that is served before.
uint32_t bit_of(uint32_t ticket) {
  return uint32_t{1} << (ticket % 32);
}

}  // namespace

bool Turns::mine() const {
  return enabled_ && holder_.load(std::memory_order_relaxed) == this_thread();
}

void Turns::begin() {
  if (!enabled_) return;
  if (mine()) {
    ++depth_;
    return;
  }
  wait_for(next_ticket_.fetch_add(1));
  holder_.store(this_thread(), std::memory_order_relaxed);
  depth_ = 1;
}

void Turns::wait_for(uint32_t ticket) {
  for (uint32_t now = turn_of_.load(); now != ticket; now = turn_of_.load()) {
    syscall(SYS_futex, &turn_of_, FUTEX_WAIT_BITSET_PRIVATE, now, nullptr, nullptr, bit_of(ticket));
  }
}

void Turns::end() {
  if (!enabled_ || --depth_ > 0) return;
  holder_.store(0, std::memory_order_relaxed);
  const uint32_t next = turn_of_.fetch_add(1) + 1;
  if (next_ticket_.load() == next) return;
  syscall(SYS_futex, &turn_of_, FUTEX_WAKE_BITSET_PRIVATE, INT32_MAX, nullptr, nullptr,
          bit_of(next));
}

}  // namespace segue::handoff
