// SPDX-License-Identifier: Apache-2.0
// Times, patterns and names as metadata writes them.
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <charconv>
#include <optional>

#include "crypto/digest.h"
#include "tuf/metadata.h"

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kTimeForm = "YYYY-MM-DDTHH:MM:SSZ";

// The digits that stand where the form has `letter`s, from `begin`.
std::optional<unsigned> digits_at(std::string_view text, std::size_t begin, std::size_t count) {
  unsigned number = 0;
  for (const char c : text.substr(begin, count)) {
    if (c < '0' || c > '9') return std::nullopt;
    number = number * 10 + static_cast<unsigned>(c - '0');
  }
  return number;
}

bool fits_form(std::string_view text) {
  if (text.size() != kTimeForm.size()) return false;
  for (const std::size_t i : {4U, 7U, 10U, 13U, 16U, 19U}) {
    if (text[i] != kTimeForm[i]) return false;
  }
  return true;
}

bool continues_character(char c) {
  return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U;
}

// The length of the character that begins here.
std::size_t character_length(std::string_view text) {
  std::size_t length = 1;
  while (length < text.size() && continues_character(text[length])) ++length;
  return length;
}

// "[…]" at the start of `pattern`: where it ends, if it is one.
std::optional<std::size_t> set_length(std::string_view pattern) {
  if (!pattern.starts_with('[')) return std::nullopt;
  std::size_t i = 1;
  if (i < pattern.size() && (pattern[i] == '!' || pattern[i] == '^')) ++i;
  if (i < pattern.size() && pattern[i] == ']') ++i;  // a ']' that comes first is a member
  const std::size_t close = pattern.find(']', i);
  if (close == std::string_view::npos) return std::nullopt;
  return close + 1;
}

// Members are characters and ranges of single bytes.
bool in_set(std::string_view character, std::string_view set) {
  set = set.substr(1, set.size() - 2);
  const bool negated = set.starts_with('!') || set.starts_with('^');
  if (negated) set.remove_prefix(1);
  bool found = false;
  while (!set.empty()) {
    const std::size_t length = character_length(set);
    if (length == 1 && set.size() >= 3 && set[1] == '-') {
      found |= character.size() == 1 && character[0] >= set[0] && character[0] <= set[2];
      set.remove_prefix(3);
      continue;
    }
    found |= character == set.substr(0, length);
    set.remove_prefix(length);
  }
  return found != negated;
}

struct Step {
  std::size_t path = 0;
  std::size_t pattern = 0;
};

// How far one character of the path and what stands for it in the pattern reach, if they match.
std::optional<Step> match_one(std::string_view path, std::string_view pattern) {
  if (path.empty() || pattern.empty()) return std::nullopt;
  const std::size_t character = character_length(path);
  if (pattern.front() == '?') return Step{character, 1};
  if (const auto set = set_length(pattern)) {
    if (!in_set(path.substr(0, character), pattern.substr(0, *set))) return std::nullopt;
    return Step{character, *set};
  }
  if (path.front() != pattern.front()) return std::nullopt;
  return Step{1, 1};
}

// One component of a path. Only the last '*' is ever tried again, so the work is bounded by the
// product of the lengths.
bool matches_component(std::string_view path, std::string_view pattern) {
  std::optional<std::string_view> behind_star;
  std::string_view retry_path;
  while (true) {
    if (pattern.starts_with('*')) {
      pattern.remove_prefix(1);
      behind_star = pattern;
      retry_path = path;
    } else if (path.empty() && pattern.empty()) {
      return true;
    } else if (const auto step = match_one(path, pattern)) {
      path.remove_prefix(step->path);
      pattern.remove_prefix(step->pattern);
    } else {
      if (!behind_star || retry_path.empty()) return false;
      retry_path.remove_prefix(character_length(retry_path));
      path = retry_path;
      pattern = *behind_star;
    }
  }
}

}  // namespace

Result<Time> parse_time(std::string_view text) {
  const auto refused = [&] {
    return fail(ErrorCode::data_loss, "'{}' is not a time as {}", text.substr(0, 40), kTimeForm);
  };
  if (!fits_form(text)) return refused();
  const auto year = digits_at(text, 0, 4);
  const auto month = digits_at(text, 5, 2);
  const auto day = digits_at(text, 8, 2);
  const auto hour = digits_at(text, 11, 2);
  const auto minute = digits_at(text, 14, 2);
  const auto second = digits_at(text, 17, 2);
  if (!year || !month || !day || !hour || !minute || !second) return refused();
  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*year)),
                                         std::chrono::month(*month), std::chrono::day(*day)};
  if (!date.ok() || *hour > 23 || *minute > 59 || *second > 59) return refused();
  return std::chrono::sys_days(date) + std::chrono::hours(*hour) + std::chrono::minutes(*minute) +
         std::chrono::seconds(*second);
}

std::string to_string(Time time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(time - day);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z", static_cast<int>(date.year()),
                     static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                     clock.hours().count(), clock.minutes().count(), clock.seconds().count());
}

bool matches_pattern(std::string_view path, std::string_view pattern) {
  while (true) {
    const std::size_t path_slash = path.find('/');
    const std::size_t pattern_slash = pattern.find('/');
    if (!matches_component(path.substr(0, path_slash), pattern.substr(0, pattern_slash))) {
      return false;
    }
    const bool path_ends = path_slash == std::string_view::npos;
    const bool pattern_ends = pattern_slash == std::string_view::npos;
    if (path_ends || pattern_ends) return path_ends && pattern_ends;
    path.remove_prefix(path_slash + 1);
    pattern.remove_prefix(pattern_slash + 1);
  }
}

bool DelegatedRole::covers(std::string_view target_path) const {
  if (paths) {
    for (const auto& pattern : *paths) {
      if (matches_pattern(target_path, pattern)) return true;
    }
    return false;
  }
  if (!path_hash_prefixes) return false;
  const std::string digest = crypto::to_hex(crypto::digest_of(target_path));
  for (const auto& prefix : *path_hash_prefixes) {
    if (digest.starts_with(prefix)) return true;
  }
  return false;
}

std::string percent_encode(std::string_view text, std::string_view kept) {
  constexpr std::string_view kUnreserved = "-._~";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       kUnreserved.find(c) != std::string_view::npos ||
                       kept.find(c) != std::string_view::npos;
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

Result<void> check_hashes(std::string_view bytes, const Hashes& hashes) {
  bool checked = false;
  for (const auto& [name, digits] : hashes) {
    if (name != "sha256" && name != "sha512") continue;
    const auto algorithm =
        name == "sha256" ? crypto::HashAlgorithm::sha256 : crypto::HashAlgorithm::sha512;
    const std::string found = crypto::to_hex(crypto::digest_of(bytes, algorithm));
    if (found != digits) {
      return fail(ErrorCode::data_loss, "its {} is {}… and not {}…", name, found.substr(0, 16),
                  digits.substr(0, 16));
    }
    checked = true;
  }
  if (checked) return {};
  return fail(ErrorCode::data_loss, "none of its digests is of a known kind (sha256, sha512)");
}

}  // namespace segue::tuf
