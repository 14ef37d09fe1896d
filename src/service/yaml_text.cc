// SPDX-License-Identifier: Apache-2.0
#include "service/yaml_text.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/assert.h"
#include "base/json_writer.h"

namespace segue::service {
namespace {

// What some reader or other takes for something else than a string.
constexpr std::array<std::string_view, 12> kNoStrings = {
    "true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "~"};

bool is_plain(std::string_view text) {
  if (text.empty() || text.size() > 200) return false;
  const auto first = static_cast<unsigned char>(text.front());
  if (std::isalpha(first) == 0 && first != '/' && first != '_') return false;
  const auto fine = [](unsigned char c) {
    return std::isalnum(c) != 0 ||
           std::string_view("_./-+:=%").find(static_cast<char>(c)) != std::string_view::npos;
  };
  if (!std::ranges::all_of(text, fine) || text.ends_with(':')) return false;
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return std::ranges::find(kNoStrings, lower) == kNoStrings.end();
}

}  // namespace

std::string yaml_scalar(std::string_view text) {
  if (is_plain(text)) return std::string(text);
  // Every JSON string is one of YAML (YAML 1.2.2, section 1.2).
  std::string quoted;
  base::append_json_string(quoted, text);
  return quoted;
}

std::string yaml_list(const std::vector<std::string>& texts) {
  std::vector<std::string> scalars;
  scalars.reserve(texts.size());
  for (const auto& text : texts) scalars.push_back(yaml_scalar(text));
  return fmt::format("[{}]", fmt::join(scalars, ", "));
}

void YamlText::start_line() {
  if (!after_dash_) text_ += indent_;
  after_dash_ = false;
}

void YamlText::begin(std::string_view key) {
  const std::size_t begins_at = text_.size();
  start_line();
  text_.append(key).append(":\n");
  indent_ += "  ";
  levels_.push_back({begins_at, text_.size()});
}

void YamlText::begin_item() {
  const std::size_t begins_at = text_.size();
  start_line();
  text_ += "- ";
  after_dash_ = true;
  indent_ += "  ";
  levels_.push_back({begins_at, text_.size()});
}

void YamlText::end() {
  SEGUE_ASSERT(!levels_.empty());
  if (text_.size() == levels_.back().empty_at) text_.resize(levels_.back().begins_at);
  after_dash_ = false;
  levels_.pop_back();
  indent_.resize(indent_.size() - 2);
}

void YamlText::line(std::string_view key, std::string_view value) {
  start_line();
  text_.append(key).append(": ").append(value).append("\n");
}

void YamlText::text(std::string_view key, const std::string& value) {
  if (!value.empty()) line(key, yaml_scalar(value));
}

void YamlText::list(std::string_view key, const std::vector<std::string>& texts) {
  if (!texts.empty()) line(key, yaml_list(texts));
}

void YamlText::item(std::string_view value) {
  start_line();
  text_.append("- ").append(value).append("\n");
}

void YamlText::comment(std::string_view text) {
  start_line();
  text_.append("# ");
  for (const char c : text) text_ += c >= 0 && c < ' ' ? ' ' : c;
  text_ += '\n';
}

}  // namespace segue::service
