// SPDX-License-Identifier: Apache-2.0
#include "builder/version_rule.h"

#include <optional>
#include <utility>

#include "control/name.h"

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
  if (auto fine = control::check_version(version); !fine) {
    return fail(ErrorCode::invalid_argument, "version: '{}' makes no version: {}", rule,
                fine.error().message());
  }
  return {};
}

Result<std::string> version_of(std::string_view rule, const CommitFacts& facts) {
  SEGUE_ASSIGN(std::string version, expand(rule, facts));
  if (auto fine = control::check_version(version); !fine) {
    return fail(ErrorCode::failed_precondition, "commit {} makes '{}', which is no version: {}",
                facts.commit, version, fine.error().message());
  }
  return version;
}

}  // namespace segue::builder
