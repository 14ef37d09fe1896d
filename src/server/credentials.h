// SPDX-License-Identifier: Apache-2.0
// The server's own keys and certificates, in a directory of its own:
//   authority.pem, authority.key   of the fleet; made once. Several servers share them
//   tls/certificate.pem, key.pem   of this server, renewed by itself
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "pki/authority.h"

namespace segue::server {

inline constexpr base::Duration kAuthorityLifetime = std::chrono::hours(24 * 3'650);
inline constexpr base::Duration kServerLifetime = std::chrono::hours(24 * 7);
inline constexpr base::Duration kServerRenewal = std::chrono::hours(24);

// Reads the authority, or makes it where there is none. data_loss: one of its files is missing or
// damaged; then nothing is made in its place, as every host would have to join again.
base::Result<pki::Authority> open_authority(const std::string& directory, const os::Clock& clock);

struct ServerFiles {
  std::string certificate;
  std::string key;
};
// A new key and certificate for the server of this name. `addresses`: how people reach it.
base::Result<ServerFiles> renew_server(const std::string& directory,
                                       const pki::Authority& authority, const std::string& name,
                                       const std::vector<std::string>& addresses,
                                       const os::Clock& clock);

}  // namespace segue::server
