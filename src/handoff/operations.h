// SPDX-License-Identifier: Apache-2.0
// What the service has set going and libsegue cannot see: counted by the service, awaited before a
// freeze.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {
class Operations;
}

struct segue_operations {
  segue::handoff::Operations* all = nullptr;
  std::string name;
  segue_operations_ops ops{};
  void* user = nullptr;
  std::atomic<int64_t> in_flight = 0;
};

namespace segue::handoff {

class Operations {
 public:
  Status open(const std::string& name, const segue_operations_ops& ops, void* user,
              segue_operations*& operations);
  [[nodiscard]] bool has(const std::string& name) const;

  // Any thread.
  static void add(segue_operations& operations, int64_t change);

  [[nodiscard]] bool in_flight() const;
  // "3 operations in flight (ring), 1 (pool)".
  [[nodiscard]] std::string describe() const;

  // Asks the service to begin no more; ended_fd() becomes readable as they end.
  void drain();
  // Ends that, if it was asked.
  void go_on();

  // -1 while nothing is declared.
  [[nodiscard]] int ended_fd() const { return ended_.get(); }
  void drain_ended();

 private:
  std::vector<std::unique_ptr<segue_operations>> all_;
  UniqueFd ended_;
  std::atomic<bool> draining_ = false;
};

// True if the descriptor is a ring of io_uring, which belongs to one process.
bool is_io_uring(int fd);

}  // namespace segue::handoff
