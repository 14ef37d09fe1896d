// SPDX-License-Identifier: Apache-2.0
// Whatever the bytes and however they come in parts: a request that was whole or bad stays so, and
// a whole one has a target that begins with a slash and holds no control character.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "keeper/http_request.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using State = segue::keeper::HttpRequest::State;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  State before = State::incomplete;
  for (std::size_t part = 0; part <= size && part <= 8'192; ++part) {
    const auto request = segue::keeper::parse_http_request(input.substr(0, part));
    if (before == State::bad) SEGUE_ASSERT(request.state == State::bad);
    if (before == State::whole) SEGUE_ASSERT(request.state == State::bad);  // something follows
    if (request.state == State::whole) {
      SEGUE_ASSERT(request.target.starts_with('/'));
      for (const char c : request.target) SEGUE_ASSERT(static_cast<unsigned char>(c) > 0x20);
    }
    before = request.state;
  }
  return 0;
}
