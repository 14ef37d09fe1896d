// SPDX-License-Identifier: Apache-2.0
#include "handoff/story.h"

namespace segue::handoff {
namespace {

// The journal is at most kLargestJournalBytes long, so no sum of inputs overflows; what was sent is
// only counted.
constexpr uint64_t kMostSent = uint64_t{1} << 62;

bool tell(Story& story, const JournalEntry& entry) {
  // An id is not used again, so nothing follows the end.
  if (story.closed) return false;
  switch (entry.kind) {
    case EntryKind::totals:
      if (story.before) return false;
      story.before = KernelTotals{entry.a, entry.b};
      return true;
    case EntryKind::input:
      story.consumed += entry.bytes.size();
      story.answered = false;
      return true;
    case EntryKind::sent:
      if (entry.a > kMostSent - story.sent) return false;
      story.sent += entry.a;
      story.sent_digest = entry.c;
      story.answered = entry.a == entry.size;
      return true;
    case EntryKind::accepted:
      if (story.accepted || story.used) return false;
      story.accepted = true;
      return true;
    case EntryKind::closed:
      story.closed = true;
      return true;
    case EntryKind::note:
      return true;
  }
  return false;
}

bool happened(uint64_t now, uint64_t before, uint64_t recorded, uint64_t at_most, uint64_t& more) {
  more = now - before - recorded;
  return more <= at_most;
}

}  // namespace

bool read_stories(const JournalView& journal, Stories& stories) {
  size_t cursor = 0;
  JournalEntry entry;
  JournalView::Got got = JournalView::Got::end;
  while ((got = journal.next(cursor, entry)) == JournalView::Got::entry) {
    if (entry.kind == EntryKind::note) continue;
    Story& story = stories[entry.connection];
    if (!tell(story, entry)) return false;
    story.used = true;
  }
  if (got == JournalView::Got::broken) return false;
  got = journal.open_intent(entry);
  if (got != JournalView::Got::entry) return got == JournalView::Got::end;
  Story& story = stories[entry.connection];
  if (story.closed) return false;
  story.used = true;
  story.intent_is_input = entry.kind == EntryKind::input;
  story.intent_size = entry.size;
  story.intent_digest = entry.b;
  return true;
}

void settle_story(Story& story, TotalsKind kind, const KernelTotals& now) {
  story.intent_consumed = 0;
  story.intent_sent = 0;
  if (story.closed || kind == TotalsKind::ended) return;  // there is nobody to leave in doubt
  if (kind == TotalsKind::unknown || !story.before) {
    story.repairable = story.intent_size == 0;
    return;
  }
  const uint64_t most_in = story.intent_is_input ? story.intent_size : 0;
  const uint64_t most_out = story.intent_is_input ? 0 : story.intent_size;
  uint64_t in = 0;
  uint64_t out = 0;
  story.repairable = happened(now.consumed, story.before->consumed, story.consumed, most_in, in) &&
                     happened(now.sent, story.before->sent, story.sent, most_out, out);
  if (!story.repairable) return;
  story.intent_consumed = in;
  story.intent_sent = out;
}

}  // namespace segue::handoff
