// SPDX-License-Identifier: Apache-2.0
// What instances have printed: asked for by a server, and read by the agent of the host. JSON as in
// host.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/instance.h"

namespace segue::fleet {

inline constexpr std::uint32_t kMaxLogLines = 1'000;                   // of one answer
inline constexpr std::size_t kMaxLogBytes = std::size_t{32} << 10;     // … of what was printed
inline constexpr std::size_t kMaxLogLineBytes = std::size_t{4} << 10;  // a longer one is cut in two
inline constexpr std::size_t kMaxLogPlaceBytes = 500;

struct LogsWanted {
  std::string component;
  Slot slot = Slot::stable;
  // Where an answer ended; empty: the last `lines` before now.
  std::string from = {};
  std::uint32_t lines = 0;

  bool operator==(const LogsWanted&) const = default;
};

struct LogLine {
  std::uint64_t generation = 0;  // of the instance, with its keeper
  std::string text;              // without its end

  bool operator==(const LogLine&) const = default;
};
struct LogsRead {
  std::vector<LogLine> lines;  // of one generation in their order
  std::string at = {};         // where to go on
  bool more = false;           // there is more already
  std::string trouble = {};    // why nothing can be read; empty: nothing

  bool operator==(const LogsRead&) const = default;
};

// What is not UTF-8 becomes U+FFFD.
std::string write_logs_wanted(const LogsWanted& wanted);
std::string write_logs_read(const LogsRead& read);

// data_loss: damaged, or out of bounds.
base::Result<LogsWanted> read_logs_wanted(std::string_view bytes);
base::Result<LogsRead> read_logs_read(std::string_view bytes);

}  // namespace segue::fleet
