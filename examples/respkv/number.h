// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace respkv {

// Decimal, as Redis reads integers: no spaces, no plus sign, no superfluous zeros.
std::optional<std::int64_t> parse_integer(std::string_view text);
// The whole text; "inf" is a number, "nan" is none.
std::optional<long double> parse_float(std::string_view text);
// The shortest text that reads back as the same number; "inf", "-inf".
std::string format_double(double number);
// 17 decimals at most, without trailing zeros; how INCRBYFLOAT stores a number.
std::string format_long_double(long double number);

}  // namespace respkv
