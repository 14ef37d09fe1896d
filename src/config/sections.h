// SPDX-License-Identifier: Apache-2.0
// Files read by tables of their keys, with everything that is wrong in them found at once. Pure.
//
//   Findings findings("x.yaml");
//   const auto root = findings.load(text, kMaxBytes);
//   if (root) read_section({{*root, ""}}, {{"count", …}, {"list", …}}, findings);
//   if (!findings.lines().empty()) …
#pragma once

#include <yaml-cpp/yaml.h>

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"

namespace segue::config {

// A value and where it stands: "components.hub.limits".
struct Place {
  YAML::Node node;
  std::string where;
};
// The same thing said more than once: what comes later goes before.
using Layers = std::vector<Place>;

class Findings {
 public:
  static constexpr std::size_t kMaxShown = 20;
  static constexpr std::size_t kMaxFound = 200;  // nothing more is looked for
  // Entries and members read, those behind an alias each time.
  static constexpr std::size_t kMaxVisits = 100'000;

  // `path` is for messages.
  explicit Findings(std::string path) : path_(std::move(path)) {}

  // The one document of `text`; nothing: it is none, and that has been added. yaml-cpp bounds the
  // depth itself; aliases are the same node, so whoever descends by a table's keys alone ends.
  std::optional<YAML::Node> load(const std::string& text, std::size_t max_bytes);

  void add(const Place& place, std::string_view text);
  void add_at(int line, const std::string& where, std::string_view text);

  [[nodiscard]] bool empty() const { return found_.empty(); }
  [[nodiscard]] bool full() const { return found_.size() >= kMaxFound; }
  // "PATH:LINE: WHERE: TEXT" by line, at most kMaxShown, and a last line if there are more.
  [[nodiscard]] std::vector<std::string> lines() const;

  // One entry or member more is read; false: it is not, there were too many.
  bool visit();

  // The line of what was read as `where`.
  [[nodiscard]] std::optional<int> line_of(const std::string& where) const;
  void remember(const Place& place);

 private:
  std::string path_;
  std::set<std::pair<int, std::string>> found_;
  std::map<std::string, int> lines_;
  std::size_t visits_ = 0;
};

struct Key {
  std::string name;
  std::function<void(const Layers&)> read;
};
using Keys = std::vector<Key>;

// Reads those keys that a layer has, in the table's order; adds those that are unknown or twice,
// and layers that are no maps.
// Keys for which `is_passed_over` holds are.
void read_section(const Layers& layers, const Keys& keys, Findings& findings,
                  const std::function<bool(const std::string& name)>& is_passed_over = {});

// That the last layer is a map, and each of its entries in the file's order.
void each_entry(const Layers& layers, Findings& findings,
                const std::function<void(const std::string& name, const Place&)>& take);
// That it is a list, and each of its members: "ports[0]".
void each_member(const Place& place, Findings& findings,
                 const std::function<void(const Place&)>& take);

// ---- Values. Nothing: it is none, which has been added.

std::optional<std::string> read_text(const Place& place, Findings& findings);
std::optional<bool> read_truth(const Place& place, Findings& findings);
std::optional<std::uint64_t> read_number(const Place& place, std::uint64_t min, std::uint64_t max,
                                         Findings& findings);
std::optional<std::vector<std::string>> read_texts(const Place& place, Findings& findings);

// With a reader of quantities.h, or any other of its kind.
template <class Parse>
auto read_parsed(const Place& place, Findings& findings, Parse parse)
    -> std::optional<typename std::invoke_result_t<Parse, const std::string&>::value_type> {
  const auto text = read_text(place, findings);
  if (!text) return std::nullopt;
  auto parsed = parse(*text);
  if (parsed) return *std::move(parsed);
  findings.add(place, parsed.error().message());
  return std::nullopt;
}

}  // namespace segue::config
