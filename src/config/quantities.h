// SPDX-License-Identifier: Apache-2.0
// Amounts with their units, as people write them in files. Reading is exact, and what is written is
// read as the same. invalid_argument shows what would be right.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::config {

// "500us", "10ms", "30s", "5m", "1h30m", "7d": up to 366 days, in microseconds. A bare number has
// no unit and is refused.
base::Result<std::uint64_t> parse_time_span_us(std::string_view text);
std::string time_span_text(std::uint64_t time_us);  // in the largest unit that is exact

// "512MiB": B, KiB, MiB, GiB, TiB; up to 1024 TiB.
base::Result<std::uint64_t> parse_size_bytes(std::string_view text);
std::string size_text(std::uint64_t bytes);  // in the largest unit that is exact

// "10%", "0.5%": 0 to 100, four digits behind the point; in millionths of the whole.
base::Result<std::uint32_t> parse_percent_ppm(std::string_view text);
// Likewise up to 10000%: how much more something may be.
base::Result<std::uint32_t> parse_growth_ppm(std::string_view text);
std::string percent_text(std::uint32_t ppm);

// "1.5": up to a million, three digits behind the point.
base::Result<std::uint32_t> parse_thousandths(std::string_view text);
std::string thousandths_text(std::uint32_t thousandths);

}  // namespace segue::config
