// SPDX-License-Identifier: Apache-2.0
// Reads the members of an object one by one; what nobody asked for remains.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tuf/json.h"

namespace segue::tuf {

class Fields {
 public:
  // `what` names the object in errors, which are all data_loss.
  static base::Result<Fields> of(Json json, std::string what);

  // The member, or null where it may be missing.
  base::Result<Json> take(const std::string& name);
  Json take_if_any(const std::string& name);

  base::Result<Fields> object(const std::string& name);
  base::Result<std::string> string(const std::string& name);
  base::Result<std::uint64_t> number(const std::string& name, std::uint64_t min);
  base::Result<std::optional<std::uint64_t>> number_if_any(const std::string& name);
  base::Result<std::optional<bool>> boolean_if_any(const std::string& name);
  base::Result<std::vector<std::string>> strings(const std::string& name);
  base::Result<std::optional<std::vector<std::string>>> strings_if_any(const std::string& name);

  [[nodiscard]] const std::string& what() const { return what_; }
  Json rest() && { return std::move(rest_); }

 private:
  Fields(Json json, std::string what) : rest_(std::move(json)), what_(std::move(what)) {}
  [[nodiscard]] base::Error wrong(const std::string& name, const char* expected) const;
  base::Result<std::vector<std::string>> strings_of(const Json& json, const std::string& name);
  base::Result<std::uint64_t> number_of(const Json& json, const std::string& name,
                                        std::uint64_t min);

  Json rest_;
  std::string what_;
};

}  // namespace segue::tuf
