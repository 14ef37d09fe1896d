// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "command.h"

namespace respkv {

enum class TimeUnit : std::uint8_t {
  seconds_from_now,
  milliseconds_from_now,
  seconds_of_day,  // since 1970
  milliseconds_of_day
};

// EX, PX, EXAT, PXAT.
std::optional<TimeUnit> time_unit_of(std::string_view word);

// The time of day in milliseconds that `amount` means, which may have passed. nullopt if the amount
// is no number or out of range; the client has been told.
std::optional<std::int64_t> parse_time(Call& call, std::string_view amount, TimeUnit unit);

// As parse_time(), and 0 or less is refused too.
std::optional<std::uint64_t> parse_expiry_time(Call& call, std::string_view amount, TimeUnit unit);

}  // namespace respkv
