// SPDX-License-Identifier: Apache-2.0
#include "handoff/fields.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

namespace segue::handoff {

static_assert(std::endian::native == std::endian::little, "the protocol is little-endian");

void append_varint(std::string& out, uint64_t value) {
  while (value >= 0x80) {
    out.push_back(static_cast<char>((value & 0x7F) | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

std::optional<uint64_t> take_varint(std::string_view& in) {
  uint64_t value = 0;
  const size_t limit = std::min(in.size(), kMaxVarintBytes);
  for (size_t i = 0; i < limit; ++i) {
    const auto byte = static_cast<uint8_t>(in[i]);
    if (i == 9 && byte > 1) return std::nullopt;  // beyond 64 bits
    if (i > 0 && byte == 0) return std::nullopt;  // not the shortest form
    value |= static_cast<uint64_t>(byte & 0x7F) << (7 * i);
    if ((byte & 0x80) == 0) {
      in.remove_prefix(i + 1);
      return value;
    }
  }
  return std::nullopt;
}

std::optional<std::string_view> take_sized(std::string_view& in) {
  std::string_view rest = in;
  const auto size = take_varint(rest);
  if (!size || *size > rest.size()) return std::nullopt;
  const std::string_view bytes = rest.substr(0, *size);
  in = rest.substr(*size);
  return bytes;
}

std::optional<Field> take_field(std::string_view& in) {
  std::string_view rest = in;
  const auto tag = take_varint(rest);
  if (!tag || *tag == 0 || *tag > kMaxTag) return std::nullopt;
  const auto bytes = take_sized(rest);
  if (!bytes) return std::nullopt;
  in = rest;
  return Field{static_cast<uint32_t>(*tag), *bytes};
}

bool is_record(std::string_view bytes) {
  uint32_t last = 0;
  while (!bytes.empty()) {
    const auto field = take_field(bytes);
    if (!field || field->tag < last) return false;
    last = field->tag;
  }
  return true;
}

std::optional<std::string_view> find_field(std::string_view record, uint32_t tag) {
  while (!record.empty()) {
    const auto field = take_field(record);
    if (!field || field->tag > tag) return std::nullopt;
    if (field->tag == tag) return field->bytes;
  }
  return std::nullopt;
}

std::optional<uint64_t> number_of(std::string_view field) {
  const auto value = take_varint(field);
  if (!value || !field.empty()) return std::nullopt;
  return value;
}

uint64_t get_number(std::string_view record, uint32_t tag, uint64_t otherwise) {
  const auto field = find_field(record, tag);
  return field ? number_of(*field).value_or(otherwise) : otherwise;
}

std::string_view get_bytes(std::string_view record, uint32_t tag) {
  return find_field(record, tag).value_or(std::string_view{});
}

void put_field(segue_writer& writer, uint32_t tag, std::string_view bytes) {
  if (tag < writer.last_tag) writer.ordered = false;
  writer.last_tag = tag;
  append_varint(writer.fields, tag);
  append_varint(writer.fields, bytes.size());
  writer.fields.append(bytes);
}

void put_number(segue_writer& writer, uint32_t tag, uint64_t value) {
  char bytes[kMaxVarintBytes];
  size_t size = 0;
  for (; value >= 0x80; value >>= 7) bytes[size++] = static_cast<char>((value & 0x7F) | 0x80);
  bytes[size++] = static_cast<char>(value);
  put_field(writer, tag, {bytes, size});
}

void finish(segue_writer& writer) {
  if (writer.ordered) return;
  std::vector<Field> fields;
  std::string_view rest = writer.fields;
  while (!rest.empty()) {
    const auto field = take_field(rest);
    if (!field) break;  // put_* writes well-formed fields only
    fields.push_back(*field);
  }
  std::stable_sort(fields.begin(), fields.end(),
                   [](const Field& a, const Field& b) { return a.tag < b.tag; });
  segue_writer sorted;
  sorted.fields.reserve(writer.fields.size());
  for (const Field& field : fields) put_field(sorted, field.tag, field.bytes);
  writer = std::move(sorted);
}

void reset(segue_writer& writer) {
  writer.fields.clear();
  writer.last_tag = 0;
  writer.ordered = true;
}

void append_batch_entry(std::string& batch, std::string_view key, std::string_view value) {
  append_varint(batch, key.size());
  batch.append(key);
  append_varint(batch, value.size());
  batch.append(value);
}

std::optional<BatchEntry> take_batch_entry(std::string_view& batch) {
  std::string_view rest = batch;
  const auto key = take_sized(rest);
  if (!key) return std::nullopt;
  const auto value = take_sized(rest);
  if (!value) return std::nullopt;
  batch = rest;
  return BatchEntry{*key, *value};
}

void append_u64(std::string& out, uint64_t value) {
  char bytes[sizeof value];
  memcpy(bytes, &value, sizeof value);
  out.append(bytes, sizeof bytes);
}

std::optional<uint64_t> take_u64(std::string_view& in) {
  if (in.size() < sizeof(uint64_t)) return std::nullopt;
  uint64_t value = 0;
  memcpy(&value, in.data(), sizeof value);
  in.remove_prefix(sizeof value);
  return value;
}

}  // namespace segue::handoff
