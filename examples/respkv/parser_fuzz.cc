// SPDX-License-Identifier: Apache-2.0
// The parser finds the same requests whether the input comes at once or in pieces.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "parser.h"

namespace {

using respkv::RequestParser;

struct Outcome {
  std::vector<std::string> arguments;
  std::string error;
  std::size_t used = 0;

  bool operator==(const Outcome&) const = default;
};

// `piece` bytes of new input each time; 0: all at once.
Outcome read_all(std::string_view input, std::size_t piece) {
  Outcome outcome;
  RequestParser parser;
  std::vector<std::string_view> arguments;
  std::size_t visible = piece == 0 ? input.size() : 0;
  while (true) {
    const std::string_view rest = input.substr(outcome.used, visible - outcome.used);
    switch (parser.parse(rest)) {
      case RequestParser::Status::malformed:
        outcome.error = parser.error();
        return outcome;
      case RequestParser::Status::incomplete:
        if (visible == input.size()) return outcome;
        visible = std::min(visible + piece, input.size());
        break;
      case RequestParser::Status::complete:
        parser.arguments(rest, arguments);
        outcome.arguments.insert(outcome.arguments.end(), arguments.begin(), arguments.end());
        outcome.arguments.emplace_back("|");
        if (parser.size() == 0 || parser.size() > rest.size()) std::abort();
        outcome.used += parser.size();
        parser.reset();
        break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view input(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (read_all(input, 0) != read_all(input, data[0] + 1U)) std::abort();
  return 0;
}
