// SPDX-License-Identifier: Apache-2.0
// That this host, or a relay on it, is part of a fleet: its key, its certificate, and whose it is;
// in membership.json of a directory of its own, with next-key.pem beside it while a new certificate
// is asked for.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "crypto/keys.h"
#include "pki/certificate.h"
#include "rpc/fleet_client.h"

namespace segue::membership {

struct Membership {
  pki::Role role = pki::Role::host;
  std::string host;  // its name; a relay's, where it is one
  std::string site;
  std::vector<std::string> labels;   // NAME=VALUE
  std::vector<std::string> servers;  // HOST:PORT
  std::vector<std::string> relays;   // … of its site, tried before them
  bool direct = true;                // false: not the servers, if there are relays
  std::string authorities_pem;
  rpc::OwnCertificate own;
  pki::Certificate certificate;  // as read from own
};

// Where the fleet is reached, tried one after the other; never empty.
std::vector<rpc::ServerAddress> routes_of(const Membership& membership);
// The servers that there are, as their leader says. The one that has said it stays, under the
// address by which it was reached, unless that is empty: it is known to do.
std::vector<std::string> servers_from(std::vector<std::string> told, const std::string& reached_at);

class MembershipFiles {
 public:
  explicit MembershipFiles(std::string directory) : directory_(std::move(directory)) {}

  // Nothing: this host has not joined. data_loss: what is there is damaged.
  [[nodiscard]] base::Result<std::optional<Membership>> read() const;
  // The key that is asked for next, and stays the same until it has its certificate: whoever is
  // killed in between asks again with it.
  [[nodiscard]] base::Result<crypto::PrivateKey> next_key() const;
  // What an answer has brought for next_key(), which becomes the key. An error changes nothing:
  // data_loss where the certificate is not for that key. permission_denied where it is not of the
  // authorities that the membership knows already: an answer may come through a relay.
  base::Result<void> keep(const Membership& membership, const rpc::Credentials& credentials) const;
  // The same membership, reached in another way.
  [[nodiscard]] base::Result<void> keep_routes(const Membership& membership) const;

 private:
  [[nodiscard]] std::string path(const char* name) const { return directory_ + "/" + name; }
  std::string directory_;
};

// When a certificate is to be renewed: after half of its time.
base::RealTime renewal_of(const pki::Certificate& certificate);

}  // namespace segue::membership
