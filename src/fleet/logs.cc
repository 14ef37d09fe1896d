// SPDX-License-Identifier: Apache-2.0
#include "fleet/logs.h"

#include <algorithm>

#include "control/name.h"
#include "fleet/host.h"
#include "fleet/layout.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Fields;
using tuf::Json;

constexpr const char* kWanted = "segue_logs_wanted";
constexpr const char* kRead = "segue_logs";
constexpr std::size_t kMostBytesOfOne = 3;  // that is not UTF-8, as U+FFFD

Result<Fields> open(std::string_view bytes, const char* format, const char* what) {
  if (bytes.size() > kMaxHostDocumentBytes) {
    return fail(ErrorCode::data_loss, "{} of {} bytes", what, bytes.size());
  }
  SEGUE_ASSIGN(Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), what));
  SEGUE_TRY(fields.number(format, 1));  // newer ones only add
  return fields;
}

Result<std::string> text(Fields& fields, const char* name, std::size_t max_bytes) {
  SEGUE_ASSIGN(std::string value, fields.string(name));
  if (value.size() <= max_bytes) return value;
  return fail(ErrorCode::data_loss, "'{}' of {} is longer than {} bytes", name, fields.what(),
              max_bytes);
}

Result<LogLine> read_line(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a line of logs"));
  LogLine line;
  SEGUE_ASSIGN(line.generation, fields.number("generation", 0));
  SEGUE_ASSIGN(line.text, text(fields, "text", kMostBytesOfOne * kMaxLogLineBytes));
  return line;
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string write_logs_wanted(const LogsWanted& wanted) {
  return line_of(Json{{kWanted, 1},
                      {"component", wanted.component},
                      {"slot", to_string(wanted.slot)},
                      {"from", wanted.from},
                      {"lines", wanted.lines}});
}

std::string write_logs_read(const LogsRead& read) {
  Json lines = Json::array();
  for (const auto& line : read.lines) {
    lines.push_back(Json{{"generation", line.generation}, {"text", line.text}});
  }
  return line_of(Json{{kRead, 1},
                      {"lines", std::move(lines)},
                      {"at", read.at},
                      {"more", read.more},
                      {"trouble", short_text(read.trouble)}});
}

Result<LogsWanted> read_logs_wanted(std::string_view bytes) {
  SEGUE_ASSIGN(Fields fields, open(bytes, kWanted, "what logs are wanted"));
  LogsWanted wanted;
  SEGUE_ASSIGN(wanted.component, fields.string("component"));
  if (const auto checked = control::check_name(wanted.component); !checked) {
    return fail(ErrorCode::data_loss, "{}: {}", fields.what(), checked.error().message());
  }
  SEGUE_ASSIGN(const std::string slot, fields.string("slot"));
  const auto known = slot_of(slot);
  if (!known) return fail(ErrorCode::data_loss, "{}: no slot '{}'", fields.what(), slot);
  wanted.slot = *known;
  SEGUE_ASSIGN(wanted.from, text(fields, "from", kMaxLogPlaceBytes));
  SEGUE_ASSIGN(const std::uint64_t lines, fields.number("lines", 0));
  wanted.lines = static_cast<std::uint32_t>(std::min<std::uint64_t>(lines, kMaxLogLines));
  return wanted;
}

Result<LogsRead> read_logs_read(std::string_view bytes) {
  SEGUE_ASSIGN(Fields fields, open(bytes, kRead, "logs"));
  LogsRead read;
  SEGUE_ASSIGN(Json lines, fields.take("lines"));
  if (!lines.is_array() || lines.size() > kMaxLogLines) {
    return fail(ErrorCode::data_loss, "'lines' is no list of at most {}", kMaxLogLines);
  }
  for (auto& json : lines) {
    SEGUE_ASSIGN(LogLine line, read_line(std::move(json)));
    read.lines.push_back(std::move(line));
  }
  SEGUE_ASSIGN(read.at, text(fields, "at", kMaxLogPlaceBytes));
  SEGUE_ASSIGN(const auto more, fields.boolean_if_any("more"));
  read.more = more.value_or(false);
  SEGUE_ASSIGN(read.trouble, text(fields, "trouble", kMaxTextBytes));
  return read;
}

}  // namespace segue::fleet
