// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "handoff/fields.h"
#include "handoff/status.h"

namespace segue::handoff {

// True for 1..63 bytes of [A-Za-z0-9._:-].
bool is_name(std::string_view name);

struct FormRange {
  uint32_t version = 0;
  uint32_t oldest = 0;
};

// The highest version that the predecessor writes and the successor reads; nullopt if none.
std::optional<uint32_t> agree(FormRange predecessor, FormRange successor);

// A declared form and its converters.
class Form {
 public:
  Form() = default;
  static Status make(const segue_form& declared, Form& form);

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] FormRange range() const { return range_; }

  // The name that was declared for a field; empty: none was.
  [[nodiscard]] std::string_view field_name(uint32_t tag) const;
  // True if `version` is older than the field was declared to be.
  [[nodiscard]] bool is_unknown_to(uint32_t version, uint32_t tag) const;

  // Takes `record` from one version to another, step by step; both within range(). Afterwards
  // `record` is finished.
  Status convert(uint32_t from, uint32_t to, segue_writer& record) const;

 private:
  std::string name_;
  FormRange range_;
  segue_convert up_ = nullptr;
  segue_convert down_ = nullptr;
  void* user_ = nullptr;
  struct Named {
    uint32_t tag = 0;
    uint32_t since = 0;
    std::string name;
  };
  std::vector<Named> fields_;
};

}  // namespace segue::handoff
