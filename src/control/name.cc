// SPDX-License-Identifier: Apache-2.0
#include "control/name.h"

#include <fmt/format.h>

#include <algorithm>

namespace segue::control {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name_char(char c) {
  return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
}

bool is_version_char(char c) {
  return is_name_char(c) || c == '+' || c == '~';
}

struct Rule {
  std::size_t max_bytes;
  bool (*is_allowed)(char c);
  std::string_view allowed;  // for a person
};

base::Result<void> check(std::string_view text, std::string_view what, const Rule& rule) {
  const auto refuse = [&](std::string_view why) {
    return base::fail(base::ErrorCode::invalid_argument, "'{}' cannot name {}: {}",
                      text.substr(0, rule.max_bytes + 1), what, why);
  };
  if (text.empty()) return refuse("it is empty");
  if (text.size() > rule.max_bytes) {
    return refuse(fmt::format("it is longer than {} characters", rule.max_bytes));
  }
  if (!is_alphanumeric(text.front())) return refuse("it has to begin with a letter or a digit");
  if (!std::all_of(text.begin(), text.end(), rule.is_allowed)) {
    return refuse(fmt::format("use {} only", rule.allowed));
  }
  return {};
}

}  // namespace

base::Result<void> check_name(std::string_view name, std::string_view what) {
  return check(name, what, {kMaxNameBytes, is_name_char, "letters, digits, '.', '_' and '-'"});
}

base::Result<void> check_version(std::string_view version) {
  return check(version, "a version",
               {kMaxVersionBytes, is_version_char, "letters, digits, '.', '_', '-', '+' and '~'"});
}

}  // namespace segue::control
