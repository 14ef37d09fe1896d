// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <unordered_map>
#include <vector>

#include "handoff/unique_fd.h"

namespace segue::handoff {

// The descriptors behind segue_fd(): an epoll instance with a handler each, one timer, and a flag
// for work that is due now.
class Poller {
 public:
  Poller();
  [[nodiscard]] bool valid() const { return epoll_.valid() && timer_.valid() && wake_.valid(); }
  [[nodiscard]] int fd() const { return epoll_.get(); }
  [[nodiscard]] std::vector<int> own_fds() const {
    return {epoll_.get(), timer_.get(), wake_.get()};
  }

  void watch(int fd, uint32_t events, std::function<void()> handler);
  // Only if `fd` is watched and the events differ.
  void change(int fd, uint32_t events);
  void forget(int fd);

  // Makes fd() readable at this time (monotonic, ns); UINT64_MAX: not.
  void set_timer(uint64_t at_ns);
  // Keeps fd() readable until wake(false).
  void wake(bool on);

  // Runs the handlers that are due, each at most a few times.
  void run();

 private:
  struct Watch {
    uint32_t events = 0;
    std::function<void()> handler;
  };
  UniqueFd epoll_;
  UniqueFd timer_;
  UniqueFd wake_;
  uint64_t timer_at_ = UINT64_MAX;
  bool awake_ = false;
  std::unordered_map<int, std::shared_ptr<Watch>> watches_;
};

}  // namespace segue::handoff
