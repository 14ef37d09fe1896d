// SPDX-License-Identifier: Apache-2.0
// Values to and from JSON by one list of their members, strictly: every member is written, none may
// be missing, and what nobody knows is damage. For documents that a program writes for itself.
//   template <>
//   struct Layout<Amount> {
//     static void visit(auto& archive, auto& amount) {
//       archive("value", amount.value);
//       archive("percent", amount.is_percent);
//     }
//   };
#pragma once

#include <charconv>
#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/error.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::fleet {

template <class Value>
struct Layout {};

inline constexpr std::size_t kMaxTextBytes = 2'000;  // of any string in such a document

// The text as such a document can hold it: UTF-8, cut between two characters.
inline std::string short_text(const std::string& text) {
  std::string clean =
      tuf::Json::parse(tuf::Json(text).dump(-1, ' ', false, tuf::Json::error_handler_t::replace))
          .get<std::string>();
  if (clean.size() <= kMaxTextBytes) return clean;
  std::size_t end = kMaxTextBytes;
  while (end > 0 && (static_cast<unsigned char>(clean[end]) & 0xC0U) == 0x80U) --end;
  clean.resize(end);
  return clean;
}

// Numbered from 0 without gaps, each with a word; any other number has an empty one.
template <class T>
concept Worded = std::is_enum_v<T> && requires(T value) {
  { to_string(value) } -> std::convertible_to<std::string_view>;
};

class LayoutWriter {
 public:
  template <class T>
  void operator()(const char* name, const T& value, std::size_t /*max*/ = 0) {
    json_[name] = of(value);
  }

  // Of a member that documents once did not have: a list without members is not written.
  template <class T>
  void if_any(const char* name, const std::vector<T>& values, std::size_t max) {
    if (!values.empty()) (*this)(name, values, max);
  }

  // … and any other member that they once did not have is not written where it is as usual.
  template <class T>
  void unless(const T& usual, const char* name, const T& value) {
    if (value != usual) (*this)(name, value);
  }

  // Of a member that means nothing any more, as readers of before want it.
  template <class T>
  void formerly(const char* name, const T& value) {
    (*this)(name, value);
  }

  template <class T>
  static tuf::Json of(const T& value) {
    LayoutWriter writer;
    Layout<T>::visit(writer, value);
    return std::move(writer.json_);
  }
  static tuf::Json of(bool value) { return value; }
  static tuf::Json of(const std::string& value) { return value; }
  static tuf::Json of(double value) { return fmt::format("{}", value); }  // no fractions in them
  template <std::unsigned_integral T>
  static tuf::Json of(const T& value) {
    return static_cast<std::uint64_t>(value);
  }
  template <Worded T>
  static tuf::Json of(const T& value) {
    return std::string(to_string(value));
  }
  static tuf::Json of(std::chrono::milliseconds value) {
    return static_cast<std::uint64_t>(value.count());
  }
  template <class T>
  static tuf::Json of(const std::optional<T>& value) {
    return value ? of(*value) : tuf::Json();
  }
  template <class T>
  static tuf::Json of(const std::vector<T>& values) {
    tuf::Json list = tuf::Json::array();
    for (const auto& value : values) list.push_back(of(value));
    return list;
  }
  template <class T>
  static tuf::Json of(const std::map<std::string, T>& values) {
    tuf::Json object = tuf::Json::object();
    for (const auto& [key, value] : values) object[key] = of(value);
    return object;
  }

 private:
  tuf::Json json_ = tuf::Json::object();
};

// Keeps the first error, which is data_loss, and reads nothing more.
class LayoutReader {
 public:
  template <class T>
  static base::Result<T> read(tuf::Json json, std::string what) {
    LayoutReader reader(std::move(what));
    T value;
    if (!json.is_object()) return base::fail(reader.wrong("it", "an object"));
    reader.rest_ = std::move(json);
    Layout<T>::visit(reader, value);
    if (reader.error_) return base::fail(std::move(*reader.error_));
    if (!reader.rest_.empty()) {
      return base::fail(reader.wrong(reader.rest_.begin().key().substr(0, 40), "known"));
    }
    return value;
  }

  // `max`: of a list's or a map's members.
  template <class T>
  void operator()(const char* name, T& value, std::size_t max = 0) {
    if (error_) return;
    const auto found = rest_.find(name);
    if (found == rest_.end()) {
      error_ = wrong(name, "there");
      return;
    }
    const tuf::Json json = std::move(*found);
    rest_.erase(found);
    take(name, json, value, max);
  }

  template <class T>
  void if_any(const char* name, std::vector<T>& values, std::size_t max) {
    values.clear();
    if (!error_ && rest_.contains(name)) (*this)(name, values, max);
  }

  template <class T>
  void unless(const T& usual, const char* name, T& value) {
    value = usual;
    if (!error_ && rest_.contains(name)) (*this)(name, value);
  }

  template <class T>
  void formerly(const char* name, T value) {
    (*this)(name, value);
  }

 private:
  explicit LayoutReader(std::string what) : what_(std::move(what)) {}

  [[nodiscard]] base::Error wrong(std::string_view name, std::string_view expected) const {
    return {base::ErrorCode::data_loss, fmt::format("'{}' of {} is not {}", name, what_, expected)};
  }

  void take(const std::string& name, const tuf::Json& json, bool& value, std::size_t /*max*/) {
    if (!json.is_boolean()) {
      error_ = wrong(name, "true or false");
      return;
    }
    value = json.get<bool>();
  }
  void take(const std::string& name, const tuf::Json& json, std::string& value,
            std::size_t /*max*/) {
    if (!json.is_string() || json.get_ref<const std::string&>().size() > kMaxTextBytes) {
      error_ = wrong(name, "a short string");
      return;
    }
    value = json.get<std::string>();
  }
  void take(const std::string& name, const tuf::Json& json, double& value, std::size_t max) {
    std::string text;
    take(name, json, text, max);
    if (error_) return;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
      error_ = wrong(name, "a number in a string");
    }
  }
  template <std::unsigned_integral T>
  void take(const std::string& name, const tuf::Json& json, T& value, std::size_t /*max*/) {
    if (!json.is_number_unsigned() || json.get<std::uint64_t>() > std::numeric_limits<T>::max()) {
      error_ = wrong(name, "a number that fits");
      return;
    }
    value = json.get<T>();
  }
  template <Worded T>
  void take(const std::string& name, const tuf::Json& json, T& value, std::size_t /*max*/) {
    if (json.is_string()) {
      for (int number = 0;; ++number) {
        const std::string_view word = to_string(static_cast<T>(number));
        if (word.empty()) break;
        if (word != json.get_ref<const std::string&>()) continue;
        value = static_cast<T>(number);
        return;
      }
    }
    error_ = wrong(name, "a word that it may be");
  }
  void take(const std::string& name, const tuf::Json& json, std::chrono::milliseconds& value,
            std::size_t max) {
    std::uint64_t number = 0;
    take(name, json, number, max);
    if (error_) return;
    if (number > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
      error_ = wrong(name, "a time");
      return;
    }
    value = std::chrono::milliseconds(number);
  }
  template <class T>
  void take(const std::string& name, const tuf::Json& json, std::optional<T>& value,
            std::size_t max) {
    value.reset();
    if (!json.is_null()) take(name, json, value.emplace(), max);
  }
  template <class T>
  void take(const std::string& name, const tuf::Json& json, std::vector<T>& values,
            std::size_t max) {
    if (!json.is_array() || json.size() > max) {
      error_ = wrong(name, fmt::format("a list of at most {}", max));
      return;
    }
    values.clear();
    values.reserve(json.size());
    for (const auto& member : json) {
      if (error_) return;
      take(name, member, values.emplace_back(), 0);
    }
  }
  template <class T>
  void take(const std::string& name, const tuf::Json& json, std::map<std::string, T>& values,
            std::size_t max) {
    if (!json.is_object() || json.size() > max) {
      error_ = wrong(name, fmt::format("an object of at most {} members", max));
      return;
    }
    values.clear();
    for (const auto& [key, member] : json.items()) {
      if (error_) return;
      if (key.size() > kMaxTextBytes) {
        error_ = wrong(name, "an object with short names");
        return;
      }
      take(name, member, values[key], 0);
    }
  }
  template <class T>
  void take(const std::string& name, const tuf::Json& json, T& value, std::size_t /*max*/) {
    auto read = LayoutReader::read<T>(json, fmt::format("'{}' of {}", name, what_));
    if (!read) {
      error_ = std::move(read).error();
      return;
    }
    value = *std::move(read);
  }

  std::string what_;
  tuf::Json rest_;
  std::optional<base::Error> error_;
};

// A document is an object whose member `key` is the number of its format.
template <class T>
std::string write_document(const char* key, std::uint64_t format, const T& value) {
  tuf::Json json = LayoutWriter::of(value);
  json[key] = format;
  return json.dump(-1, ' ', false, tuf::Json::error_handler_t::replace) + "\n";
}

// data_loss: damaged, or larger than `max_bytes`. failed_precondition: of another format.
template <class T>
base::Result<T> read_document(const char* key, std::uint64_t format, std::string_view bytes,
                              std::size_t max_bytes, std::string what) {
  if (bytes.size() > max_bytes) {
    return base::fail(base::ErrorCode::data_loss, "{} has more than {} bytes", what, max_bytes);
  }
  SEGUE_ASSIGN(tuf::Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), what));
  SEGUE_ASSIGN(const std::uint64_t its_format, fields.number(key, 1));
  if (its_format != format) {
    return base::fail(base::ErrorCode::failed_precondition,
                      "{} is of format {}, and this program knows {}: upgrade it", what, its_format,
                      format);
  }
  return LayoutReader::read<T>(std::move(fields).rest(), std::move(what));
}

}  // namespace segue::fleet
