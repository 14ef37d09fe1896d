// SPDX-License-Identifier: Apache-2.0
// Watches a predecessor end after the commit, where no keeper does. It ends at low priority: on a
// saturated host that takes its time, which is said after a second and helped after ten.
#pragma once

#include <cstdint>
#include <string>

#include "handoff/unique_fd.h"

namespace segue::handoff {

class Departure {
 public:
  Departure(UniqueFd predecessor_pidfd, uint64_t now);

  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  [[nodiscard]] bool over() const { return over_; }
  [[nodiscard]] uint64_t since() const { return since_; }
  [[nodiscard]] uint64_t deadline() const;

  // What a person should know now, usually nothing.
  std::string on_time(uint64_t now);
  // The pidfd is readable.
  void on_death();

 private:
  enum class Next { report, raise, nothing };

  std::string report() const;
  std::string raise() const;

  UniqueFd pidfd_;
  uint64_t since_;
  Next next_ = Next::report;
  bool over_ = false;
};

}  // namespace segue::handoff
