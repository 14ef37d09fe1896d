// SPDX-License-Identifier: Apache-2.0
#include "delta/packing.h"

#include <zlib.h>
// For an estimate of memory, which a shared library exports as well.
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>

#include <algorithm>
#include <array>

#include "base/assert.h"
#include "delta/digest.h"

namespace segue::delta {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int kRawWindowBits = -15;
constexpr int kMaxDeflateLevel = 9;
constexpr int kMaxZstdLevel = 22;
constexpr int kMaxZstdWindowLog = 24;
constexpr std::uint8_t kHasChecksum = 1;
constexpr std::uint8_t kHasSize = 2;
// Compressors are given and give pieces of this size, whatever the caller's are.
constexpr std::size_t kPieceBytes = std::size_t{64} << 10;

ZSTD_compressionParameters zstd_parameters(const PackSettings& settings,
                                           std::uint64_t plain_bytes) {
  return ZSTD_getCParams(settings.level,
                         (settings.detail & kHasSize) != 0 ? plain_bytes : ZSTD_CONTENTSIZE_UNKNOWN,
                         0);
}

// Room for more of a result that is not known to be of any size.
void grow(Bytes& bytes, std::uint64_t max_bytes) {
  bytes.resize(static_cast<std::size_t>(
      std::min<std::uint64_t>(max_bytes, std::max<std::uint64_t>(bytes.size() * 2, kPieceBytes))));
}

tl::unexpected<base::Error> too_large(std::uint64_t max_bytes) {
  return fail(ErrorCode::resource_exhausted, "a packed member holds more than {} bytes", max_bytes);
}

Result<Unpacked> unpack_deflate(ByteView packed, std::uint64_t max_bytes) {
  z_stream stream{};
  SEGUE_ASSERT(inflateInit2(&stream, kRawWindowBits) == Z_OK);
  stream.next_in = const_cast<Bytef*>(packed.data());  // zlib does not write there
  stream.avail_in = static_cast<uInt>(std::min<std::size_t>(packed.size(), UINT32_MAX));
  Unpacked result;
  int status = Z_OK;
  while (status == Z_OK) {
    const std::size_t used = result.plain.size();
    // One byte beyond the bound tells a stream that ends there from one that goes on.
    if (used > max_bytes) break;
    grow(result.plain, max_bytes + 1);
    stream.next_out = result.plain.data() + used;
    stream.avail_out = static_cast<uInt>(result.plain.size() - used);
    status = inflate(&stream, Z_NO_FLUSH);
    result.plain.resize(static_cast<std::size_t>(stream.next_out - result.plain.data()));
  }
  result.packed_bytes = stream.total_in;
  inflateEnd(&stream);
  if (result.plain.size() > max_bytes) return too_large(max_bytes);
  if (status != Z_STREAM_END) return fail(ErrorCode::data_loss, "a deflated member is damaged");
  return result;
}

Result<Unpacked> unpack_zstd(ByteView packed, std::uint64_t max_bytes) {
  Unpacked result;
  result.packed_bytes = ZSTD_findFrameCompressedSize(packed.data(), packed.size());
  if (ZSTD_isError(static_cast<std::size_t>(result.packed_bytes)) != 0) {
    return fail(ErrorCode::data_loss, "a zstd member is damaged");
  }
  ZSTD_DCtx* context = ZSTD_createDCtx();
  ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, kMaxZstdWindowLog);
  ZSTD_inBuffer in{packed.data(), static_cast<std::size_t>(result.packed_bytes), 0};
  std::size_t left = 1;
  while (left != 0 && ZSTD_isError(left) == 0) {
    const std::size_t used = result.plain.size();
    if (used > max_bytes) break;
    grow(result.plain, max_bytes + 1);
    ZSTD_outBuffer out{result.plain.data(), result.plain.size(), used};
    left = ZSTD_decompressStream(context, &out, &in);
    const bool is_stuck = out.pos == used && in.pos == in.size && left != 0;
    result.plain.resize(out.pos);
    if (is_stuck) break;
  }
  ZSTD_freeDCtx(context);
  if (result.plain.size() > max_bytes) return too_large(max_bytes);
  if (left != 0) return fail(ErrorCode::data_loss, "a zstd member is damaged");
  return result;
}

}  // namespace

bool is_known(const PackSettings& settings) {
  switch (settings.codec) {
    case PackCodec::deflate:
      return settings.level >= 1 && settings.level <= kMaxDeflateLevel &&
             (settings.detail == 8 || settings.detail == 9);
    case PackCodec::zstd:
      return settings.level >= 1 && settings.level <= kMaxZstdLevel && settings.detail <= 3;
  }
  return false;
}

Result<Unpacked> unpack_stream(PackCodec codec, ByteView packed, std::uint64_t max_bytes) {
  SEGUE_ASSERT(max_bytes <= kMaxMemberBytes);
  return codec == PackCodec::zstd ? unpack_zstd(packed, max_bytes)
                                  : unpack_deflate(packed, max_bytes);
}

// Collects pieces, so that it makes no difference in what pieces the caller gives them.
class Packer::Stream {
 public:
  explicit Stream(Emit emit) : emit_(std::move(emit)) { in_.reserve(kPieceBytes); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  Result<void> write(ByteView plain) {
    while (!plain.empty()) {
      const std::size_t part = std::min(plain.size(), kPieceBytes - in_.size());
      in_.insert(in_.end(), plain.begin(), plain.begin() + static_cast<std::ptrdiff_t>(part));
      plain = plain.subspan(part);
      if (in_.size() == kPieceBytes) SEGUE_TRY(pack(false));
    }
    return {};
  }
  Result<void> finish() { return pack(true); }

 protected:
  // One step into `out`; whether it has to be called again.
  virtual bool step(ByteView& in, std::span<std::uint8_t> out, std::size_t& produced,
                    bool last) = 0;

 private:
  Result<void> pack(bool last) {
    ByteView in = in_;
    for (bool again = true; again;) {
      std::size_t produced = 0;
      again = step(in, out_, produced, last);
      if (produced > 0) SEGUE_TRY(emit_(ByteView(out_).first(produced)));
    }
    in_.clear();
    return {};
  }

  Emit emit_;
  Bytes in_;
  Bytes out_ = Bytes(kPieceBytes);
};

namespace {

class DeflateStream final : public Packer::Stream {
 public:
  DeflateStream(const PackSettings& settings, Emit emit) : Stream(std::move(emit)) {
    SEGUE_ASSERT(deflateInit2(&stream_, settings.level, Z_DEFLATED, kRawWindowBits, settings.detail,
                              Z_DEFAULT_STRATEGY) == Z_OK);
  }
  ~DeflateStream() override { deflateEnd(&stream_); }

  bool step(ByteView& in, std::span<std::uint8_t> out, std::size_t& produced, bool last) override {
    stream_.next_in = const_cast<Bytef*>(in.data());
    stream_.avail_in = static_cast<uInt>(in.size());
    stream_.next_out = out.data();
    stream_.avail_out = static_cast<uInt>(out.size());
    const int status = deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
    in = in.last(stream_.avail_in);
    produced = out.size() - stream_.avail_out;
    return last ? status != Z_STREAM_END : stream_.avail_out == 0;
  }

 private:
  z_stream stream_{};
};

class ZstdStream final : public Packer::Stream {
 public:
  ZstdStream(const PackSettings& settings, std::uint64_t plain_bytes, Emit emit)
      : Stream(std::move(emit)) {
    const bool has_size = (settings.detail & kHasSize) != 0;
    set(ZSTD_c_compressionLevel, settings.level);
    set(ZSTD_c_checksumFlag, (settings.detail & kHasChecksum) != 0 ? 1 : 0);
    set(ZSTD_c_contentSizeFlag, has_size ? 1 : 0);
    if (has_size) {
      SEGUE_ASSERT(ZSTD_isError(ZSTD_CCtx_setPledgedSrcSize(context_, plain_bytes)) == 0);
    }
  }
  ~ZstdStream() override { ZSTD_freeCCtx(context_); }

  bool step(ByteView& in, std::span<std::uint8_t> out, std::size_t& produced, bool last) override {
    ZSTD_inBuffer from{in.data(), in.size(), 0};
    ZSTD_outBuffer to{out.data(), out.size(), 0};
    const std::size_t left =
        ZSTD_compressStream2(context_, &to, &from, last ? ZSTD_e_end : ZSTD_e_continue);
    produced = to.pos;
    in = in.subspan(from.pos);
    if (ZSTD_isError(left) != 0) return false;  // another size than was pledged: found by the root
    return last ? left != 0 : !in.empty();
  }

 private:
  void set(ZSTD_cParameter parameter, int value) const {
    SEGUE_ASSERT(ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, value)) == 0);
  }
  ZSTD_CCtx* context_ = ZSTD_createCCtx();
};

}  // namespace

Packer::Packer(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}
Packer::~Packer() = default;
Packer::Packer(Packer&&) noexcept = default;
Result<void> Packer::write(ByteView plain) {
  return stream_->write(plain);
}
Result<void> Packer::finish() {
  return stream_->finish();
}

Result<Packer> Packer::open(const PackSettings& settings, std::uint64_t plain_bytes, Emit emit) {
  if (!is_known(settings)) {
    return fail(ErrorCode::invalid_argument, "a member is packed by unknown settings");
  }
  if (settings.codec == PackCodec::deflate) {
    return Packer(std::make_unique<DeflateStream>(settings, std::move(emit)));
  }
  const ZSTD_compressionParameters parameters = zstd_parameters(settings, plain_bytes);
  if (ZSTD_estimateCStreamSize_usingCParams(parameters) > kMaxPackerBytes) {
    return fail(ErrorCode::resource_exhausted, "packing a member takes more than {} bytes",
                kMaxPackerBytes);
  }
  return Packer(std::make_unique<ZstdStream>(settings, plain_bytes, std::move(emit)));
}

namespace {

bool packs_to(ByteView packed, ByteView plain, const PackSettings& settings) {
  ByteView left = packed;
  const auto compare = [&left](ByteView piece) -> Result<void> {
    if (piece.size() > left.size() || !std::ranges::equal(piece, left.first(piece.size()))) {
      return fail(ErrorCode::failed_precondition, "other bytes");
    }
    left = left.subspan(piece.size());
    return {};
  };
  auto packer = Packer::open(settings, plain.size(), compare);
  return packer && packer->write(plain) && packer->finish() && left.empty();
}

}  // namespace

std::optional<PackSettings> find_settings(ByteView packed, ByteView plain,
                                          const PackSettings& likely) {
  if (packs_to(packed, plain, likely)) return likely;
  PackSettings tried = likely;
  if (likely.codec == PackCodec::deflate) {
    for (const int level : {6, 9, 1, 5, 8, 7, 4, 3, 2}) {
      for (const int memory_level : {8, 9}) {
        tried.level = static_cast<std::uint8_t>(level);
        tried.detail = static_cast<std::uint8_t>(memory_level);
        if (tried != likely && packs_to(packed, plain, tried)) return tried;
      }
    }
    return std::nullopt;
  }
  // RFC 8878, 3.1.1.1.1: the frame's header says what it has.
  constexpr std::size_t kDescriptorAt = 4;
  if (packed.size() <= kDescriptorAt) return std::nullopt;
  const std::uint8_t descriptor = packed[kDescriptorAt];
  const bool has_size = (descriptor & 0xe0) != 0;
  tried.detail = static_cast<std::uint8_t>(((descriptor & 4) != 0 ? kHasChecksum : 0) |
                                           (has_size ? kHasSize : 0));
  for (int level = 1; level <= kMaxZstdLevel; ++level) {
    tried.level = static_cast<std::uint8_t>(level);
    if (packs_to(packed, plain, tried)) return tried;
  }
  return std::nullopt;
}

Result<std::uint32_t> packing_identity(const PackSettings& settings) {
  // Words that come again at varying distances: every kind of match, and several blocks.
  constexpr std::size_t kSampleBytes = 96 * 1024;
  Bytes sample;
  std::uint32_t state = 1;
  while (sample.size() < kSampleBytes) {
    state = state * 1664525 + 1013904223;
    const std::uint32_t word = (state >> 24) * (state >> 28);
    for (std::uint32_t i = 0; i < 2 + word % 7; ++i) {
      sample.push_back(static_cast<std::uint8_t>(word >> (i % 5)));
    }
  }
  Hasher hasher;
  const auto add = [&hasher](ByteView piece) -> Result<void> {
    hasher.add(piece);
    return {};
  };
  SEGUE_ASSIGN(Packer packer, Packer::open(settings, sample.size(), add));
  SEGUE_TRY(packer.write(sample));
  SEGUE_TRY(packer.finish());
  const Digest digest = hasher.finish();
  return load_u32(digest.bytes.data());
}

}  // namespace segue::delta
