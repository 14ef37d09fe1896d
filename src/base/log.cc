// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <fmt/chrono.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iterator>

#include "base/assert.h"
#include "base/json_writer.h"

namespace segue::base {
namespace {

constexpr std::string_view kCut = " cut=true";

std::string timestamp(RealTime time) {
  const auto seconds = std::chrono::floor<std::chrono::seconds>(time);
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(time - seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:06}Z", fmt::gmtime(seconds.time_since_epoch().count()),
                     micros.count());
}

bool needs_quotes(std::string_view value) {
  return value.empty() || std::any_of(value.begin(), value.end(), [](char c) {
           const auto code = static_cast<unsigned char>(c);
           return code <= ' ' || code >= 0x7F || c == '"' || c == '=' || c == '\\';
         });
}

void append_field(std::string& line, std::string_view key, std::string_view value) {
  if (!line.empty()) line += ' ';
  line += key;
  line += '=';
  if (needs_quotes(value)) {
    append_json_string(line, value);
  } else {
    line += value;
  }
}

}  // namespace

std::string_view to_string(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return "debug";
    case LogLevel::info:
      return "info";
    case LogLevel::warning:
      return "warning";
    case LogLevel::error:
      return "error";
  }
  SEGUE_ASSERT(false && "a LogLevel outside its enumeration");
}

void Log::debug(std::string_view event, Fields fields) const {
  write(LogLevel::debug, event, fields);
}
void Log::info(std::string_view event, Fields fields) const {
  write(LogLevel::info, event, fields);
}
void Log::warning(std::string_view event, Fields fields) const {
  write(LogLevel::warning, event, fields);
}
void Log::error(std::string_view event, Fields fields) const {
  write(LogLevel::error, event, fields);
}

void Log::write(LogLevel level, std::string_view event, Fields fields) const {
  if (level < options_.level) return;
  std::string line;
  if (options_.now) append_field(line, "ts", timestamp(options_.now()));
  append_field(line, "level", to_string(level));
  append_field(line, "event", event);

  bool cut = false;
  for (const LogField& field : fields) {
    const std::size_t whole_bytes = line.size();
    append_field(line, field.key, field.value);
    if (line.size() + kCut.size() + 1 > kMaxLineBytes) {
      line.resize(whole_bytes);
      cut = true;
    }
  }
  if (cut) line += kCut;
  line += '\n';
  [[maybe_unused]] const auto written = ::write(options_.fd, line.data(), line.size());
}

}  // namespace segue::base
