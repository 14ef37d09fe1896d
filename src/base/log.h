// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstddef>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/time.h"

namespace segue::base {

enum class LogLevel { debug, info, warning, error };

std::string_view to_string(LogLevel level);

struct LogField {
  template <class T>
  LogField(std::string_view field_key, const T& field_value)
      : key(field_key), value(fmt::to_string(field_value)) {}

  std::string_view key;
  std::string value;
};

// Events for people and for tools, each one logfmt line and one write(2):
//   ts=2026-01-31T12:00:00.123456Z level=info event=handoff.started component=web epoch=7
// A line is never longer than kMaxLineBytes; one that would be is cut and ends with cut=true. A
// line that the sink does not take is lost: logging never blocks on, and never fails, what it
// reports. Thread-safe. Library code never logs above debug; the caller logs, once.
class Log {
 public:
  static constexpr std::size_t kMaxLineBytes =
      4096;  // PIPE_BUF: lines of several writers stay whole

  struct Options {
    int fd = 2;  // borrowed
    LogLevel level = LogLevel::info;
    std::function<RealTime()> now;  // without it, lines carry no ts (journald adds its own)
  };

  Log() = default;
  explicit Log(Options options) : options_(std::move(options)) {}

  using Fields = std::initializer_list<LogField>;
  void debug(std::string_view event, Fields fields = {}) const;
  void info(std::string_view event, Fields fields = {}) const;
  void warning(std::string_view event, Fields fields = {}) const;
  void error(std::string_view event, Fields fields = {}) const;

 private:
  void write(LogLevel level, std::string_view event, Fields fields) const;

  Options options_;
};

}  // namespace segue::base
