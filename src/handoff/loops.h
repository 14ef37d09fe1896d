// SPDX-License-Identifier: Apache-2.0
// The service's event loops beside that of the instance's thread, and how the instance's thread
// borrows them: one at a time in the background, all at once at the barrier before a freeze.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "handoff/loop_word.h"
#include "handoff/status.h"
#include "handoff/turns.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {
class Loops;

// 0 is the instance's own thread; the loops follow in the order of their declaration.
using LoopNumber = uint32_t;
inline constexpr LoopNumber kInstanceThread = 0;

}  // namespace segue::handoff

struct segue_loop {
  segue::handoff::Loops* loops = nullptr;
  std::string name;
  segue::handoff::LoopNumber number = 0;
  segue::handoff::UniqueFd fd;  // readable: there is something to dispatch
  // Until the first activation, nothing may happen in a loop.
  segue::handoff::LoopWord word{segue::handoff::LoopState::taken};
  uint64_t patience_ns = 0;  // the loop's thread's

  // On the loop's thread: waits while the loop is lent.
  int dispatch();
};

namespace segue::handoff {

class Loops {
 public:
  // An offer that is not taken so soon is withdrawn; the time doubles with each withdrawal up to
  // `longest`, so that a slow instance's thread gets its turn in the end.
  struct Patience {
    uint64_t first_ns = 0;
    uint64_t longest_ns = 0;
  };
  explicit Loops(Patience patience) : patience_(patience) {}

  // Before the loops' threads begin. The descriptors may be short.
  Status open(const std::string& name, segue_loop*& loop);
  [[nodiscard]] const Patience& patience() const { return patience_; }

  [[nodiscard]] LoopNumber count() const { return static_cast<LoopNumber>(loops_.size()); }
  [[nodiscard]] const std::string& name(LoopNumber loop) const { return at(loop).name; }
  // Whether the instance's thread may touch what belongs to it.
  [[nodiscard]] bool holds(LoopNumber loop) const {
    return loop == kInstanceThread || at(loop).word.look() == LoopState::taken;
  }
  [[nodiscard]] bool has(const std::string& name) const;

  // Readable when a loop has offered itself; -1 while there are no loops.
  [[nodiscard]] int offers_fd() const { return offers_.get(); }
  void drain_offers();

  // Takes it if it has offered itself; otherwise asks it to.
  bool borrow(LoopNumber loop);
  void give_back(LoopNumber loop);
  void give_all_back();
  // Takes no notice of offers that nobody waits for any more.
  void decline_offers();

  // The barrier: all loops at their request boundary, held. False if one has not arrived by then:
  // none is held, and `missing` names it.
  bool gather(uint64_t deadline_ns, std::string& missing);
  // Asked, and not at its boundary since.
  [[nodiscard]] bool is_late() const;
  [[nodiscard]] std::string late_names() const;

  // Each loop's next dispatch says that it is over.
  void end_all();

  [[nodiscard]] Turns& turns() { return turns_; }

  // On a loop's thread.
  void announce_offer();

 private:
  [[nodiscard]] segue_loop& at(LoopNumber loop) const { return *loops_[loop - 1]; }
  void ask(segue_loop& loop);
  bool take_all();

  Patience patience_;
  Turns turns_;
  std::vector<std::unique_ptr<segue_loop>> loops_;
  UniqueFd offers_;
};

}  // namespace segue::handoff
