// SPDX-License-Identifier: Apache-2.0
// Values to and from JSON by a table of their members:
//   template <>
//   struct Members<Volume> {
//     static constexpr auto kRows = std::tuple(Member("source", &Volume::source), …);
//   };
// What is at its default is not written and may be missing; a default, once released, stays what it
// is. Members that are not in the table are passed over, so that a newer writer can be read.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <vector>

#include "base/error.h"
#include "base/json_writer.h"
#include "control/options.h"
#include "tuf/json.h"

namespace segue::fleet {

template <class Struct, class Value>
struct Member {
  constexpr Member(std::string_view its_name, Value Struct::* its_place)
      : name(its_name), place(its_place) {}
  std::string_view name;
  Value Struct::* place;
};

template <class Struct>
struct Members {};

template <class T>
concept HasMembers = requires { Members<T>::kRows; };

// Numbered from 0 without gaps, each with a word; any other number has an empty one.
template <class T>
concept HasWords = std::is_enum_v<T> && requires(T value) {
  { to_string(value) } -> std::convertible_to<std::string_view>;
};

template <class T>
std::optional<T> enumerator_of(std::string_view word) {
  for (int number = 0;; ++number) {
    const std::string_view known = to_string(static_cast<T>(number));
    if (known.empty()) return std::nullopt;
    if (known == word) return static_cast<T>(number);
  }
}

// The options of control/, as a list of KEY=VALUE.
inline base::Result<bool> assign_option(const control::Request::Option& option,
                                        control::ContractOptions& options) {
  return control::assign_contract_option(option, options);
}
using control::assign_option;

template <class T>
concept HasOptions =
    std::same_as<T, control::ContractOptions> || std::same_as<T, control::RunOptions> ||
    std::same_as<T, control::AttemptOptions>;

// The first member of `json` and of what it holds that a reader passes over.
template <class T>
std::optional<std::string> unknown_member(const tuf::Json& /*json*/, const std::string& /*where*/) {
  return std::nullopt;
}

template <HasMembers T>
std::optional<std::string> unknown_member(const tuf::Json& json, const std::string& where);

template <class T>
  requires HasMembers<typename T::value_type>
std::optional<std::string> unknown_member(const tuf::Json& json, const std::string& where) {
  std::size_t index = 0;
  for (const auto& one : json) {
    auto unknown =
        unknown_member<typename T::value_type>(one, where + "[" + std::to_string(index++) + "]");
    if (unknown) return unknown;
  }
  return std::nullopt;
}

template <HasMembers T>
std::optional<std::string> unknown_member(const tuf::Json& json, const std::string& where) {
  if (!json.is_object()) return std::nullopt;
  for (const auto& [name, value] : json.items()) {
    const std::string inner = where.empty() ? name : where + "." + name;
    bool is_known = false;
    std::optional<std::string> unknown;
    const auto look = [&]<class Value>(const Member<T, Value>& row) {
      if (row.name != name) return;
      is_known = true;
      unknown = unknown_member<Value>(value, inner);
    };
    std::apply([&](const auto&... row) { (look(row), ...); }, Members<T>::kRows);
    if (!is_known) return inner;
    if (unknown) return unknown;
  }
  return std::nullopt;
}

class MemberWriter {
 public:
  explicit MemberWriter(base::JsonWriter& json) : json_(json) {}

  template <HasMembers T>
  void write_members(const T& value) {
    static const T kDefaults{};
    std::apply([&](const auto&... row) { (write_member(value, kDefaults, row), ...); },
               Members<T>::kRows);
  }

  template <HasMembers T>
  void write(const T& value) {
    json_.begin_object();
    write_members(value);
    json_.end();
  }

  template <class T>
  void write(const std::vector<T>& values) {
    json_.begin_array();
    for (const auto& value : values) write(value);
    json_.end();
  }

  template <HasOptions T>
  void write(const T& options) {
    control::Request request;
    control::append_options(request, options);
    json_.begin_array();
    for (const auto& [key, value] : request.options) json_.value(key + "=" + value);
    json_.end();
  }

  template <HasWords T>
  void write(T value) {
    json_.value(to_string(value));
  }

  template <std::unsigned_integral T>  // bool is one
  void write(T value) {
    json_.value(value);
  }

  void write(const std::string& text) { json_.value(text); }

 private:
  template <class T, class Value>
  void write_member(const T& value, const T& defaults, const Member<T, Value>& row) {
    if (value.*row.place == defaults.*row.place) return;
    json_.key(row.name);
    write(value.*row.place);
  }

  base::JsonWriter& json_;
};

// Each fails with data_loss; `where` is the place in messages: "health.interval_ms".
class MemberReader {
 public:
  template <HasMembers T>
  static base::Result<void> read(const tuf::Json& json, const std::string& where, T& value) {
    if (!json.is_object()) return wrong(where, "an object");
    base::Result<void> result;
    std::apply(
        [&](const auto&... row) {
          (void)((result = read_member(json, where, value, row)).has_value() && ...);
        },
        Members<T>::kRows);
    return result;
  }

  template <class T>
  static base::Result<void> read(const tuf::Json& json, const std::string& where,
                                 std::vector<T>& values) {
    if (!json.is_array()) return wrong(where, "a list");
    values.clear();
    values.reserve(json.size());
    for (const auto& one : json) {
      values.emplace_back();
      SEGUE_TRY(read(one, where + "[" + std::to_string(values.size() - 1) + "]", values.back()));
    }
    return {};
  }

  template <HasOptions T>
  static base::Result<void> read(const tuf::Json& json, const std::string& where, T& options) {
    std::vector<std::string> words;
    SEGUE_TRY(read(json, where, words));
    for (const auto& word : words) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos) return wrong(where, "a list of KEY=VALUE");
      const auto known = assign_option({word.substr(0, equals), word.substr(equals + 1)}, options);
      if (!known) {
        return base::fail(base::ErrorCode::data_loss, "{}.{}", where, known.error().message());
      }
    }
    return {};
  }

  template <HasWords T>
  static base::Result<void> read(const tuf::Json& json, const std::string& where, T& value) {
    const auto known = json.is_string() ? enumerator_of<T>(json.get_ref<const std::string&>())
                                        : std::optional<T>();
    if (!known) return wrong(where, "a word that is known");
    value = *known;
    return {};
  }

  template <std::unsigned_integral T>
  static base::Result<void> read(const tuf::Json& json, const std::string& where, T& value) {
    if (!json.is_number_unsigned() || json.get<std::uint64_t>() > std::numeric_limits<T>::max()) {
      return base::fail(base::ErrorCode::data_loss, "{}: not a whole number of at most {}", where,
                        std::numeric_limits<T>::max());
    }
    value = json.get<T>();
    return {};
  }

  static base::Result<void> read(const tuf::Json& json, const std::string& where, bool& value) {
    if (!json.is_boolean()) return wrong(where, "true or false");
    value = json.get<bool>();
    return {};
  }

  static base::Result<void> read(const tuf::Json& json, const std::string& where,
                                 std::string& value) {
    if (!json.is_string()) return wrong(where, "a string");
    value = json.get<std::string>();
    return {};
  }

 private:
  static tl::unexpected<base::Error> wrong(const std::string& where, const char* expected) {
    return base::fail(base::ErrorCode::data_loss, "{}: not {}", where, expected);
  }

  template <class T, class Value>
  static base::Result<void> read_member(const tuf::Json& json, const std::string& where, T& value,
                                        const Member<T, Value>& row) {
    const auto found = json.find(std::string(row.name));
    if (found == json.end()) return {};
    const std::string inner =
        where.empty() ? std::string(row.name) : where + "." + std::string(row.name);
    return read(*found, inner, value.*row.place);
  }
};

}  // namespace segue::fleet
