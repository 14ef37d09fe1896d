// SPDX-License-Identifier: Apache-2.0
// Records and batches: the encodings of protocol/handoff.md. Pure; every read is bounds-checked.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "segue/segue.h"

// A record being read. The bytes are borrowed and known to be well-formed.
struct segue_record {
  std::string_view bytes;
};

// A record being written. `fields` is well-formed at any time; ordered by finish().
struct segue_writer {
  std::string fields;
  uint32_t last_tag = 0;
  bool ordered = true;
};

namespace segue::handoff {

inline constexpr uint32_t kMaxTag = 65'535;
inline constexpr size_t kMaxVarintBytes = 10;

void append_varint(std::string& out, uint64_t value);
// Removes one varint from the front of `in`; nullopt if it is cut short, too long, or not minimal.
std::optional<uint64_t> take_varint(std::string_view& in);
// Removes `varint size, bytes` from the front of `in`.
std::optional<std::string_view> take_sized(std::string_view& in);

constexpr uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

struct Field {
  uint32_t tag = 0;
  std::string_view bytes;
};
// Removes one field from the front of `in`; nullopt if it is malformed.
std::optional<Field> take_field(std::string_view& in);

// True if `bytes` are fields in ascending order of tag. Ordered is what makes it a record.
bool is_record(std::string_view bytes);

std::optional<std::string_view> find_field(std::string_view record, uint32_t tag);
std::optional<uint64_t> number_of(std::string_view field);
uint64_t get_number(std::string_view record, uint32_t tag, uint64_t otherwise);
std::string_view get_bytes(std::string_view record, uint32_t tag);

void put_field(segue_writer& writer, uint32_t tag, std::string_view bytes);
void put_number(segue_writer& writer, uint32_t tag, uint64_t value);
// Puts the fields in ascending order of tag, keeping the order among equal tags.
void finish(segue_writer& writer);
void reset(segue_writer& writer);

void append_batch_entry(std::string& batch, std::string_view key, std::string_view value);
struct BatchEntry {
  std::string_view key;
  std::string_view value;
};
// Removes one entry from the front of `batch`; nullopt if it is malformed (or empty: test before).
std::optional<BatchEntry> take_batch_entry(std::string_view& batch);

// Connection ids and digests: u64, little-endian.
void append_u64(std::string& out, uint64_t value);
std::optional<uint64_t> take_u64(std::string_view& in);

}  // namespace segue::handoff
