// SPDX-License-Identifier: Apache-2.0
// All values of a file, and the file with another in the place of one of them.
#pragma once

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <string>
#include <utility>
#include <vector>

namespace segue::service {

// A value in the file, by where it is: {"components", "hub", "volumes", "[0]"}.
using Path = std::vector<std::string>;

struct Field {
  Path path;
  YAML::NodeType::value kind;
};

// A file with each value on a line of its own, which is what `put` says for one of them.
struct Written {
  std::string text;
  int line = 0;  // of `place`
};

class Writer {
 public:
  Writer(const Path& place, std::string put) : place_(place), put_(std::move(put)) {}

  Written write(const YAML::Node& root) {
    value(root, {}, "");
    return std::move(written_);
  }

 private:
  void value(const YAML::Node& node, const Path& at, const std::string& indent) {
    if (node.IsMap()) {
      if (!at.empty()) end_line();
      for (const auto& entry : node) {
        child(entry.second, at, entry.first.Scalar(),
              indent + "\"" + entry.first.Scalar() + "\":", indent);
      }
    } else if (node.IsSequence()) {
      end_line();
      std::size_t index = 0;
      for (const auto& member : node) {
        child(member, at, fmt::format("[{}]", index++), indent + "-", indent);
      }
    } else {
      YAML::Emitter scalar;
      scalar << YAML::DoubleQuoted << node.Scalar();
      written_.text += fmt::format(" {}", scalar.c_str());
      end_line();
    }
  }

  void child(const YAML::Node& node, Path at, const std::string& step, const std::string& begin,
             const std::string& indent) {
    at.push_back(step);
    written_.text += begin;
    if (at != place_) return value(node, at, indent + "  ");
    written_.line = line_;
    written_.text += fmt::format(" {}", put_);
    end_line();
  }

  void end_line() {
    written_.text += "\n";
    ++line_;
  }

  const Path& place_;
  const std::string put_;
  Written written_;
  int line_ = 1;
};

inline void collect(const YAML::Node& node, const Path& at, std::vector<Field>& fields) {
  if (!at.empty()) fields.push_back({at, node.Type()});
  const auto go_on = [&](const YAML::Node& child, const std::string& step) {
    Path below = at;
    below.push_back(step);
    collect(child, below, fields);
  };
  if (node.IsMap()) {
    for (const auto& entry : node) go_on(entry.second, entry.first.Scalar());
  } else if (node.IsSequence()) {
    for (std::size_t i = 0; i < node.size(); ++i) go_on(node[i], fmt::format("[{}]", i));
  }
}

inline std::vector<Field> fields_of(const YAML::Node& file) {
  std::vector<Field> fields;
  collect(file, {}, fields);
  return fields;
}

inline std::string name_of(const Path& path) {
  std::string name;
  for (const auto& step : path) {
    name += (name.empty() || step.front() == '[' ? "" : ".") + step;
  }
  return name;
}

}  // namespace segue::service
