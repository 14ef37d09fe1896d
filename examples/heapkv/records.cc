// SPDX-License-Identifier: Apache-2.0
#include "records.h"

#include <cstring>
#include <string>

namespace heapkv {
namespace {

template <typename From, typename To>
int convert(const segue_record* in, segue_writer* out) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (segue_get(in, SEGUE_HEAP_BYTES, &data, &size) != SEGUE_OK) return SEGUE_INVALID;
  if (segue_get_u64(in, SEGUE_HEAP_TYPE, 0) != kEntryType) {
    segue_put(out, SEGUE_HEAP_BYTES, data, size);
    return SEGUE_OK;
  }
  From from{};
  if (size < sizeof from) return SEGUE_INVALID;
  std::memcpy(&from, data, sizeof from);
  To to{};
  to.next = from.next;
  to.key_size = from.key_size;
  to.value_size = from.value_size;
  std::string bytes(sizeof to + size - sizeof from, '\0');
  std::memcpy(bytes.data(), &to, sizeof to);
  std::memcpy(bytes.data() + sizeof to, static_cast<const char*>(data) + sizeof from,
              size - sizeof from);
  segue_put(out, SEGUE_HEAP_BYTES, bytes.data(), bytes.size());
  return SEGUE_OK;
}

}  // namespace

int up(void* /*user*/, std::uint32_t /*from*/, const segue_record* in, segue_writer* out) {
  return convert<EntryV1, EntryV2>(in, out);
}

int down(void* /*user*/, std::uint32_t /*from*/, const segue_record* in, segue_writer* out) {
  return convert<EntryV2, EntryV1>(in, out);
}

}  // namespace heapkv
