// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "handoff/frame.h"
#include "handoff/owner_page.h"
#include "segue/segue.h"

namespace segue::handoff {

inline constexpr uint64_t kMillisecond = 1'000'000;
inline constexpr uint64_t kMicrosecond = 1'000;
inline constexpr uint64_t kNever = UINT64_MAX;

// The bounds of one handoff, from segue_options or from the keeper's K_ATTEMPT.
struct Terms {
  uint64_t attempt = 0;  // the keeper's number; 0 alone
  AttemptMode mode = AttemptMode::upgrade;
  std::string nonce;
  OwnerName successor = kNobody;
  uint64_t budget_ns = 0;
  uint64_t max_rounds = 0;
  uint64_t max_attempts = 0;
  uint64_t background_ns = 0;
  uint64_t rehearsal_ns = 0;
  uint64_t answer_ns = 0;
  uint64_t slice_ns = 0;
  uint64_t probation_ns = 0;
  uint64_t hang_ns = 0;
  uint64_t spin_ns = 0;
  bool vote_required = false;
  bool skip_rehearsal = false;
  bool keeper_fences = false;  // it ends the other side where this process cannot (K_FENCE)
  segue_on_crash on_crash = SEGUE_ON_CRASH_RESUME;
  size_t journal_bytes = 0;
};

}  // namespace segue::handoff
