// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::keeper {

// Asks another keeper program, in a child of its own, whether it can go on from a state. At the
// time limit the child is killed and the answer is no.
class Replacement {
 public:
  static constexpr base::Duration kLimit = std::chrono::seconds(10);
  static constexpr std::size_t kMaxAnswerBytes = 1'024;

  struct Checked {
    bool good = false;
    std::string text;  // what the program says of itself, or why it cannot
  };
  using OnChecked = std::function<void(const Checked&)>;

  // `loop` and `clock` outlive it.
  Replacement(os::EpollLoop& loop, const os::Clock& clock, std::string program,
              OnChecked on_checked)
      : loop_(loop),
        clock_(clock),
        program_(std::move(program)),
        on_checked_(std::move(on_checked)) {}
  ~Replacement();
  Replacement(const Replacement&) = delete;
  Replacement& operator=(const Replacement&) = delete;

  [[nodiscard]] const std::string& program() const { return program_; }
  // An error: it was not started, and on_checked is not called. Otherwise that is called once,
  // from the loop; it may destroy this object.
  base::Result<void> start(const std::string& state, const std::vector<std::string>& environment);

 private:
  void ended();
  void timed_out();
  void release();

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  std::string program_;
  OnChecked on_checked_;
  std::optional<os::EpollLoop::TimerId> timer_;
  os::Child child_;
  os::UniqueFd answer_;
};

}  // namespace segue::keeper
