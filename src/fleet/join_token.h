// SPDX-License-Identifier: Apache-2.0
// What lets a host join a fleet: segue-join-1.ID.SECRET.PIN@HOST:PORT
// … with a comma between them for each of several servers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::fleet {

struct JoinToken {
  std::string id;  // lower-case hexadecimal digits, as are the next two
  std::string secret;
  std::string pin;  // SHA-256 of the authority's certificate: the server has to be of the fleet
  std::vector<std::string> servers;  // HOST:PORT; tried one after the other

  bool operator==(const JoinToken&) const = default;
};

std::string to_string(const JoinToken& token);
// invalid_argument: says what is wrong, and never repeats the secret.
base::Result<JoinToken> parse_join_token(std::string_view text);

}  // namespace segue::fleet
