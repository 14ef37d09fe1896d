// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>

#include "base/error.h"
#include "delta/bytes.h"

// Payloads that are compressed inside of a file: members of zip and jar, gzip and zstd files.
namespace segue::delta {

enum class PackCodec : std::uint8_t {
  deflate = 0,  // RFC 1951, as zlib writes it
  zstd = 1,     // one frame of RFC 8878, as libzstd writes it
};

// What a compressor was told. Exactly these bytes come out again only of the same library; see
// packing_identity().
struct PackSettings {
  PackCodec codec = PackCodec::deflate;
  std::uint8_t level = 6;   // deflate: 1 to 9; zstd: 1 to 22
  std::uint8_t detail = 8;  // deflate: memory level, 8 or 9; zstd: 1 has checksum, 2 has size
  friend auto operator<=>(const PackSettings&, const PackSettings&) = default;
};
bool is_known(const PackSettings& settings);

// Larger ones stay packed: they are held in memory.
inline constexpr std::uint64_t kMaxMemberBytes = std::uint64_t{16} << 20;
// A compressor that takes more is not used.
inline constexpr std::uint64_t kMaxPackerBytes = std::uint64_t{24} << 20;

struct Unpacked {
  Bytes plain;
  std::uint64_t packed_bytes = 0;
};
// The stream at the begin of `packed`, whatever follows it. data_loss when there is none or it is
// cut off, resource_exhausted when it holds more than max_bytes (at most kMaxMemberBytes).
base::Result<Unpacked> unpack_stream(PackCodec codec, ByteView packed, std::uint64_t max_bytes);

using Emit = std::function<base::Result<void>(ByteView)>;

// Packs `plain_bytes` bytes again, in pieces. What comes out depends on nothing but the bytes, the
// settings and the library.
class Packer {
 public:
  // invalid_argument for settings that are not known, resource_exhausted above kMaxPackerBytes.
  static base::Result<Packer> open(const PackSettings& settings, std::uint64_t plain_bytes,
                                   Emit emit);
  ~Packer();
  Packer(Packer&&) noexcept;
  Packer& operator=(Packer&&) = delete;

  base::Result<void> write(ByteView plain);
  base::Result<void> finish();

  class Stream;

 private:
  explicit Packer(std::unique_ptr<Stream> stream);
  std::unique_ptr<Stream> stream_;
};

// Settings that give exactly `packed` from `plain`; `likely` is tried first.
std::optional<PackSettings> find_settings(ByteView packed, ByteView plain,
                                          const PackSettings& likely);

// 32 bits that differ where the library at hand would pack a sample otherwise.
base::Result<std::uint32_t> packing_identity(const PackSettings& settings);

}  // namespace segue::delta
