// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::relay {

// A server of a library: http://HOST[:PORT][/PATH]. Without TLS: what it serves is signed.
struct SourceUrl {
  std::string host;
  std::uint16_t port = 80;
  std::string path;  // "" or "/…", without a slash at its end

  [[nodiscard]] std::string authority() const;  // HOST:PORT, for Host and for people
  friend bool operator==(const SourceUrl&, const SourceUrl&) = default;
};
base::Result<SourceUrl> parse_source_url(std::string_view text);

struct Member {
  std::string name;
  SourceUrl url;
  friend bool operator==(const Member&, const Member&) = default;
};
inline constexpr std::size_t kMaxMembers = 64;

// Letters, digits, '.', '_', '-'; at most 64.
base::Result<void> check_name(std::string_view what, std::string_view name);
// "NAME=URL" each; in the order of their names, which is the same for all.
base::Result<std::vector<Member>> parse_members(const std::vector<std::string>& words);

}  // namespace segue::relay
