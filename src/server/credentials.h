// SPDX-License-Identifier: Apache-2.0
// The server's own keys and certificates, in a directory of its own:
//   authority.key                  of the fleet; made once. Several servers have copies of it
//   authority.pem                  its certificate, which is in the store, too
//   tls/certificate.pem, key.pem   of this server, renewed by itself
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "pki/authority.h"
#include "store/store.h"

namespace segue::server {

inline constexpr base::Duration kAuthorityLifetime = std::chrono::hours(24 * 3'650);
inline constexpr base::Duration kServerLifetime = std::chrono::hours(24 * 7);
inline constexpr base::Duration kServerRenewal = std::chrono::hours(24);

// Reads the authority, or makes it where there is none. data_loss: one of its files is missing or
// damaged; then nothing is made in its place, as every host would have to join again.
base::Result<pki::Authority> open_authority(const std::string& directory, const os::Clock& clock);

using TakeAuthority = std::function<void(base::Result<pki::Authority>)>;
// The authority of the fleet that the store is of: its certificate is there, and the key has to be
// here. Where the store has none, the one that is here, or a new one, is written down; of several
// servers the first one's. `take` is called once; store and clock outlive that.
// failed_precondition: the key is not here, or is another; says what to copy. As of the store, if
// that cannot be read or written now.
void settle_authority(store::Store& store, const std::string& directory, const os::Clock& clock,
                      TakeAuthority take);

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
