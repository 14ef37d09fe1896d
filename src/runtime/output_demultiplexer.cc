// SPDX-License-Identifier: Apache-2.0
#include "runtime/output_demultiplexer.h"

#include <algorithm>

namespace segue::runtime {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> OutputDemultiplexer::begin_frame() {
  constexpr unsigned char kOutput = 1;
  constexpr unsigned char kError = 2;
  const bool is_frame = (header_[0] == kOutput || header_[0] == kError) && header_[1] == 0 &&
                        header_[2] == 0 && header_[3] == 0;
  if (!is_frame) {
    return fail(ErrorCode::data_loss,
                "the engine's output is not in frames: the container has a terminal, or the "
                "engine speaks something else");
  }
  stream_ = header_[0] == kOutput ? OutputStream::standard_output : OutputStream::standard_error;
  left_bytes_ = 0;
  for (std::size_t i = 4; i < kHeaderBytes; ++i) left_bytes_ = left_bytes_ << 8 | header_[i];
  return {};
}

Result<void> OutputDemultiplexer::take(std::string_view bytes, std::vector<OutputPiece>& pieces) {
  while (!bytes.empty()) {
    if (header_size_ < kHeaderBytes) {
      header_[header_size_++] = static_cast<unsigned char>(bytes.front());
      bytes.remove_prefix(1);
      if (header_size_ == kHeaderBytes) SEGUE_TRY(begin_frame());
    } else {
      const auto size = std::min<std::size_t>(left_bytes_, bytes.size());
      if (size > 0) pieces.push_back({stream_, bytes.substr(0, size)});
      bytes.remove_prefix(size);
      left_bytes_ -= static_cast<std::uint32_t>(size);
    }
    if (header_size_ == kHeaderBytes && left_bytes_ == 0) header_size_ = 0;
  }
  return {};
}

Result<void> OutputDemultiplexer::end() const {
  if (header_size_ == 0) return {};
  return fail(ErrorCode::data_loss, "the engine's output ends inside a frame");
}

}  // namespace segue::runtime
