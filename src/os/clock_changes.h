// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "base/error.h"
#include "os/unique_fd.h"

namespace segue::os {

// Readable after somebody has set the time of day, or after the host has slept (timerfd_create(2),
// TFD_TIMER_CANCEL_ON_SET).
class ClockChanges {
 public:
  static base::Result<ClockChanges> watch();

  [[nodiscard]] int fd() const { return timer_.get(); }
  // Makes it wait for the next change.
  void acknowledge();

 private:
  explicit ClockChanges(UniqueFd timer) : timer_(std::move(timer)) {}
  [[nodiscard]] base::Result<void> arm() const;

  UniqueFd timer_;
};

}  // namespace segue::os
