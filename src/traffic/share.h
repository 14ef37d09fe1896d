// SPDX-License-Identifier: Apache-2.0
// The part of new connections that a canary gets. Pure.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::traffic {

// In parts per million, so that 0.1% can be said exactly.
inline constexpr std::uint32_t kWholePpm = 1'000'000;

// "10%", "0.1%", "100%": from 0% to 100%, with at most four digits behind the point.
base::Result<std::uint32_t> parse_share(std::string_view text);
// "10%", "0.1%"
std::string share_text(std::uint32_t share_ppm);
// Of a measurement: "10.13%"; "-" for 0 of 0.
std::string measured_text(std::uint64_t part, std::uint64_t whole);

// Who gets the canary, below 0% and 100%.
enum class Pick {
  random,  // each connection for itself
  source,  // the same clients again and again, by their address
};
std::string_view to_string(Pick pick);
base::Result<Pick> parse_pick(std::string_view text);

// Of a longer number, such as one that names a rollout.
std::uint32_t salt_of(std::uint64_t number);

struct ShareRule {
  std::uint32_t share_ppm = 0;
  Pick pick = Pick::random;
  // Pick::source: which clients are first. With the same salt a growing share only adds clients;
  // with another one other clients are first.
  std::uint32_t salt = 0;

  bool operator==(const ShareRule&) const = default;
};

}  // namespace segue::traffic
