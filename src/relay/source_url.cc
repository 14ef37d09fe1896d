// SPDX-License-Identifier: Apache-2.0
#include "relay/source_url.h"

#include <algorithm>
#include <charconv>

namespace segue::relay {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxUrlBytes = 1'000;
constexpr std::size_t kMaxNameBytes = 64;

bool is_visible(char c) {
  return c > ' ' && c <= '~';
}

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

std::string SourceUrl::authority() const {
  const bool is_v6 = host.find(':') != std::string::npos;
  return fmt::format("{}{}{}:{}", is_v6 ? "[" : "", host, is_v6 ? "]" : "", port);
}

Result<SourceUrl> parse_source_url(std::string_view text) {
  const auto refuse = [&](std::string_view why) {
    return fail(ErrorCode::invalid_argument, "'{}' is not http://HOST[:PORT][/PATH]: {}",
                text.substr(0, kMaxUrlBytes), why);
  };
  constexpr std::string_view kScheme = "http://";
  if (text.size() > kMaxUrlBytes || !std::ranges::all_of(text, is_visible)) {
    return refuse("it is too long, or has characters that a URL cannot have");
  }
  if (!text.starts_with(kScheme)) return refuse("a relay speaks http only");
  const std::string_view rest = text.substr(kScheme.size());
  const std::size_t slash = std::min(rest.find('/'), rest.size());
  std::string_view authority = rest.substr(0, slash);
  SourceUrl url;
  url.path = rest.substr(slash);
  while (url.path.ends_with('/')) url.path.pop_back();
  if (url.path.find_first_of("?#") != std::string::npos) return refuse("it has a query");
  if (authority.starts_with('[')) {
    const std::size_t bracket = authority.find(']');
    if (bracket == std::string_view::npos) return refuse("a bracket is missing");
    url.host = authority.substr(1, bracket - 1);
    authority.remove_prefix(bracket + 1);
  } else {
    const std::size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    authority.remove_prefix(colon);
  }
  if (url.host.empty() || url.host.find('@') != std::string::npos) return refuse("no host");
  if (authority.empty()) return url;
  const char* end = authority.data() + authority.size();
  const auto [read, problem] = std::from_chars(authority.data() + 1, end, url.port);
  if (authority.front() != ':' || problem != std::errc() || read != end || url.port == 0) {
    return refuse("the port is no number from 1 to 65535");
  }
  return url;
}

Result<void> check_name(std::string_view what, std::string_view name) {
  if (!name.empty() && name.size() <= kMaxNameBytes && std::ranges::all_of(name, is_name_char)) {
    return {};
  }
  return fail(ErrorCode::invalid_argument,
              "the {} '{}' has to be 1 to {} letters, digits, '.', '_' or '-'", what,
              name.substr(0, kMaxNameBytes), kMaxNameBytes);
}

Result<std::vector<Member>> parse_members(const std::vector<std::string>& words) {
  if (words.size() > kMaxMembers) {
    return fail(ErrorCode::invalid_argument, "a site has at most {} members, not {}", kMaxMembers,
                words.size());
  }
  std::vector<Member> members;
  for (const std::string& word : words) {
    const std::size_t mark = word.find('=');
    if (mark == std::string::npos) {
      return fail(ErrorCode::invalid_argument, "--member {}: write NAME=http://HOST:PORT", word);
    }
    Member member{.name = word.substr(0, mark), .url = {}};
    SEGUE_TRY(check_name("member", member.name));
    SEGUE_ASSIGN(member.url, parse_source_url(std::string_view(word).substr(mark + 1)));
    members.push_back(std::move(member));
  }
  std::ranges::sort(members, {}, &Member::name);
  const auto twice = std::ranges::adjacent_find(members, {}, &Member::name);
  if (twice != members.end()) {
    return fail(ErrorCode::invalid_argument, "the member '{}' is named twice", twice->name);
  }
  return members;
}

}  // namespace segue::relay
