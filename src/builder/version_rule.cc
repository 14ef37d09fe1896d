// SPDX-License-Identifier: Apache-2.0
#include "builder/version_rule.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kShownCommitDigits = 12;

std::optional<std::string> value_of(std::string_view name, const CommitFacts& facts) {
  if (name == "commits") return facts.commits;
  if (name == "commit") return facts.commit.substr(0, kShownCommitDigits);
  if (name == "date") return facts.date;
  if (name == "time") return facts.time;
  if (name == "tag") return facts.tag;
  return std::nullopt;
}

bool is_version(std::string_view text) {
  const auto alphanumeric = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0; };
  return !text.empty() && text.size() <= kMaxVersionBytes && alphanumeric(text.front()) &&
         std::ranges::all_of(text, [&](char c) {
           return alphanumeric(c) || std::string_view("._+-").find(c) != std::string_view::npos;
         });
}

Result<std::string> expand(std::string_view rule, const CommitFacts& facts) {
  std::string version;
  for (std::size_t position = 0; position < rule.size();) {
    if (rule[position] != '{') {
      version += rule[position++];
      continue;
    }
    const std::size_t end = rule.find('}', position);
    const auto name = rule.substr(position + 1, end == rule.npos ? end : end - position - 1);
    const auto value = value_of(name, facts);
    if (end == rule.npos || !value) {
      return fail(ErrorCode::invalid_argument,
                  "version: there is no '{{{}' to put in: {{commits}}, {{commit}}, {{date}}, "
                  "{{time}} or {{tag}}",
                  rule.substr(position + 1, end == rule.npos ? end : end - position));
    }
    if (value->empty()) {
      return fail(ErrorCode::failed_precondition,
                  "the version '{}' asks for a tag, and none names commit {}: tag it and push the "
                  "tag",
                  rule, facts.commit);
    }
    version += *value;
    position = end + 1;
  }
  return version;
}

}  // namespace

Result<void> check_version_rule(std::string_view rule) {
  const CommitFacts shortest{
      .commit = "0", .commits = "1", .date = "20000101", .time = "000000", .tag = "1"};
  SEGUE_ASSIGN(const std::string version, expand(rule, shortest));
  if (is_version(version)) return {};
  return fail(ErrorCode::invalid_argument,
              "version: '{}' makes no version: 1 to {} of letters, digits and ._+-, the first a "
              "letter or a digit",
              rule, kMaxVersionBytes);
}

Result<std::string> version_of(std::string_view rule, const CommitFacts& facts) {
  SEGUE_ASSIGN(std::string version, expand(rule, facts));
  if (is_version(version)) return version;
  return fail(ErrorCode::failed_precondition,
              "commit {} makes '{}', which is no version: 1 to {} of letters, digits and ._+-",
              facts.commit, version, kMaxVersionBytes);
}

}  // namespace segue::builder
