// SPDX-License-Identifier: Apache-2.0
#include "library/frame.h"

#include <zstd.h>

#include <memory>

#include "base/assert.h"

namespace segue::library {

using base::ErrorCode;
using base::fail;
using base::Result;
using delta::Bytes;
using delta::ByteView;

Bytes compress_frame(ByteView bytes, int level) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> context(ZSTD_createCCtx(),
                                                                     ZSTD_freeCCtx);
  SEGUE_ASSERT(context != nullptr);
  const auto set = [&](ZSTD_cParameter parameter, int value) {
    SEGUE_ASSERT(ZSTD_isError(ZSTD_CCtx_setParameter(context.get(), parameter, value)) == 0);
  };
  set(ZSTD_c_compressionLevel, level);
  set(ZSTD_c_contentSizeFlag, 1);
  if (bytes.size() > (std::size_t{1} << kFrameWindowLog)) set(ZSTD_c_windowLog, kFrameWindowLog);
  Bytes frame(ZSTD_compressBound(bytes.size()));
  const std::size_t size =
      ZSTD_compress2(context.get(), frame.data(), frame.size(), bytes.data(), bytes.size());
  SEGUE_ASSERT(ZSTD_isError(size) == 0);
  frame.resize(size);
  return frame;
}

Result<Bytes> decompress_frame(ByteView frame, std::uint64_t max_bytes) {
  const unsigned long long size = ZSTD_getFrameContentSize(frame.data(), frame.size());
  if (size == ZSTD_CONTENTSIZE_ERROR || size == ZSTD_CONTENTSIZE_UNKNOWN) {
    return fail(ErrorCode::data_loss, "not a zstd frame that says how much it holds");
  }
  if (size > max_bytes) {
    return fail(ErrorCode::data_loss, "the frame holds {} bytes: at most {} are allowed", size,
                max_bytes);
  }
  if (ZSTD_findFrameCompressedSize(frame.data(), frame.size()) != frame.size()) {
    return fail(ErrorCode::data_loss, "the frame is cut off, or more follows behind it");
  }
  const std::unique_ptr<ZSTD_DCtx, decltype(&ZSTD_freeDCtx)> context(ZSTD_createDCtx(),
                                                                     ZSTD_freeDCtx);
  SEGUE_ASSERT(context != nullptr);
  SEGUE_ASSERT(ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax,
                                                   kFrameWindowLog)) == 0);
  Bytes bytes(static_cast<std::size_t>(size));
  ZSTD_outBuffer out{bytes.data(), bytes.size(), 0};
  ZSTD_inBuffer in{frame.data(), frame.size(), 0};
  const std::size_t left = ZSTD_decompressStream(context.get(), &out, &in);
  if (ZSTD_isError(left) != 0 || left != 0 || out.pos != bytes.size() || in.pos != in.size) {
    return fail(ErrorCode::data_loss, "the frame is damaged: {}",
                ZSTD_isError(left) != 0 ? ZSTD_getErrorName(left) : "it holds something else");
  }
  return bytes;
}

}  // namespace segue::library
