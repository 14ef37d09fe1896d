// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <vector>

#include "base/error.h"
#include "delta/address_map.h"
#include "delta/bulk.h"
#include "delta/literals.h"
#include "delta/operations.h"
#include "delta/packing.h"
#include "delta/range_coder.h"
#include "delta/regions.h"
#include "delta/symbols.h"

namespace segue::delta {

// How a target file comes from a base file.
struct FilePlan {
  std::vector<Region> regions;        // none: no address is predicted
  std::vector<Operation> operations;  // their lengths sum up to the target's size
  bool base_is_indexed = false;       // literals are also looked up in the base
  bool literals_in_bulk = false;      // they go to the bulk section
  bool is_framed = false;             // instead of all this, one frame with the base as its prefix
  Bytes frame;                        // that frame, when encoding

  // Both sides say the same of a part of a file (archive_coder.h).
  std::uint64_t expected_base_at = 0;  // where in the base the first operation is likely to copy
  bool is_base_in_memory = false;      // less memory is left for the rest

  // When encoding: what the plan is chosen by.
  std::uint64_t literal_bytes = 0;
  std::uint64_t base_bytes = 0;  // of a base that may be indexed
};

// A frame with a base that lies in memory itself, and a program that does, are at most so large,
// base and target together.
inline constexpr std::uint64_t kMaxInMemoryBytes = kMaxPrefixedBytes / 2;

// The literal bytes of all files that are not modelled one by one: written by one side, read by the
// other.
struct Bulk {
  BulkWriter* writer = nullptr;
  BulkReader* reader = nullptr;
  // Frames of single files, likewise.
  Bytes* framed = nullptr;
  ByteView frames;
};

// Codes files one after another with one model, in either direction. Memory when decoding: that of
// the models, kMaxOperations and kMaxFields, and an output buffer of 64 KiB.
template <class Coder>
class FileCoder {
 public:
  FileCoder(SymbolCoder<Coder>& symbols, LiteralCoder<Coder>& literals, Bulk bulk)
      : symbols_(symbols), literals_(literals), bulk_(bulk) {}

  // Encoding: writes `target` by `plan`; emit gets the same bytes. Decoding: fills `plan` and emits
  // a file of exactly target_size bytes; data_loss for what cannot be.
  base::Result<void> code(ByteView base, std::uint64_t target_size, ByteView target, FilePlan& plan,
                          const Emit& emit);

  // Decoding: whether every frame was some file's.
  [[nodiscard]] bool used_all_frames() const;

 private:
  class Writer;
  struct Residual {
    std::uint64_t gap;
    std::uint8_t byte;
  };

  base::Result<void> code_regions(FilePlan& plan, std::uint64_t base_size,
                                  std::uint64_t target_size);
  base::Result<void> code_operations(FilePlan& plan, std::uint64_t base_size,
                                     std::uint64_t target_size);
  bool code_operation(Operation& operation, std::size_t index, std::uint64_t base_end,
                      std::uint64_t last_literal, std::uint64_t left);
  base::Result<void> code_contents(const FilePlan& plan, ByteView base, ByteView target,
                                   const Emit& emit);
  void copy(const Operation& operation, ByteView base, ByteView target, std::uint64_t place,
            Writer& out);
  void copy_plain(ByteView base, ByteView target, Writer& out);
  void copy_field(const Field& field, ByteView base, ByteView target, std::uint64_t place,
                  const std::vector<Region>& regions, Writer& out);
  static base::Result<void> copy_out(BulkReader& reader, std::uint64_t size, Writer& out);
  base::Result<void> write_literals(std::uint64_t size, std::uint64_t base_at, ByteView target,
                                    bool in_bulk, Writer& out);
  base::Result<void> code_frame(FilePlan& plan, ByteView base, std::uint64_t target_size,
                                const Emit& emit);
  std::uint64_t code_address(const Field& field, RegionKind kind, std::uint64_t old_address,
                             std::uint64_t actual, unsigned bits);
  void collect_residuals(const FilePlan& plan, ByteView base, ByteView target);
  void next_gap();
  std::uint64_t code_gap(std::uint64_t coded);
  std::uint8_t code_residual(std::uint8_t residual, std::uint8_t old);

  SymbolCoder<Coder>& symbols_;
  LiteralCoder<Coder>& literals_;
  Bulk bulk_;

  FramePrefix frame_prefix_;

  // Of the file at hand.
  std::vector<Field> fields_;
  const std::vector<Region>* regions_ = nullptr;
  AddressMap* addresses_ = nullptr;
  std::vector<Residual> residuals_;  // when encoding
  std::size_t residual_ = 0;
  std::uint64_t gap_ = 0;  // bytes up to the next residual
  bool residuals_ended_ = false;

  // Of the files before: contexts.
  std::vector<Operation> last_operations_;
  std::uint32_t last_gap_width_ = 0;
  std::uint64_t last_gap_ = 0;
  std::uint8_t last_residual_ = 0;
  // What came in the same context before, and how often in a row.
  template <class Value>
  struct Guess {
    Value value = 0;
    std::uint32_t hits = 0;
    void learn(Value actual) {
      hits = value == actual ? std::min(hits + 1, kMaxHits) : 0;
      value = actual;
    }
    static constexpr std::uint32_t kMaxHits = 15;
  };
  static constexpr int kGapGuessBits = 13;
  std::vector<Guess<std::uint64_t>> gap_guesses_ =
      std::vector<Guess<std::uint64_t>>(std::size_t{1} << kGapGuessBits);
  std::vector<Guess<std::uint8_t>> byte_guesses_ = std::vector<Guess<std::uint8_t>>(65536);
  std::array<std::array<BitSlot, AddressMap::kTrusts>, static_cast<std::size_t>(RegionKind::count)>
      trusted_{};
  std::uint32_t hit_history_[static_cast<std::size_t>(RegionKind::count)] = {};
  std::int64_t last_miss_[static_cast<std::size_t>(RegionKind::count)] = {};
};

extern template class FileCoder<RangeEncoder>;
extern template class FileCoder<RangeDecoder>;

}  // namespace segue::delta
