// SPDX-License-Identifier: Apache-2.0
#include "handoff/loop_word.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <ctime>

namespace segue::handoff {

bool LoopWord::wait_while(LoopState state, uint64_t timeout_ns) {
  constexpr uint64_t kSecond = 1'000'000'000;
  timespec limit{};
  limit.tv_sec = static_cast<time_t>(timeout_ns / kSecond);
  limit.tv_nsec = static_cast<long>(timeout_ns % kSecond);
  const long outcome = syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, static_cast<uint32_t>(state),
                               timeout_ns == UINT64_MAX ? nullptr : &limit, nullptr, 0);
  return outcome == 0 || errno != ETIMEDOUT;
}

void LoopWord::wake() {
  syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
}

}  // namespace segue::handoff
