// SPDX-License-Identifier: Apache-2.0
#include "handoff/journal.h"

#include <atomic>
#include <cstring>

namespace segue::handoff {
namespace {

constexpr uint64_t kMagic = 0x314C4E4A45554745;  // "EGUEJNL1"

// Offsets in the header.
constexpr size_t kMagicAt = 0;
constexpr size_t kKey0At = 8;
constexpr size_t kKey1At = 16;
constexpr size_t kStateAt = 24;
constexpr size_t kTailAt = 32;    // bytes of entries
constexpr size_t kIntentAt = 40;  // tail + 1 while an intent is open there

struct RawEntry {
  uint32_t kind;
  uint32_t size;
  uint64_t connection;
  uint64_t a;
  uint64_t b;
  uint64_t c;
};
static_assert(sizeof(RawEntry) == 40);

constexpr uint64_t aligned(uint64_t size) {
  return (size + 7) / 8 * 8;
}

// How many bytes follow an entry's header.
uint64_t payload_of(const RawEntry& raw) {
  switch (static_cast<EntryKind>(raw.kind)) {
    case EntryKind::input:
      return static_cast<int64_t>(raw.a) > 0 ? raw.a : 0;
    case EntryKind::note:
      return raw.size;
    default:
      return 0;
  }
}

std::atomic_ref<uint64_t> word(char* memory, size_t offset) {
  return std::atomic_ref<uint64_t>(*reinterpret_cast<uint64_t*>(memory + offset));
}

uint64_t load(std::string_view memory, size_t offset) {
  uint64_t value = 0;
  memcpy(&value, memory.data() + offset, sizeof value);
  return value;
}

}  // namespace

void prepare_journal(char* memory, uint64_t key0, uint64_t key1) {
  memcpy(memory + kMagicAt, &kMagic, sizeof kMagic);
  memcpy(memory + kKey0At, &key0, sizeof key0);
  memcpy(memory + kKey1At, &key1, sizeof key1);
}

// ---- Writing -------------------------------------------------------------------------------

void JournalWriter::begin() {
  tail_ = 0;
  word(memory_, kTailAt).store(0, std::memory_order_release);
  word(memory_, kIntentAt).store(0, std::memory_order_release);
  word(memory_, kStateAt)
      .store(static_cast<uint64_t>(JournalState::kept), std::memory_order_release);
}

void JournalWriter::end(JournalState why) {
  word(memory_, kStateAt).store(static_cast<uint64_t>(why), std::memory_order_release);
}

JournalState JournalWriter::state() const {
  return static_cast<JournalState>(word(memory_, kStateAt).load(std::memory_order_relaxed));
}

char* JournalWriter::at_tail() const {
  return memory_ + kJournalHeaderBytes + tail_;
}

size_t JournalWriter::room() const {
  const uint64_t used = kJournalHeaderBytes + tail_ + sizeof(RawEntry);
  return used >= size_ ? 0 : (size_ - used) / 8 * 8;
}

void JournalWriter::write_header(const JournalEntry& entry) {
  const RawEntry raw{
      static_cast<uint32_t>(entry.kind), entry.size, entry.connection, entry.a, entry.b, entry.c};
  memcpy(at_tail(), &raw, sizeof raw);
}

bool JournalWriter::append(const JournalEntry& entry) {
  const uint64_t used = kJournalHeaderBytes + tail_ + sizeof(RawEntry);
  if (used > size_ || aligned(entry.bytes.size()) > size_ - used) return false;
  write_header(entry);
  if (!entry.bytes.empty()) {
    memcpy(at_tail() + sizeof(RawEntry), entry.bytes.data(), entry.bytes.size());
  }
  tail_ += sizeof(RawEntry) + aligned(entry.bytes.size());
  word(memory_, kTailAt).store(tail_, std::memory_order_release);
  return true;
}

char* JournalWriter::open_intent(const JournalEntry& entry) {
  const uint64_t used = kJournalHeaderBytes + tail_ + sizeof(RawEntry);
  const uint64_t wanted = entry.kind == EntryKind::input ? aligned(entry.size) : 0;
  if (used > size_ || wanted > size_ - used) return nullptr;
  write_header(entry);
  word(memory_, kIntentAt).store(tail_ + 1, std::memory_order_release);
  return at_tail() + sizeof(RawEntry);
}

// Kind, size, connection and b stay as they are, so that the intent can be read up to the store
// that moves the tail and thereby closes it.
void JournalWriter::settle_intent(uint64_t a, uint64_t c) {
  RawEntry raw{};
  memcpy(&raw, at_tail(), sizeof raw);
  raw.a = a;
  raw.c = c;
  memcpy(at_tail() + offsetof(RawEntry, a), &raw.a, sizeof raw.a);
  memcpy(at_tail() + offsetof(RawEntry, c), &raw.c, sizeof raw.c);
  tail_ += sizeof raw + aligned(payload_of(raw));
  word(memory_, kTailAt).store(tail_, std::memory_order_release);
}

void JournalWriter::drop_intent() {
  word(memory_, kIntentAt).store(0, std::memory_order_release);
}

// ---- Reading -------------------------------------------------------------------------------

JournalView::JournalView(std::string_view memory) {
  if (memory.size() < kJournalHeaderBytes || load(memory, kMagicAt) != kMagic) return;
  entries_ = memory.substr(kJournalHeaderBytes);
  key0_ = load(memory, kKey0At);
  key1_ = load(memory, kKey1At);
  state_ = static_cast<JournalState>(load(memory, kStateAt));
  tail_ = load(memory, kTailAt);
  intent_ = load(memory, kIntentAt);
}

// All but the payload.
bool JournalView::read_entry(size_t offset, JournalEntry& entry) const {
  if (offset > entries_.size() || entries_.size() - offset < sizeof(RawEntry)) return false;
  RawEntry raw{};
  memcpy(&raw, entries_.data() + offset, sizeof raw);
  if (raw.kind < static_cast<uint32_t>(EntryKind::totals) ||
      raw.kind > static_cast<uint32_t>(EntryKind::note)) {
    return false;
  }
  entry = {static_cast<EntryKind>(raw.kind), raw.size, raw.connection, raw.a, raw.b, raw.c, {}};
  return true;
}

JournalView::Got JournalView::next(size_t& cursor, JournalEntry& entry) const {
  if (tail_ > entries_.size()) return Got::broken;
  if (cursor == tail_) return Got::end;
  if (!read_entry(cursor, entry)) return Got::broken;
  const RawEntry raw{static_cast<uint32_t>(entry.kind), entry.size, 0, entry.a, 0, 0};
  const uint64_t payload = payload_of(raw);
  const uint64_t from = cursor + sizeof(RawEntry);
  if (from > tail_ || payload > tail_ - from || aligned(payload) > tail_ - from) {
    return Got::broken;
  }
  const bool counted = entry.kind == EntryKind::input || entry.kind == EntryKind::sent;
  if (counted && static_cast<int64_t>(entry.a) > static_cast<int64_t>(entry.size)) {
    return Got::broken;
  }
  if (entry.kind == EntryKind::sent && static_cast<int64_t>(entry.a) < 0) return Got::broken;
  entry.bytes = entries_.substr(from, payload);
  cursor = from + aligned(payload);
  return Got::entry;
}

JournalView::Got JournalView::open_intent(JournalEntry& entry) const {
  if (tail_ > entries_.size()) return Got::broken;
  if (intent_ != tail_ + 1) return Got::end;
  if (!read_entry(tail_, entry)) return Got::broken;
  if (entry.kind == EntryKind::sent) return Got::entry;
  const size_t from = tail_ + sizeof(RawEntry);
  if (entry.kind != EntryKind::input || entry.size > entries_.size() - from) return Got::broken;
  entry.bytes = entries_.substr(from, entry.size);
  return Got::entry;
}

}  // namespace segue::handoff
