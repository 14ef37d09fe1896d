// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/error.h"
#include "delta/bytes.h"

// Bytes of many files in one solid stream.
namespace segue::delta {

enum class BulkCodec : std::uint8_t {
  zstd = 0,  // one frame of RFC 8878, level 19, a window of 16 MiB: fast to read
  lzma = 1,  // raw LZMA2 with lc=3, lp=0, pb=2, a dictionary of 8 MiB: smaller
};

class BulkWriter {
 public:
  explicit BulkWriter(BulkCodec codec);
  ~BulkWriter();
  BulkWriter(const BulkWriter&) = delete;
  BulkWriter& operator=(const BulkWriter&) = delete;

  void write(ByteView bytes);
  // The codec and the stream; empty when nothing was written.
  Bytes finish();

  class Stream;

 private:
  std::unique_ptr<Stream> stream_;
  bool written_ = false;
};

// A frame of RFC 8878 that refers back to `prefix`, which both sides give; together they are at
// most kMaxPrefixedBytes.
inline constexpr std::uint64_t kMaxPrefixedBytes = std::uint64_t{16} << 20;
Bytes compress_with_prefix(ByteView prefix, ByteView bytes);

// What a frame refers to: the framed file before it and its base, as far as there is room.
class FramePrefix {
 public:
  // Borrowed until the next call of either.
  ByteView with(ByteView base, std::uint64_t target_bytes);
  // The file that was framed.
  void remember(Bytes target) { last_ = std::move(target); }

 private:
  Bytes last_;
  Bytes joined_;
};

class BulkReader {
 public:
  static BulkReader open_with_prefix(ByteView prefix, ByteView frame);

  // `section` is borrowed. Memory: the window or the dictionary.
  static base::Result<BulkReader> open(ByteView section);
  ~BulkReader();
  BulkReader(BulkReader&&) noexcept;
  BulkReader& operator=(BulkReader&&) = delete;

  // Fills `into`; data_loss when the stream is damaged or ends before.
  base::Result<void> read(std::span<std::uint8_t> into);
  // data_loss unless the stream ends here.
  base::Result<void> finish();

  class Stream;

 private:
  explicit BulkReader(std::unique_ptr<Stream> stream);
  std::unique_ptr<Stream> stream_;
};

}  // namespace segue::delta
