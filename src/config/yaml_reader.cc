// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <set>

#include "config/near_names.h"

namespace segue::config {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string YamlReader::at(const YAML::Node& node) const {
  return fmt::format("{}:{}", path_, node.Mark().line + 1);
}

Result<void> YamlReader::check_keys(const YAML::Node& map, const std::string& prefix,
                                    const std::vector<std::string>& known) const {
  if (!map.IsMap()) {
    return fail(ErrorCode::invalid_argument, "{}: {} is not a list of keys with values", at(map),
                prefix.empty() ? "the file" : prefix.substr(0, prefix.size() - 1));
  }
  std::set<std::string> seen;
  for (const auto& entry : map) {
    SEGUE_ASSIGN(const std::string key, scalar(entry.first, "a key"));
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      const auto near = near_names(key, known);
      return fail(ErrorCode::invalid_argument, "{}: there is no key '{}{}'{}", at(entry.first),
                  prefix, key, near.empty() ? "" : "; did you mean '" + near.front() + "'?");
    }
    if (!seen.insert(key).second) {
      return fail(ErrorCode::invalid_argument, "{}: '{}{}' is there twice", at(entry.first), prefix,
                  key);
    }
  }
  return {};
}

Result<std::string> YamlReader::scalar(const YAML::Node& node, const std::string& key) const {
  if (node.IsScalar()) return node.Scalar();
  return fail(ErrorCode::invalid_argument, "{}: {} is not a single value", at(node), key);
}

Result<std::vector<std::string>> YamlReader::scalars(const YAML::Node& node,
                                                     const std::string& key) const {
  std::vector<std::string> values;
  if (!node.IsSequence()) {
    SEGUE_ASSIGN(std::string value, scalar(node, key));
    values.push_back(std::move(value));
    return values;
  }
  for (const auto& entry : node) {
    SEGUE_ASSIGN(std::string value, scalar(entry, "a value of " + key));
    values.push_back(std::move(value));
  }
  return values;
}

Result<std::uint64_t> YamlReader::number(const YAML::Node& node, const std::string& key,
                                         std::uint64_t min, std::uint64_t max) const {
  SEGUE_ASSIGN(const std::string text, scalar(node, key));
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem == std::errc() && end == text.data() + text.size() && value >= min && value <= max) {
    return value;
  }
  return fail(ErrorCode::invalid_argument, "{}: {}: '{}' is not a whole number, {} to {}", at(node),
              key, text, min, max);
}

Result<bool> YamlReader::truth(const YAML::Node& node, const std::string& key) const {
  SEGUE_ASSIGN(const std::string text, scalar(node, key));
  if (text == "true" || text == "false") return text == "true";
  return fail(ErrorCode::invalid_argument, "{}: {}: '{}' is neither true nor false", at(node), key,
              text);
}

Result<void> YamlReader::map(
    const YAML::Node& node, const char* key,
    const std::function<void(const std::string&, const std::string&)>& take) const {
  if (!node) return {};
  if (!node.IsMap()) {
    return fail(ErrorCode::invalid_argument, "{}: {} is not a list of names with values", at(node),
                key);
  }
  for (const auto& entry : node) {
    SEGUE_ASSIGN(const std::string name, scalar(entry.first, key));
    SEGUE_ASSIGN(const std::string value, scalar(entry.second, name));
    take(name, value);
  }
  return {};
}

}  // namespace segue::config
