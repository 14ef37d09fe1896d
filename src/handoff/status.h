// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>

#include "segue/segue.h"

namespace segue::handoff {

// The outcome of an internal step: a code and, where it is not SEGUE_OK, a text for a person.
// libsegue has no dependencies and no exceptions, hence its own small type.
struct [[nodiscard]] Status {
  segue_status code = SEGUE_OK;
  std::string text;

  [[nodiscard]] bool ok() const { return code == SEGUE_OK; }
  static Status good() { return {}; }
  static Status bad(segue_status code, std::string text) { return {code, std::move(text)}; }
  // SEGUE_SYSTEM with errno's text after `what`.
  static Status system(const std::string& what);
};

}  // namespace segue::handoff
