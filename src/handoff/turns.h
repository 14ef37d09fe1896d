// SPDX-License-Identifier: Apache-2.0
// The turns of a service's event loops, one after the other while a successor records what it does:
// first come, first served, so that no loop waits for longer than one turn of each other.
#pragma once

#include <atomic>
#include <cstdint>

namespace segue::handoff {

class Turns {
 public:
  // Several threads will have turns, from now on. Before the other threads begin.
  void enable() { enabled_ = true; }
  [[nodiscard]] bool enabled() const { return enabled_; }

  // Waits for this thread's turn. A turn begun within a turn is part of it.
  void begin();
  void end();
  // Whether this thread is in a turn.
  [[nodiscard]] bool mine() const;

  class Held {
   public:
    explicit Held(Turns& turns) : turns_(turns) { turns_.begin(); }
    ~Held() { turns_.end(); }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;

   private:
    Turns& turns_;
  };

 private:
  void wait_for(uint32_t ticket);

  bool enabled_ = false;
  std::atomic<uint32_t> next_ticket_ = 0;
  std::atomic<uint32_t> turn_of_ = 0;
  std::atomic<uint64_t> holder_ = 0;  // a thread
  uint32_t depth_ = 0;                // the holder's
};

}  // namespace segue::handoff
