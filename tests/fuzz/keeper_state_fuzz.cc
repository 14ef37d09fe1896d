// SPDX-License-Identifier: Apache-2.0
// Whatever the bytes, a keeper's state is either refused with a reason, or read into something that
// is written and read again as the same. Half of the inputs are bodies, under a header that fits.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/assert.h"
#include "handoff/siphash.h"
#include "keeper/saved_state.h"

namespace {

std::string with_header(std::string_view body) {
  std::string bytes = "SEGUEKST";
  const auto add = [&](auto value) {
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  };
  add(segue::keeper::kStateVersion);
  add(segue::keeper::kStateReadableFrom);
  add(std::uint64_t{body.size()});
  add(segue::handoff::siphash24(body));
  return bytes.append(body);
}

void read_state(std::string_view bytes) {
  const auto state = segue::keeper::decode_state(bytes);
  if (!state) {
    SEGUE_ASSERT(!state.error().message().empty());
    return;
  }
  const std::string once = segue::keeper::encode_state(*state);
  const auto again = segue::keeper::decode_state(once);
  SEGUE_ASSERT(again);
  SEGUE_ASSERT(segue::keeper::encode_state(*again) == once);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read_state(input);
  read_state(with_header(input));
  return 0;
}
