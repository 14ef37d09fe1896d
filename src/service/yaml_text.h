// SPDX-License-Identifier: Apache-2.0
// Writes block YAML line by line.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace segue::service {

// As a value: plain where every reader takes it for a string, else in double quotes, on one line.
std::string yaml_scalar(std::string_view text);
// [A, "b c"]
std::string yaml_list(const std::vector<std::string>& texts);

class YamlText {
 public:
  explicit YamlText(bool with_defaults) : with_defaults_(with_defaults) {}

  // Whether what is at its default (or not) is to be written.
  [[nodiscard]] bool shows(bool at_default) const { return with_defaults_ || !at_default; }

  // A map below `key`; one in which nothing was written disappears with its end.
  void begin(std::string_view key);
  // A map as a member of a list.
  void begin_item();
  void end();

  void line(std::string_view key, std::string_view value);
  // Nothing where there is nothing to say.
  void text(std::string_view key, const std::string& value);
  void list(std::string_view key, const std::vector<std::string>& texts);
  void item(std::string_view value);
  void comment(std::string_view text);

  [[nodiscard]] std::string take() && { return std::move(text_); }

 private:
  void start_line();

  bool with_defaults_;
  bool after_dash_ = false;  // the next line goes on behind "- "
  std::string text_;
  std::string indent_;
  struct Level {
    std::size_t begins_at;
    std::size_t empty_at;
  };
  std::vector<Level> levels_;
};

}  // namespace segue::service
