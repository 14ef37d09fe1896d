// SPDX-License-Identifier: Apache-2.0
// Reads the members of one object strictly: each is there, has its type and its range, and nothing
// else is there. Errors are data_loss.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::analysis {

using Json = nlohmann::json;

class JsonObject {
 public:
  // `what` names the object in errors.
  static base::Result<JsonObject> parse(std::string_view text, std::string what);
  static base::Result<JsonObject> of(Json json, std::string what);

  base::Result<JsonObject> object(const char* name);
  [[nodiscard]] bool has(const char* name) const { return rest_.contains(name); }
  // Null where the member is null.
  base::Result<Json> take(const char* name);
  base::Result<std::string> text(const char* name, std::size_t max_bytes);
  base::Result<bool> truth(const char* name);
  base::Result<std::uint64_t> count(const char* name, std::uint64_t max);
  base::Result<double> number(const char* name, double min, double max);
  // Exactly `size`.
  base::Result<std::vector<double>> numbers(const char* name, std::size_t size, double min,
                                            double max);

  // The place of the member's text in `words`.
  template <class Words>
  base::Result<std::size_t> word(const char* name, const Words& words) {
    SEGUE_ASSIGN(const std::string found, text(name, 64));
    for (std::size_t place = 0; place < words.size(); ++place) {
      if (found == words[place]) return place;
    }
    return base::fail(wrong(name, "a word that is known"));
  }

  // That every member was taken.
  base::Result<void> end();

 private:
  JsonObject(Json json, std::string what) : rest_(std::move(json)), what_(std::move(what)) {}
  [[nodiscard]] base::Error wrong(const char* name, std::string_view expected) const;

  Json rest_;
  std::string what_;
};

std::string one_line(const Json& json);

}  // namespace segue::analysis
