// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

namespace segue::handoff {

// A mutex that costs one branch until the service has told that it has several threads.
class Guard {
 public:
  // Before the other threads begin.
  void enable() { enabled_ = true; }
  void lock() {
    if (enabled_) mutex_.lock();
  }
  void unlock() {
    if (enabled_) mutex_.unlock();
  }

 private:
  bool enabled_ = false;
  std::mutex mutex_;
};

using Guarded = std::lock_guard<Guard>;

}  // namespace segue::handoff
