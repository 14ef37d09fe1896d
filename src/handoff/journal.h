// SPDX-License-Identifier: Apache-2.0
// What a successor does in probation, written where the predecessor finds it if the successor dies:
// a sealed memfd with one writer. A kill at any instruction leaves whole entries and at most one
// open intent: an operation that was begun and whose outcome only the kernel knows. Layout:
// protocol/handoff.md.
#pragma once

#include <cstdint>
#include <string_view>

namespace segue::handoff {

inline constexpr size_t kDefaultJournalBytes = size_t{16} << 20;
inline constexpr size_t kSmallestJournalBytes = size_t{64} << 10;
inline constexpr size_t kLargestJournalBytes = size_t{1} << 30;
inline constexpr size_t kJournalHeaderBytes = 4096;

enum class JournalState : uint64_t {
  unused = 0,  // the successor keeps none: it is older, or does not want to
  kept = 1,
  full = 2,        // something after the last entry is missing
  given_up = 3,    // likewise, for another reason: the successor handed over in its turn
  out_of_turn = 4  // likewise: one of several loops did something outside its turns
};

enum class EntryKind : uint32_t {
  totals = 1,    // a connection's kernel totals before its first use. a: consumed, b: sent
  input = 2,     // size: room for the bytes; a: how many, 0 at the end, or a negative errno
  sent = 3,      // size: attempted; a: taken; b, c: digests of all sent after size, after a bytes
  accepted = 4,  // a: the number of its class
  closed = 5,    // a: segue_close_how
  note = 6       // a: tag; size bytes follow
};

struct JournalEntry {
  EntryKind kind{};
  uint32_t size = 0;
  uint64_t connection = 0;
  uint64_t a = 0;
  uint64_t b = 0;
  uint64_t c = 0;
  std::string_view bytes;
};

// Writes the header of fresh memory: nothing is kept yet.
void prepare_journal(char* memory, uint64_t key0, uint64_t key1);

// Writes into memory that outlives it.
class JournalWriter {
 public:
  JournalWriter(char* memory, size_t size) : memory_(memory), size_(size) {}

  // Empties it and marks it as kept.
  void begin();
  // full or given_up: nothing is written any more.
  void end(JournalState why);
  [[nodiscard]] JournalState state() const;
  [[nodiscard]] bool keeps() const { return state() == JournalState::kept; }

  // False where there is no room; then nothing was written.
  bool append(const JournalEntry& entry);

  // How many bytes an input may have now.
  [[nodiscard]] size_t room() const;
  // The entry's kind, size, connection and b. Returns where `size` bytes go, for an input; nullptr
  // where there is no room.
  char* open_intent(const JournalEntry& entry);
  // The operation happened: a, c.
  void settle_intent(uint64_t a, uint64_t c);
  // It had no effect.
  void drop_intent();

 private:
  [[nodiscard]] char* at_tail() const;
  void write_header(const JournalEntry& entry);

  char* memory_;
  size_t size_;
  uint64_t tail_ = 0;
};

// Reads what another process wrote, and trusts none of it.
class JournalView {
 public:
  explicit JournalView(std::string_view memory);

  [[nodiscard]] JournalState state() const { return state_; }
  [[nodiscard]] uint64_t key0() const { return key0_; }
  [[nodiscard]] uint64_t key1() const { return key1_; }

  enum class Got { entry, end, broken };
  // `cursor` begins at 0. The entry's bytes are those of the memory.
  Got next(size_t& cursor, JournalEntry& entry) const;
  // Of an input, `bytes` is all the room there was for it.
  [[nodiscard]] Got open_intent(JournalEntry& entry) const;

 private:
  bool read_entry(size_t offset, JournalEntry& entry) const;

  std::string_view entries_;  // all the room
  JournalState state_ = JournalState::unused;
  uint64_t tail_ = 0;
  uint64_t intent_ = 0;
  uint64_t key0_ = 0;
  uint64_t key1_ = 0;
};

}  // namespace segue::handoff
