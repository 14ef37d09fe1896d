// SPDX-License-Identifier: Apache-2.0
#include "delta/bulk.h"

#include <lzma.h>
#include <zstd.h>

#include <array>

#include "base/assert.h"

namespace segue::delta {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int kZstdLevel = 19;
constexpr int kPrefixedLevel = 22;
constexpr int kZstdWindowLog = 24;
constexpr std::uint32_t kDictionaryBytes = std::uint32_t{8} << 20;

// Filters for both directions; the options have to stay where they are.
struct LzmaFilters {
  lzma_options_lzma options{};
  std::array<lzma_filter, 2> filters{};

  LzmaFilters() {
    SEGUE_ASSERT(lzma_lzma_preset(&options, 9 | LZMA_PRESET_EXTREME) == 0);
    options.dict_size = kDictionaryBytes;
    filters[0] = {LZMA_FILTER_LZMA2, &options};
    filters[1] = {LZMA_VLI_UNKNOWN, nullptr};
  }
};

}  // namespace

class BulkWriter::Stream {
 public:
  explicit Stream(BulkCodec codec) : out_{static_cast<std::uint8_t>(codec)} {}
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  virtual void add(ByteView bytes, bool last) = 0;
  Bytes take() { return std::move(out_); }

 protected:
  static constexpr std::size_t kPieceBytes = 128 * 1024;
  Bytes out_;
};

namespace {

class ZstdWriter final : public BulkWriter::Stream {
 public:
  ZstdWriter() : Stream(BulkCodec::zstd) {
    set(ZSTD_c_compressionLevel, kZstdLevel);
    set(ZSTD_c_windowLog, kZstdWindowLog);
    set(ZSTD_c_contentSizeFlag, 0);
  }
  ~ZstdWriter() override { ZSTD_freeCCtx(context_); }

  void add(ByteView bytes, bool last) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    std::size_t left = 0;
    do {
      const std::size_t used = out_.size();
      out_.resize(used + kPieceBytes);
      ZSTD_outBuffer piece{out_.data() + used, kPieceBytes, 0};
      left = ZSTD_compressStream2(context_, &piece, &in, last ? ZSTD_e_end : ZSTD_e_continue);
      SEGUE_ASSERT(ZSTD_isError(left) == 0);
      out_.resize(used + piece.pos);
    } while (in.pos < in.size || (last && left > 0));
  }

 private:
  void set(ZSTD_cParameter parameter, int value) const {
    SEGUE_ASSERT(ZSTD_isError(ZSTD_CCtx_setParameter(context_, parameter, value)) == 0);
  }
  ZSTD_CCtx* context_ = ZSTD_createCCtx();
};

class LzmaWriter final : public BulkWriter::Stream {
 public:
  LzmaWriter() : Stream(BulkCodec::lzma) {
    SEGUE_ASSERT(lzma_raw_encoder(&stream_, filters_.filters.data()) == LZMA_OK);
  }
  ~LzmaWriter() override { lzma_end(&stream_); }

  void add(ByteView bytes, bool last) override {
    stream_.next_in = bytes.data();
    stream_.avail_in = bytes.size();
    lzma_ret result = LZMA_OK;
    do {
      const std::size_t used = out_.size();
      out_.resize(used + kPieceBytes);
      stream_.next_out = out_.data() + used;
      stream_.avail_out = kPieceBytes;
      result = lzma_code(&stream_, last ? LZMA_FINISH : LZMA_RUN);
      SEGUE_ASSERT(result == LZMA_OK || result == LZMA_STREAM_END);
      out_.resize(used + kPieceBytes - stream_.avail_out);
    } while (last ? result != LZMA_STREAM_END : stream_.avail_in > 0);
  }

 private:
  LzmaFilters filters_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

}  // namespace

Bytes compress_with_prefix(ByteView prefix, ByteView bytes) {
  SEGUE_ASSERT(prefix.size() + bytes.size() <= kMaxPrefixedBytes);
  ZSTD_CCtx* context = ZSTD_createCCtx();
  const auto expect = [](std::size_t result) { SEGUE_ASSERT(ZSTD_isError(result) == 0); };
  expect(ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, kPrefixedLevel));
  expect(ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, kZstdWindowLog));
  expect(ZSTD_CCtx_refPrefix(context, prefix.data(), prefix.size()));
  Bytes frame(ZSTD_compressBound(bytes.size()));
  const std::size_t size =
      ZSTD_compress2(context, frame.data(), frame.size(), bytes.data(), bytes.size());
  expect(size);
  frame.resize(size);
  ZSTD_freeCCtx(context);
  return frame;
}

ByteView FramePrefix::with(ByteView base, std::uint64_t target_bytes) {
  joined_.clear();
  if (last_.size() + base.size() + target_bytes <= kMaxPrefixedBytes) joined_ = std::move(last_);
  last_ = {};
  joined_.insert(joined_.end(), base.begin(), base.end());
  return joined_;
}

BulkWriter::BulkWriter(BulkCodec codec) {
  if (codec == BulkCodec::zstd) {
    stream_ = std::make_unique<ZstdWriter>();
  } else {
    stream_ = std::make_unique<LzmaWriter>();
  }
}
BulkWriter::~BulkWriter() = default;

void BulkWriter::write(ByteView bytes) {
  if (bytes.empty()) return;
  written_ = true;
  stream_->add(bytes, false);
}

Bytes BulkWriter::finish() {
  if (!written_) return {};
  stream_->add({}, true);
  return stream_->take();
}

class BulkReader::Stream {
 public:
  Stream() = default;
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;
  virtual ~Stream() = default;

  struct Step {
    std::size_t produced = 0;
    bool advanced = false;
    bool ended = false;
    const char* fault = nullptr;
  };
  virtual Step step(std::span<std::uint8_t> into) = 0;
  [[nodiscard]] virtual bool used_all() const = 0;
  bool ended = false;
};

namespace {

class ZstdReader final : public BulkReader::Stream {
 public:
  explicit ZstdReader(ByteView frame) : in_{frame.data(), frame.size(), 0} {
    SEGUE_ASSERT(
        ZSTD_isError(ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, kZstdWindowLog)) == 0);
  }
  ~ZstdReader() override { ZSTD_freeDCtx(context_); }

  void refer_to(ByteView prefix) {
    SEGUE_ASSERT(ZSTD_isError(ZSTD_DCtx_refPrefix(context_, prefix.data(), prefix.size())) == 0);
  }

  Step step(std::span<std::uint8_t> into) override {
    ZSTD_outBuffer out{into.data(), into.size(), 0};
    const std::size_t before = in_.pos;
    const std::size_t left = ZSTD_decompressStream(context_, &out, &in_);
    if (ZSTD_isError(left) != 0) return {.fault = ZSTD_getErrorName(left)};
    return {out.pos, out.pos > 0 || in_.pos > before, left == 0, nullptr};
  }
  [[nodiscard]] bool used_all() const override { return in_.pos == in_.size; }

 private:
  ZSTD_DCtx* context_ = ZSTD_createDCtx();
  ZSTD_inBuffer in_;
};

class LzmaReader final : public BulkReader::Stream {
 public:
  explicit LzmaReader(ByteView stream) {
    SEGUE_ASSERT(lzma_raw_decoder(&stream_, filters_.filters.data()) == LZMA_OK);
    stream_.next_in = stream.data();
    stream_.avail_in = stream.size();
  }
  ~LzmaReader() override { lzma_end(&stream_); }

  Step step(std::span<std::uint8_t> into) override {
    stream_.next_out = into.data();
    stream_.avail_out = into.size();
    const std::size_t before = stream_.avail_in;
    const lzma_ret result = lzma_code(&stream_, LZMA_RUN);
    const std::size_t produced = into.size() - stream_.avail_out;
    const bool advanced = produced > 0 || stream_.avail_in < before;
    if (result == LZMA_STREAM_END) return {produced, advanced, true, nullptr};
    if (result == LZMA_OK || result == LZMA_BUF_ERROR) return {produced, advanced, false, nullptr};
    return {.fault = "LZMA data is corrupt"};
  }
  [[nodiscard]] bool used_all() const override { return stream_.avail_in == 0; }

 private:
  LzmaFilters filters_;
  lzma_stream stream_ = LZMA_STREAM_INIT;
};

class NoReader final : public BulkReader::Stream {
 public:
  NoReader() { ended = true; }
  Step step(std::span<std::uint8_t> /*into*/) override { return {.ended = true}; }
  [[nodiscard]] bool used_all() const override { return true; }
};

}  // namespace

BulkReader::BulkReader(std::unique_ptr<Stream> stream) : stream_(std::move(stream)) {}
BulkReader::~BulkReader() = default;
BulkReader::BulkReader(BulkReader&&) noexcept = default;

BulkReader BulkReader::open_with_prefix(ByteView prefix, ByteView frame) {
  auto reader = std::make_unique<ZstdReader>(frame);
  reader->refer_to(prefix);
  return BulkReader(std::move(reader));
}

Result<BulkReader> BulkReader::open(ByteView section) {
  if (section.empty()) return BulkReader(std::make_unique<NoReader>());
  switch (static_cast<BulkCodec>(section[0])) {
    case BulkCodec::zstd:
      return BulkReader(std::make_unique<ZstdReader>(section.subspan(1)));
    case BulkCodec::lzma:
      return BulkReader(std::make_unique<LzmaReader>(section.subspan(1)));
  }
  return fail(ErrorCode::data_loss, "the bulk section has an unknown codec {}", section[0]);
}

Result<void> BulkReader::read(std::span<std::uint8_t> into) {
  while (!into.empty()) {
    if (stream_->ended) return fail(ErrorCode::data_loss, "the bulk section is too short");
    const Stream::Step step = stream_->step(into);
    if (step.fault != nullptr) {
      return fail(ErrorCode::data_loss, "the bulk section: {}", step.fault);
    }
    stream_->ended = step.ended || !step.advanced;
    into = into.subspan(step.produced);
  }
  return {};
}

Result<void> BulkReader::finish() {
  while (!stream_->ended) {
    std::uint8_t surplus = 0;
    const Stream::Step step = stream_->step({&surplus, 1});
    if (step.fault != nullptr || step.produced != 0 || (!step.ended && !step.advanced)) {
      return fail(ErrorCode::data_loss, "the bulk section is cut off or too long");
    }
    stream_->ended = step.ended;
  }
  if (!stream_->used_all()) return fail(ErrorCode::data_loss, "bytes behind the bulk section");
  return {};
}

}  // namespace segue::delta
