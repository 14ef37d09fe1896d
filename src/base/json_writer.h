// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace segue::base {

// Writes one JSON value (RFC 8259) on one line, piece by piece:
//   JsonWriter json;
//   json.begin_object().field("name", name).key("pids").begin_array().value(7).end().end();
//   send(std::move(json).take());
// Pieces in an order that is not JSON break an invariant and abort. Bytes that are not UTF-8 become
// U+FFFD; numbers that JSON does not have (NaN, infinity) become null.
class JsonWriter {
 public:
  JsonWriter& begin_object();
  JsonWriter& begin_array();
  // Ends the innermost open object or array.
  JsonWriter& end();
  JsonWriter& key(std::string_view name);

  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(bool truth);
  JsonWriter& value(double number);
  JsonWriter& value(std::integral auto number) {
    if constexpr (std::signed_integral<decltype(number)>) {
      return integer(static_cast<std::int64_t>(number));
    } else {
      return integer(static_cast<std::uint64_t>(number));
    }
  }
  JsonWriter& null();

  template <class T>
  JsonWriter& field(std::string_view name, const T& content) {
    return key(name).value(content);
  }

  // The text; the value has to be complete.
  [[nodiscard]] std::string take() &&;

 private:
  struct Level {
    bool is_object;
    bool is_empty = true;
  };

  void before_value();
  JsonWriter& begin(bool is_object);
  JsonWriter& integer(std::int64_t number);
  JsonWriter& integer(std::uint64_t number);

  std::string text_;
  std::vector<Level> levels_;
  bool key_written_ = false;
};

// `text` as a JSON string with its quotes.
void append_json_string(std::string& out, std::string_view text);

}  // namespace segue::base
