// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "base/time.h"
#include "load/wire.h"

namespace segue::load {

inline constexpr std::uint32_t kMaxConnections = 60'000;
inline constexpr std::uint32_t kMaxRatePerSecond = 200'000;
inline constexpr std::uint32_t kMaxKeys = 10'000'000;
inline constexpr std::uint32_t kMaxSeconds = 3'600;

struct Options {
  Protocol protocol = Protocol::resp;
  std::string host = "127.0.0.1";  // an IPv4 address
  std::uint16_t port = 0;
  std::uint32_t connections = 1'000;    // long-lived ones
  base::Duration period{};              // one request of each of them per period
  std::uint32_t new_per_second = 0;     // connect, one request, close
  std::uint32_t writes_per_second = 0;  // RESP: spread over the long-lived connections
  std::uint32_t write_keys = 0;         // how many keys these writes go to
  base::Duration run_time{};            // 0: until told to stop
  bool measure_wakeup = true;
};

}  // namespace segue::load
