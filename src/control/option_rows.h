// SPDX-License-Identifier: Apache-2.0
// Tables of options: to and from KEY=VALUE, with bounds.
#pragma once

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <variant>

#include "base/error.h"
#include "control/request.h"

namespace segue::control {

// One row per key: where the value goes, and its bounds if it is a number.
template <class Options>
struct Row {
  using Member = std::variant<std::uint32_t Options::*, std::optional<std::uint32_t> Options::*,
                              bool Options::*, std::string Options::*>;
  std::string_view key;
  Member member;
  std::uint32_t min = 0;
  std::uint32_t max = 0;
};

template <class T>
base::Result<T> parse_number(std::string_view key, std::string_view text, T min, T max) {
  T number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < min || number > max) {
    return base::fail(base::ErrorCode::invalid_argument, "{}: '{}' is not a number from {} to {}",
                      key, text.substr(0, 40), min, max);
  }
  return number;
}

inline base::Result<bool> parse_bool(std::string_view key, std::string_view text) {
  if (text == "1") return true;
  if (text == "0") return false;
  return base::fail(base::ErrorCode::invalid_argument, "{}: '{}' is neither 0 nor 1", key,
                    text.substr(0, 40));
}

template <class Options>
base::Result<void> assign(const Row<Options>& row, std::string_view text, Options& options) {
  return std::visit(
      [&](auto member) -> base::Result<void> {
        auto& place = options.*member;
        using Place = std::remove_reference_t<decltype(place)>;
        if constexpr (std::is_same_v<Place, std::string>) {
          place = text;
        } else if constexpr (std::is_same_v<Place, bool>) {
          SEGUE_ASSIGN(place, parse_bool(row.key, text));
        } else {
          SEGUE_ASSIGN(place, parse_number(row.key, text, row.min, row.max));
        }
        return {};
      },
      row.member);
}

template <class Options, std::size_t count>
base::Result<bool> assign_known(const std::array<Row<Options>, count>& rows,
                                const Request::Option& option, Options& options) {
  for (const auto& row : rows) {
    if (row.key != option.key) continue;
    SEGUE_TRY(assign(row, option.value, options));
    return true;
  }
  return false;
}

template <class Options, std::size_t count>
void append_rows(const std::array<Row<Options>, count>& rows, const Options& options,
                 Request& request) {
  const Options defaults;
  for (const auto& row : rows) {
    std::visit(
        [&](auto member) {
          const auto& place = options.*member;
          using Place = std::remove_cvref_t<decltype(place)>;
          if (place == defaults.*member) return;
          if constexpr (std::is_same_v<Place, std::optional<std::uint32_t>>) {
            request.options.push_back({std::string(row.key), fmt::to_string(*place)});
          } else if constexpr (std::is_same_v<Place, bool>) {
            request.options.push_back({std::string(row.key), place ? "1" : "0"});
          } else {
            request.options.push_back({std::string(row.key), fmt::to_string(place)});
          }
        },
        row.member);
  }
}

}  // namespace segue::control
