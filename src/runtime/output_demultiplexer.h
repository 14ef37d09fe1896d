// SPDX-License-Identifier: Apache-2.0
// The stream in which an engine sends both outputs of a container without a terminal: frames of
// {stream, 0, 0, 0, size as 32 bits big-endian}, bytes. (Docker Engine API 1.41, "Attach to a
// container: Stream format".) Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "runtime/engine.h"

namespace segue::runtime {

struct OutputPiece {
  OutputStream stream = OutputStream::standard_output;
  std::string_view bytes;
};

class OutputDemultiplexer {
 public:
  // Adds the pieces of `bytes`, also those of a frame that is not whole yet, and keeps none of
  // them. data_loss: this is no such stream; the pieces before are good, nothing after makes sense.
  base::Result<void> take(std::string_view bytes, std::vector<OutputPiece>& pieces);
  // data_loss: it ended inside a frame.
  [[nodiscard]] base::Result<void> end() const;

 private:
  base::Result<void> begin_frame();

  static constexpr std::size_t kHeaderBytes = 8;
  std::array<unsigned char, kHeaderBytes> header_{};
  std::size_t header_size_ = 0;  // of what has come of it
  std::uint32_t left_bytes_ = 0;
  OutputStream stream_ = OutputStream::standard_output;
};

}  // namespace segue::runtime
