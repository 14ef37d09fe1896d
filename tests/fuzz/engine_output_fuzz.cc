// SPDX-License-Identifier: Apache-2.0
// The output of a container, as an engine may send it; the first byte says in what pieces it comes.
// However it is cut, the same comes out, and never more than went in.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/output_demultiplexer.h"

namespace runtime = segue::runtime;

namespace {

struct Outcome {
  std::string output;
  bool is_good = true;
  bool is_whole = false;
  bool operator==(const Outcome&) const = default;
};

Outcome outcome_of(std::string_view stream, std::size_t piece_bytes) {
  runtime::OutputDemultiplexer frames;
  Outcome outcome;
  while (!stream.empty() && outcome.is_good) {
    const std::string_view piece = stream.substr(0, piece_bytes);
    stream.remove_prefix(piece.size());
    std::vector<runtime::OutputPiece> pieces;
    outcome.is_good = frames.take(piece, pieces).has_value();
    for (const runtime::OutputPiece& one : pieces) outcome.output += one.bytes;
  }
  outcome.is_whole = frames.end().has_value();
  return outcome;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view stream(reinterpret_cast<const char*>(data) + 1, size - 1);
  const Outcome whole = outcome_of(stream, std::max<std::size_t>(stream.size(), 1));
  const Outcome cut = outcome_of(stream, std::max<std::size_t>(data[0], 1));
  if (whole.output != cut.output || whole.is_good != cut.is_good) abort();
  if (whole.is_good && whole.is_whole != cut.is_whole) abort();
  if (whole.output.size() > stream.size()) abort();
  return 0;
}
