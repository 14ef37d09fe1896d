// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace segue::pki {

enum class Role { server, host, relay };
std::string_view to_string(Role role);

// Whom a certificate speaks for: the URI segue://ROLE/NAME among its subject alternative names.
struct Identity {
  Role role = Role::host;
  std::string name;  // as control::check_name() allows

  bool operator==(const Identity&) const = default;
};
std::string uri_of(const Identity& identity);
// Nothing where it is not one.
std::optional<Identity> identity_of(std::string_view uri);

}  // namespace segue::pki
