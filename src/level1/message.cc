// SPDX-License-Identifier: Apache-2.0
#include "level1/message.h"

#include <array>

#include "base/assert.h"

namespace segue::level1 {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kHeaderBytes = 8;
constexpr std::size_t kFieldHeaderBytes = 6;
constexpr std::size_t kNumberBytes = 8;
constexpr std::uint16_t kMaxFds = 1;

constexpr std::array<std::string_view, kLastMessageType + 1> kNames = {
    "",      "HELLO",  "WELCOME",  "STORE",   "CLOSE",  "FREEZE",
    "STATE", "FROZEN", "ACTIVATE", "SERVING", "RESUME", "END"};

// Little-endian, as everything here.
void append(std::string& out, std::uint64_t value, std::size_t bytes) {
  for (std::size_t i = 0; i < bytes; ++i) out.push_back(static_cast<char>(value >> (8 * i)));
}

std::uint64_t take(std::string_view& in, std::size_t bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < bytes; ++i) {
    value |= std::uint64_t{static_cast<unsigned char>(in[i])} << (8 * i);
  }
  in.remove_prefix(bytes);
  return value;
}

}  // namespace

std::string name_of(MessageType type) {
  const auto number = static_cast<std::uint16_t>(type);
  if (number == 0 || number > kLastMessageType) return fmt::format("message {}", number);
  return std::string(kNames.at(number));
}

Message& Message::put(std::uint16_t tag, std::string_view bytes) {
  fields.push_back({tag, std::string(bytes)});
  return *this;
}

Message& Message::put(std::uint16_t tag, std::uint64_t number) {
  std::string bytes;
  append(bytes, number, kNumberBytes);
  return put(tag, bytes);
}

std::optional<std::string_view> Message::find(std::uint16_t tag) const {
  for (const auto& field : fields) {
    if (field.tag == tag) return field.bytes;
  }
  return std::nullopt;
}

std::string Message::text(std::uint16_t tag) const {
  return std::string(find(tag).value_or(std::string_view()));
}

std::uint64_t Message::number(std::uint16_t tag, std::uint64_t otherwise) const {
  auto bytes = find(tag);
  if (!bytes || bytes->size() != kNumberBytes) return otherwise;
  return take(*bytes, kNumberBytes);
}

std::string encode_fields(const std::vector<Field>& fields) {
  std::string body;
  for (const auto& field : fields) {
    append(body, field.tag, 2);
    append(body, field.bytes.size(), 4);
    body += field.bytes;
  }
  return body;
}

std::string encode(const Message& message) {
  const std::string body = encode_fields(message.fields);
  SEGUE_ASSERT(kHeaderBytes + body.size() <= kMaxMessageBytes);
  std::string bytes;
  bytes.reserve(kHeaderBytes + body.size());
  append(bytes, static_cast<std::uint16_t>(message.type), 2);
  append(bytes, message.fd_count, 2);
  append(bytes, body.size(), 4);
  return bytes + body;
}

Result<std::vector<Field>> decode_fields(std::string_view bytes) {
  std::vector<Field> fields;
  while (!bytes.empty()) {
    if (fields.size() == kMaxFields) {
      return fail(ErrorCode::data_loss, "more than {} fields", kMaxFields);
    }
    if (bytes.size() < kFieldHeaderBytes) {
      return fail(ErrorCode::data_loss, "a field's header is cut short");
    }
    const auto tag = static_cast<std::uint16_t>(take(bytes, 2));
    const std::uint64_t size = take(bytes, 4);
    if (size > bytes.size()) {
      return fail(ErrorCode::data_loss, "field {} claims {} bytes, and {} are left", tag, size,
                  bytes.size());
    }
    fields.push_back({tag, std::string(bytes.substr(0, size))});
    bytes.remove_prefix(size);
  }
  return fields;
}

Result<Message> decode(std::string_view bytes) {
  if (bytes.size() < kHeaderBytes) {
    return fail(ErrorCode::data_loss, "a message of {} bytes, and a header has {}", bytes.size(),
                kHeaderBytes);
  }
  Message message;
  message.type = static_cast<MessageType>(take(bytes, 2));
  message.fd_count = static_cast<std::uint16_t>(take(bytes, 2));
  const std::uint64_t size = take(bytes, 4);
  if (size != bytes.size()) {
    return fail(ErrorCode::data_loss, "{} claims a body of {} bytes and has {}",
                name_of(message.type), size, bytes.size());
  }
  if (message.fd_count > kMaxFds) {
    return fail(ErrorCode::data_loss, "{} claims {} descriptors", name_of(message.type),
                message.fd_count);
  }
  SEGUE_ASSIGN(message.fields, decode_fields(bytes));
  return message;
}

}  // namespace segue::level1
