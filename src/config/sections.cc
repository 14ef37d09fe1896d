// SPDX-License-Identifier: Apache-2.0
#include "config/sections.h"

#include <fmt/format.h>
#include <yaml-cpp/depthguard.h>
#include <yaml-cpp/eventhandler.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "base/utf8.h"
#include "config/near_names.h"

namespace segue::config {
namespace {

constexpr std::size_t kMaxTextShown = 300;

int line_at(const YAML::Mark& mark) {
  return mark.line < 0 ? 1 : mark.line + 1;
}

std::string below(const std::string& where, const std::string& key) {
  return where.empty() ? key : where + "." + key;
}

// Where documents begin.
class DocumentStarts final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { line_ = line_at(mark); }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnAlias(const YAML::Mark& /*mark*/, YAML::anchor_t /*anchor*/) override {}
  void OnScalar(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                const std::string& /*value*/) override {}
  void OnSequenceStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/,
                       YAML::anchor_t /*anchor*/, YAML::EmitterStyle::value /*style*/) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark& /*mark*/, const std::string& /*tag*/, YAML::anchor_t /*anchor*/,
                  YAML::EmitterStyle::value /*style*/) override {}
  void OnMapEnd() override {}

  [[nodiscard]] int line() const { return line_; }

 private:
  int line_ = 1;
};

// YAML::LoadAll() never ends on text such as ", a": it finds an empty document there for ever.
std::optional<int> line_of_second_document(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  DocumentStarts starts;
  if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return std::nullopt;
  return starts.line();
}

// Of YAML's encodings only this one, and nothing that ends a text for others.
std::optional<int> line_of_wrong_byte(std::string_view text) {
  const std::size_t whole = std::min(base::utf8_prefix(text), text.find('\0'));
  if (whole >= text.size()) return std::nullopt;
  return 1 + static_cast<int>(std::ranges::count(text.substr(0, whole), '\n'));
}

const Key* find(const Keys& keys, const std::string& name) {
  const auto found = std::ranges::find(keys, name, &Key::name);
  return found == keys.end() ? nullptr : &*found;
}

std::string unknown_key(const std::string& name, const Keys& keys) {
  std::vector<std::string> names;
  names.reserve(keys.size());
  for (const auto& key : keys) names.push_back(key.name);
  const auto near = near_names(name.substr(0, 80), names);
  return fmt::format("there is no such key{}",
                     near.empty() ? "" : "; did you mean '" + near.front() + "'?");
}

}  // namespace

std::optional<YAML::Node> Findings::load(const std::string& text, std::size_t max_bytes) {
  if (text.size() > max_bytes) {
    add_at(1, "", fmt::format("the file has {} bytes; at most {}", text.size(), max_bytes));
    return std::nullopt;
  }
  if (const auto line = line_of_wrong_byte(text)) {
    add_at(*line, "", "a byte that is not of UTF-8 text");
    return std::nullopt;
  }
  try {
    YAML::Node document = YAML::Load(text);
    if (!document.IsDefined() || document.IsNull()) {
      add_at(1, "", "there is nothing in it");
    } else if (const auto line = line_of_second_document(text)) {
      add_at(*line, "", "a second document; write one file for each");
    } else {
      return document;
    }
  } catch (const YAML::DeepRecursion& error) {
    add_at(line_at(error.mark), "", "nested too deep");
  } catch (const YAML::Exception& error) {
    add_at(line_at(error.mark), "", error.msg);
  }
  return std::nullopt;
}

void Findings::add(const Place& place, std::string_view text) {
  // The key's line rather than that of an anchor elsewhere.
  const auto known = lines_.find(place.where);
  add_at(known != lines_.end() ? known->second : line_at(place.node.Mark()), place.where, text);
}

void Findings::add_at(int line, const std::string& where, std::string_view text) {
  if (full()) return;
  std::string whole = where.substr(0, kMaxTextShown);
  if (!whole.empty()) whole += ": ";
  whole += text.substr(0, kMaxTextShown);
  if (text.find("${") != std::string_view::npos) {
    whole += " (nothing puts a value in place of ${…}: write the value itself)";
  }
  for (char& c : whole) {
    if (c >= 0 && c < ' ') c = '?';
  }
  found_.emplace(line, std::move(whole));
}

bool Findings::visit() {
  if (full()) return false;
  if (++visits_ <= kMaxVisits) return true;
  add_at(1, "",
         fmt::format("more than {} values, those behind an alias counted each time", kMaxVisits));
  return false;
}

std::vector<std::string> Findings::lines() const {
  std::vector<std::string> result;
  for (const auto& [line, text] : found_) {
    if (result.size() == kMaxShown) {
      result.push_back(
          fmt::format("{}: and {}{} more", path_, found_.size() - kMaxShown, full() ? " or" : ""));
      break;
    }
    result.push_back(fmt::format("{}:{}: {}", path_, line, text));
  }
  return result;
}

void Findings::remember(const Place& place) {
  lines_[place.where] = line_at(place.node.Mark());
}

std::optional<int> Findings::line_of(const std::string& where) const {
  const auto found = lines_.find(where);
  return found == lines_.end() ? std::nullopt : std::optional(found->second);
}

void read_section(const Layers& layers, const Keys& keys, Findings& findings,
                  const std::function<bool(const std::string& name)>& is_passed_over) {
  std::map<std::string, Layers> said;
  for (const auto& layer : layers) {
    each_entry({layer}, findings, [&](const std::string& name, const Place& place) {
      if (find(keys, name) != nullptr) {
        said[name].push_back(place);
      } else if (!is_passed_over || !is_passed_over(name)) {
        findings.add(place, unknown_key(name, keys));
      }
    });
  }
  for (const auto& key : keys) {
    if (const auto found = said.find(key.name); found != said.end()) key.read(found->second);
  }
}

void each_entry(const Layers& layers, Findings& findings,
                const std::function<void(const std::string& name, const Place&)>& take) {
  const Place& map = layers.back();
  if (!map.node.IsMap()) {
    findings.add(map, map.where.empty() ? "the file is not a list of keys with values"
                                        : "not a list of keys with values");
    return;
  }
  std::set<std::string> seen;
  for (const auto& entry : map.node) {
    if (!findings.visit()) return;
    const int line = line_at(entry.first.Mark());
    if (!entry.first.IsScalar()) {
      findings.add_at(line, map.where, "a key that is not a single word");
      continue;
    }
    const std::string& name = entry.first.Scalar();
    const Place value{entry.second, below(map.where, name)};
    if (!seen.insert(name).second) {
      findings.add_at(line, value.where, "there twice");
      continue;
    }
    findings.remember({entry.first, value.where});
    take(name, value);
  }
}

void each_member(const Place& place, Findings& findings,
                 const std::function<void(const Place&)>& take) {
  if (!place.node.IsSequence()) {
    findings.add(place, "not a list");
    return;
  }
  std::size_t index = 0;
  for (const auto& node : place.node) {
    if (!findings.visit()) return;
    const Place member{node, fmt::format("{}[{}]", place.where, index++)};
    findings.remember(member);
    take(member);
  }
}

std::optional<std::string> read_text(const Place& place, Findings& findings) {
  if (place.node.IsScalar()) return place.node.Scalar();
  findings.add(place, place.node.IsNull() ? "without a value; write \"\" for an empty one"
                                          : "not a single value");
  return std::nullopt;
}

std::optional<bool> read_truth(const Place& place, Findings& findings) {
  const auto text = read_text(place, findings);
  if (!text) return std::nullopt;
  if (*text == "true" || *text == "false") return *text == "true";
  findings.add(place, fmt::format("'{}' is neither true nor false", text->substr(0, 40)));
  return std::nullopt;
}

std::optional<std::uint64_t> read_number(const Place& place, std::uint64_t min, std::uint64_t max,
                                         Findings& findings) {
  const auto text = read_text(place, findings);
  if (!text) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, problem] = std::from_chars(text->data(), text->data() + text->size(), number);
  const bool fits = problem == std::errc() && end == text->data() + text->size();
  if (fits && number >= min && number <= max) return number;
  findings.add(place,
               fmt::format("'{}' is not a whole number, {} to {}", text->substr(0, 40), min, max));
  return std::nullopt;
}

std::optional<std::vector<std::string>> read_texts(const Place& place, Findings& findings) {
  std::vector<std::string> texts;
  bool whole = place.node.IsSequence();
  each_member(place, findings, [&](const Place& member) {
    auto text = read_text(member, findings);
    if (text) {
      texts.push_back(*std::move(text));
    } else {
      whole = false;
    }
  });
  if (!whole) return std::nullopt;
  return texts;
}

}  // namespace segue::config
