// SPDX-License-Identifier: Apache-2.0
#include "agent/answer_text.h"

#include <nlohmann/json.hpp>

namespace segue::agent {

std::string text_of(const ChildRun::Result& result) {
  const auto last = nlohmann::json::parse(result.last_line, nullptr, false);
  if (!last.is_object()) return result.text;
  const auto text = last.find("text");
  return text != last.end() && text->is_string() ? text->get<std::string>() : result.text;
}

}  // namespace segue::agent
