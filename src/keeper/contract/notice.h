// SPDX-License-Identifier: Apache-2.0
// What a program says with sd_notify(3). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"

namespace segue::keeper {

inline constexpr std::size_t kMaxNoticeBytes = 4'096;
inline constexpr std::size_t kMaxFdNameBytes = 255;
inline constexpr std::size_t kMaxStatusBytes = 1'024;  // of a STATUS; what is longer is cut

// One message. Keys that nobody knows are ignored, and so is a known one whose value is wrong: its
// name is then in `wrong`.
struct Notice {
  enum class Watchdog { none, ping, trigger };

  bool ready = false;
  bool reloading = false;
  bool stopping = false;
  bool barrier = false;  // its one descriptor is to be closed when all before it was processed
  std::optional<std::string> status;
  std::optional<std::int32_t> main_pid;
  std::optional<std::int32_t> error_number;
  Watchdog watchdog = Watchdog::none;
  std::optional<base::Duration> watchdog_interval;
  std::optional<base::Duration> extend_timeout;
  std::optional<std::uint64_t> monotonic_us;  // of RELOADING, on the program's clock
  bool store = false;                         // its descriptors are to be kept …
  bool remove = false;                        // those kept under the name are to go
  std::string fd_name = "stored";
  bool fd_poll = true;  // … until they hang up
  std::string wrong;

  bool operator==(const Notice&) const = default;
};

// Fails on what is no message of this kind at all: too long, or a NUL inside.
base::Result<Notice> parse_notice(std::string_view message);

}  // namespace segue::keeper
