// SPDX-License-Identifier: Apache-2.0
// Whatever a program sends, decoding says yes or no; what was taken is written as the same bytes.

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.h"
#include "level1/message.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto message = segue::level1::decode(bytes);
  if (!message || size > segue::level1::kMaxMessageBytes) return 0;
  SEGUE_ASSERT(segue::level1::encode(*message) == bytes);
  for (const auto& field : message->fields) {
    if (const auto nested = segue::level1::decode_fields(field.bytes)) {
      SEGUE_ASSERT(segue::level1::encode_fields(*nested) == field.bytes);
    }
    (void)message->number(field.tag, 0);
  }
  return 0;
}
