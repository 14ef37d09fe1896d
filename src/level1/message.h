// SPDX-License-Identifier: Apache-2.0
// The messages of protocol/level1.md as bytes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::level1 {

inline constexpr std::uint64_t kProtocol = 1;
inline constexpr std::size_t kMaxMessageBytes = std::size_t{64} << 10;
inline constexpr std::size_t kMaxFields = 64;

enum class MessageType : std::uint16_t {
  hello = 1,     // program: who it is, its forms, the listeners that it wants
  welcome = 2,   // bridge: the protocol that is spoken
  store = 3,     // both: here is a descriptor, or its record has changed
  close = 4,     // both: it is no longer there
  freeze = 5,    // bridge: stop
  state = 6,     // both: a piece of state, in a memfd
  frozen = 7,    // program: stopped, and all state was sent
  activate = 8,  // bridge: serve
  serving = 9,   // program: it does, or why not
  resume = 10,   // bridge: go on as before the freeze
  end = 11,      // bridge: end without a word to any client
};
inline constexpr std::uint16_t kLastMessageType = 11;
// "STORE"; for an unknown one "message N".
std::string name_of(MessageType type);

struct Field {
  std::uint16_t tag = 0;
  std::string bytes;
  bool operator==(const Field&) const = default;
};

struct Message {
  MessageType type = MessageType::hello;
  std::uint16_t fd_count = 0;  // descriptors that travel with it: 0 or 1
  std::vector<Field> fields;

  bool operator==(const Message&) const = default;

  Message& put(std::uint16_t tag, std::string_view bytes);
  Message& put(std::uint16_t tag, std::uint64_t number);
  // The first field of that tag.
  [[nodiscard]] std::optional<std::string_view> find(std::uint16_t tag) const;
  [[nodiscard]] std::string text(std::uint16_t tag) const;
  // `otherwise` where it is missing; an eight-byte field is a number, any other is not.
  [[nodiscard]] std::uint64_t number(std::uint16_t tag, std::uint64_t otherwise) const;
  [[nodiscard]] bool has(std::uint16_t tag) const { return find(tag).has_value(); }
};

// Header and fields. A message beyond kMaxMessageBytes is a programming error of the caller.
std::string encode(const Message& message);
std::string encode_fields(const std::vector<Field>& fields);
// data_loss says what is wrong with the bytes. Unknown types and tags are no error.
base::Result<Message> decode(std::string_view bytes);
base::Result<std::vector<Field>> decode_fields(std::string_view bytes);

}  // namespace segue::level1
