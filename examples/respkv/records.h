// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

// Small helpers for reading and writing records.
namespace respkv {

inline void put_text(segue_writer* out, std::uint32_t tag, std::string_view text) {
  segue_put(out, tag, text.data(), text.size());
}

inline void put_text_unless_empty(segue_writer* out, std::uint32_t tag, std::string_view text) {
  if (!text.empty()) put_text(out, tag, text);
}

// Absent and 0 are the same, so that versions that do not know a field agree with those that do.
inline void put_number(segue_writer* out, std::uint32_t tag, std::uint64_t number) {
  if (number != 0) segue_put_u64(out, tag, number);
}

inline std::string_view get_text(const segue_record* record, std::uint32_t tag) {
  const void* data = nullptr;
  std::size_t size = 0;
  if (segue_get(record, tag, &data, &size) != SEGUE_OK) return {};
  return {static_cast<const char*>(data), size};
}

// visit(tag, bytes) for each field, in order.
template <class Visit>
void for_each_field(const segue_record* record, Visit visit) {
  std::size_t cursor = 0;
  std::uint32_t tag = 0;
  const void* data = nullptr;
  std::size_t size = 0;
  while (segue_next(record, &cursor, &tag, &data, &size) == SEGUE_OK) {
    visit(tag, std::string_view(static_cast<const char*>(data), size));
  }
}

// What this version does not know, for segue_put_fields(); usually empty.
inline std::string unknown_fields(const segue_record* record,
                                  const std::vector<std::uint32_t>& known) {
  const std::size_t size = segue_unknown(record, known.data(), known.size(), nullptr, 0);
  std::string fields(size, '\0');
  if (size > 0) segue_unknown(record, known.data(), known.size(), fields.data(), size);
  return fields;
}

}  // namespace respkv
