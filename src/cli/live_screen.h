// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <termios.h>

#include <cstddef>
#include <optional>
#include <string>

#include "os/unique_fd.h"

namespace segue::cli {

// Signals that end, suspend or resize what watches, as something to wait for. One object at a time,
// in a process of one thread; until its end these signals do nothing by themselves.
class WatchSignals {
 public:
  enum class Kind { none, end, suspend, resize };

  WatchSignals();
  ~WatchSignals();
  WatchSignals(const WatchSignals&) = delete;
  WatchSignals& operator=(const WatchSignals&) = delete;

  // The next one, after `pause_ms` at most. `end` is never forgotten: it is told again and again.
  Kind wait(int pause_ms);
  [[nodiscard]] bool has_to_end();  // without waiting; the others are kept for wait()
  void suspend();                   // until somebody continues the process

 private:
  void take_all();

  os::UniqueFd fd_;
  bool ends_ = false;
  bool suspends_ = false;
  bool resized_ = false;
};

// The second screen of the terminal at stdout, which is as it was before when this ends. Typed keys
// are not shown meanwhile.
class LiveScreen {
 public:
  LiveScreen() = default;
  ~LiveScreen() { close(); }
  LiveScreen(const LiveScreen&) = delete;
  LiveScreen& operator=(const LiveScreen&) = delete;

  struct Size {
    std::size_t columns = 80;
    std::size_t rows = 24;
  };
  [[nodiscard]] static Size size();

  // In the place of what was drawn before; each line fits.
  void draw(const std::vector<std::string>& lines);
  void close();  // draw() opens it again

 private:
  void open();

  bool is_open_ = false;
  std::optional<termios> input_;  // as it was
};

}  // namespace segue::cli
