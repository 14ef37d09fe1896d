// SPDX-License-Identifier: Apache-2.0
// Files that people write, read strictly: a key that is not known is refused, with its line and the
// nearest one that is. Pure; every error is invalid_argument and begins with PATH:LINE.
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"

namespace segue::config {

class YamlReader {
 public:
  // `path` is for messages.
  explicit YamlReader(std::string path) : path_(std::move(path)) {}

  [[nodiscard]] const std::string& path() const { return path_; }
  // PATH:LINE of the node.
  [[nodiscard]] std::string at(const YAML::Node& node) const;

  // That `map` is one, and that each of its keys is known and there once. `prefix` names the map in
  // messages: "limits."; empty for the whole file.
  base::Result<void> check_keys(const YAML::Node& map, const std::string& prefix,
                                const std::vector<std::string>& known) const;

  [[nodiscard]] base::Result<std::string> scalar(const YAML::Node& node,
                                                 const std::string& key) const;
  // One value, or a list of them.
  [[nodiscard]] base::Result<std::vector<std::string>> scalars(const YAML::Node& node,
                                                               const std::string& key) const;
  [[nodiscard]] base::Result<std::uint64_t> number(const YAML::Node& node, const std::string& key,
                                                   std::uint64_t min, std::uint64_t max) const;
  [[nodiscard]] base::Result<bool> truth(const YAML::Node& node, const std::string& key) const;
  // Names with values, in the file's order; nothing where the node is missing.
  base::Result<void> map(
      const YAML::Node& node, const char* key,
      const std::function<void(const std::string&, const std::string&)>& take) const;

 private:
  std::string path_;
};

// The document of `text`, which is no more than `read` can make of it: what yaml-cpp finds wrong
// is an error too, with its line.
template <class T>
base::Result<T> read_yaml(
    const std::string& path, const std::string& text,
    const std::function<base::Result<T>(const YAML::Node&, const YamlReader&)>& read) {
  try {
    const YAML::Node root = YAML::Load(text);
    if (!root.IsDefined() || root.IsNull()) {
      return base::fail(base::ErrorCode::invalid_argument, "{}: there is nothing in it", path);
    }
    return read(root, YamlReader(path));
  } catch (const YAML::Exception& error) {
    return base::fail(base::ErrorCode::invalid_argument, "{}:{}: {}", path, error.mark.line + 1,
                      error.msg);
  }
}

}  // namespace segue::config
