// SPDX-License-Identifier: Apache-2.0
#include "control/name.h"

#include <algorithm>

namespace segue::control {
namespace {

bool is_alphanumeric(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_name_char(char c) {
  return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
}

}  // namespace

base::Result<void> check_name(std::string_view name) {
  const auto refuse = [&](std::string_view rule) {
    return base::fail(base::ErrorCode::invalid_argument, "'{}' cannot name a component: {}",
                      name.substr(0, kMaxNameBytes + 1), rule);
  };
  if (name.empty()) return refuse("it is empty");
  if (name.size() > kMaxNameBytes) return refuse("it is longer than 63 characters");
  if (!is_alphanumeric(name.front())) return refuse("it has to begin with a letter or a digit");
  if (!std::all_of(name.begin(), name.end(), is_name_char)) {
    return refuse("use letters, digits, '.', '_' and '-' only");
  }
  return {};
}

}  // namespace segue::control
