// SPDX-License-Identifier: Apache-2.0
#include "cli/unit_file.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <chrono>
#include <utility>

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kBlanks = " \t\n\r";
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string_view without_leading_blanks(std::string_view text) {
  const auto start = text.find_first_not_of(kBlanks);
  return start == std::string_view::npos ? std::string_view() : text.substr(start);
}

std::string_view stripped(std::string_view text) {
  text = without_leading_blanks(text);
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

// An even number of backslashes at the end are backslashes.
bool goes_on(std::string_view line) {
  bool escaped = false;
  for (const char c : line) escaped = !escaped && c == '\\';
  return escaped;
}

// Logical lines: comments left out, also between the parts of a continued line.
std::vector<std::string> lines_of(std::string_view text) {
  if (text.starts_with(kByteOrderMark)) text.remove_prefix(kByteOrderMark.size());
  std::vector<std::string> lines;
  std::string continued;
  bool continuing = false;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = without_leading_blanks(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.starts_with('#') || line.starts_with(';')) continue;
    continued += line;
    continuing = goes_on(continued);
    if (continuing) {
      continued.back() = ' ';
    } else {
      lines.push_back(std::exchange(continued, {}));
    }
  }
  if (continuing) lines.push_back(std::move(continued));
  return lines;
}

struct Unit {
  std::string_view name;
  base::Duration length;
};
using std::chrono::hours;
using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
constexpr std::array<Unit, 21> kUnits = {{
    {"usec", microseconds(1)}, {"us", microseconds(1)},  {"msec", milliseconds(1)},
    {"ms", milliseconds(1)},   {"seconds", seconds(1)},  {"second", seconds(1)},
    {"sec", seconds(1)},       {"s", seconds(1)},        {"minutes", minutes(1)},
    {"minute", minutes(1)},    {"min", minutes(1)},      {"m", minutes(1)},
    {"hours", hours(1)},       {"hour", hours(1)},       {"hr", hours(1)},
    {"h", hours(1)},           {"days", hours(24)},      {"day", hours(24)},
    {"d", hours(24)},          {"weeks", hours(24 * 7)}, {"w", hours(24 * 7)},
}};
constexpr double kMaxSpanSeconds = 1e9;  // beyond it there is no need to tell spans apart

}  // namespace

Result<UnitSettings> UnitSettings::parse(std::span<const UnitSource> sources) {
  UnitSettings settings;
  for (const auto& source : sources) {
    if (source.text.size() > kMaxUnitBytes || source.text.find('\0') != std::string::npos) {
      return fail(ErrorCode::invalid_argument, "{} is no unit file: it is {}", source.path,
                  source.text.size() > kMaxUnitBytes ? "too long" : "not text");
    }
    std::string section;
    for (const auto& line : lines_of(source.text)) settings.add_line(line, section);
  }
  return settings;
}

void UnitSettings::add_line(std::string_view line, std::string& section) {
  line = stripped(line);
  if (line.starts_with('[')) {
    // A header that is broken hides what follows it.
    section = line.ends_with(']') ? std::string(line.substr(1, line.size() - 2)) : "";
    return;
  }
  const std::size_t equals = line.find('=');
  if (section.empty() || equals == std::string_view::npos || equals == 0) return;
  auto& values = values_[{section, std::string(stripped(line.substr(0, equals)))}];
  const std::string_view value = stripped(line.substr(equals + 1));
  if (value.empty()) {
    values.clear();
  } else {
    values.emplace_back(value);
  }
}

const std::vector<std::string>* UnitSettings::find(std::string_view section,
                                                   std::string_view key) const {
  const auto found = values_.find(std::pair(std::string(section), std::string(key)));
  return found == values_.end() ? nullptr : &found->second;
}

std::vector<std::string> UnitSettings::list(std::string_view section, std::string_view key) const {
  const auto* values = find(section, key);
  return values == nullptr ? std::vector<std::string>() : *values;
}

std::optional<std::string> UnitSettings::last(std::string_view section,
                                              std::string_view key) const {
  const auto* values = find(section, key);
  if (values == nullptr || values->empty()) return std::nullopt;
  return values->back();
}

bool UnitSettings::is_true(std::string_view section, std::string_view key) const {
  std::string value = last(section, key).value_or("");
  std::transform(value.begin(), value.end(), value.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  constexpr std::array<std::string_view, 6> kTrue = {"1", "yes", "y", "true", "t", "on"};
  return std::find(kTrue.begin(), kTrue.end(), value) != kTrue.end();
}

std::vector<std::string> UnitSettings::assigned() const {
  std::vector<std::string> names;
  for (const auto& [place, values] : values_) names.push_back(place.first + "." + place.second);
  return names;
}

std::optional<base::Duration> parse_time_span(std::string_view text) {
  text = stripped(text);
  if (text == "infinity") return base::Duration::max();
  if (text.empty()) return std::nullopt;
  double total_s = 0;
  while (!text.empty()) {
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc() || number < 0) return std::nullopt;
    text = without_leading_blanks(text.substr(static_cast<std::size_t>(end - text.data())));
    std::size_t length = 0;
    while (length < text.size() && text[length] >= 'a' && text[length] <= 'z') ++length;
    const std::string_view name = length == 0 ? "s" : text.substr(0, length);
    const auto* unit = std::find_if(kUnits.begin(), kUnits.end(),
                                    [&](const Unit& one) { return one.name == name; });
    if (unit == kUnits.end()) return std::nullopt;
    total_s += number * std::chrono::duration<double>(unit->length).count();
    text = without_leading_blanks(text.substr(length));
  }
  if (total_s > kMaxSpanSeconds) return base::Duration::max();
  return std::chrono::duration_cast<base::Duration>(std::chrono::duration<double>(total_s));
}

}  // namespace segue::cli
