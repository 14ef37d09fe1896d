// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "base/time.h"
#include "cli/output.h"
#include "os/clock.h"

namespace segue::cli {

// "[######....] storing  120 MiB of 192 MiB  40 MiB/s  2 s left". A total of 0 is not known.
std::string work_line(const std::string& doing, std::uint64_t done_bytes, std::uint64_t total_bytes,
                      base::Duration elapsed);

// Shows how far long work has come: one line that changes on a terminal, a line now and then
// elsewhere, nothing with --json. One thread at a time.
class WorkDisplay {
 public:
  // Both outlive it.
  WorkDisplay(Output& output, const os::Clock& clock) : output_(output), clock_(clock) {}
  ~WorkDisplay() { output_.end_live(); }
  WorkDisplay(const WorkDisplay&) = delete;
  WorkDisplay& operator=(const WorkDisplay&) = delete;

  // As often as one likes.
  void show(const std::string& doing, std::uint64_t done_bytes, std::uint64_t total_bytes);

 private:
  Output& output_;
  const os::Clock& clock_;
  std::string doing_;
  base::MonotonicTime began_{};
  base::MonotonicTime shown_{};
};

}  // namespace segue::cli
