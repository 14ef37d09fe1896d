// SPDX-License-Identifier: Apache-2.0
// Who may touch what is bound to one of the service's event loops: one word, changed by
// compare-and-swap only.
#pragma once

#include <atomic>
#include <cstdint>

namespace segue::handoff {

enum class LoopState : uint32_t {
  running,  // the loop's thread
  asked,    // the loop's thread; it is to stop at its next request boundary
  offered,  // nobody: the loop's thread waits to be taken, or withdraws
  taken,    // the instance's thread; the loop's thread waits
  ended     // nobody any more
};

class LoopWord {
 public:
  explicit LoopWord(LoopState state = LoopState::taken) : word_(static_cast<uint32_t>(state)) {}

  [[nodiscard]] LoopState look() const {
    return static_cast<LoopState>(word_.load(std::memory_order_acquire));
  }

  // The instance's thread. Each returns whether it changed the state.
  bool ask() { return change(LoopState::running, LoopState::asked); }
  bool take() { return change(LoopState::offered, LoopState::taken); }
  bool give_back() { return change(LoopState::taken, LoopState::running); }
  void end() { word_.store(static_cast<uint32_t>(LoopState::ended), std::memory_order_release); }

  // The loop's thread, likewise.
  bool offer() { return change(LoopState::asked, LoopState::offered); }
  bool withdraw() { return change(LoopState::offered, LoopState::running); }

  // Waits until the state is another than `state`, or `timeout_ns` have passed (UINT64_MAX: no
  // limit). False when they have. It may return early.
  bool wait_while(LoopState state, uint64_t timeout_ns);
  void wake();

 private:
  bool change(LoopState from, LoopState to) {
    auto expected = static_cast<uint32_t>(from);
    return word_.compare_exchange_strong(expected, static_cast<uint32_t>(to),
                                         std::memory_order_acq_rel, std::memory_order_acquire);
  }

  std::atomic<uint32_t> word_;
};

}  // namespace segue::handoff
