// SPDX-License-Identifier: Apache-2.0
// What a journal and the kernel together say about each connection that a dead successor used.
// Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "handoff/journal.h"
#include "handoff/kernel_totals.h"

namespace segue::handoff {

struct Story {
  // From the journal.
  std::optional<KernelTotals> before;  // its first use
  uint64_t consumed = 0;
  uint64_t sent = 0;
  uint64_t sent_digest = 0;
  bool accepted = false;
  bool closed = false;
  bool used = false;
  bool answered = true;  // nothing was consumed since something was sent whole
  // The one operation of which only the kernel knows whether it happened.
  bool intent_is_input = false;
  uint32_t intent_size = 0;  // 0: there is none
  uint64_t intent_digest = 0;

  // With the kernel's word.
  bool repairable = true;
  uint64_t intent_consumed = 0;
  uint64_t intent_sent = 0;

  [[nodiscard]] uint64_t all_sent() const { return sent + intent_sent; }
};

using Stories = std::map<uint64_t, Story>;  // by connection

// False if the journal contradicts itself.
bool read_stories(const JournalView& journal, Stories& stories);

// `now` are the totals after the successor's death.
void settle_story(Story& story, TotalsKind kind, const KernelTotals& now);

}  // namespace segue::handoff
