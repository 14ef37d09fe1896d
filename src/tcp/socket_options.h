// SPDX-License-Identifier: Apache-2.0
// The socket options that move with a connection: what a service may have set, one table.
#pragma once

#include <cstdint>
#include <span>

namespace segue::tcp {

enum class OptionMoment : std::uint8_t {
  before_bind,   // has no effect later
  before_leave,  // at any time while the connection is being restored
  after_leave,   // switching repair off resets it
};

enum class OptionFamily : std::uint8_t { any, ipv4, ipv6 };

struct SocketOption {
  std::uint16_t id;  // in an image; never used again for another option
  int level;         // SOL_SOCKET, IPPROTO_TCP, …
  int name;
  OptionMoment moment;
  OptionFamily family;
  const char* label;  // for messages
};

struct OptionValue {
  std::uint16_t id = 0;
  std::int32_t value = 0;
  friend bool operator==(const OptionValue&, const OptionValue&) = default;
};

inline constexpr std::uint16_t kReuseAddress = 2;  // the id of SO_REUSEADDR

// In ascending order of their id.
std::span<const SocketOption> socket_options();
// nullptr: there is none with this id.
const SocketOption* find_option(std::uint16_t id);

}  // namespace segue::tcp
