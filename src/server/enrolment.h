// SPDX-License-Identifier: Apache-2.0
// How hosts become part of the fleet, and stay it.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "pki/authority.h"
#include "pki/certificate.h"
#include "rpc/fleet_server.h"
#include "server/books.h"
#include "server/ledger.h"

namespace segue::server {

struct NewToken {
  std::string site;       // empty: its hosts say so themselves
  bool is_relay = false;  // for relays of the site, which has to be named
  std::uint32_t uses = 1;
  base::Duration lifetime = std::chrono::hours(1);
  std::string by;
};

// Books, ledger and clock outlive it.
class Enrolment {
 public:
  static constexpr base::Duration kLifetime = std::chrono::hours(24);  // of a host's certificate
  static constexpr std::size_t kMaxTokens = 1'000;
  static constexpr std::size_t kMaxHosts = 100'000;
  static constexpr std::uint32_t kMaxUses = 100'000;
  static constexpr base::Duration kMaxTokenLifetime = std::chrono::hours(24 * 30);

  // `on_joined` when a host is new, or has changed its site or labels.
  Enrolment(Books& books, Ledger& ledger, const os::Clock& clock, pki::Authority authority,
            base::Duration lifetime, std::function<void(const HostRecord&)> on_joined);

  // The token's text, once it is written down; nobody can be told it again. `servers`: HOST:PORT.
  void make_token(const NewToken& wanted, std::vector<std::string> servers,
                  std::function<void(base::Result<std::string>)> take);
  base::Result<void> revoke_token(const std::string& id, const std::string& by);

  void join(const rpc::JoinRequest& request, rpc::GiveCredentials give);
  void renew(const pki::Certificate& who, const rpc::RenewRequest& request,
             rpc::GiveCredentials give);
  // Whether the certificate is one of those that count. permission_denied otherwise.
  base::Result<void> check_shown(const pki::Certificate& who);
  // The certificate that a host has shown to a relay of its own site. permission_denied otherwise.
  base::Result<pki::Certificate> check_behind(const pki::Identity& relay,
                                              const std::string& certificate_pem,
                                              pki::Expiry expiry);

 private:
  [[nodiscard]] base::Result<TokenRecord> token_for(const rpc::JoinRequest& request) const;
  void renew_checked(const pki::Certificate& who, const std::string& request_pem,
                     rpc::GiveCredentials give);
  [[nodiscard]] base::Result<std::string> issue(const pki::Identity& identity,
                                                const crypto::PublicKey& key) const;
  void drop_expired_tokens();

  Books& books_;
  Ledger& ledger_;
  const os::Clock& clock_;
  const pki::Authority authority_;
  const base::Duration lifetime_;
  std::function<void(const HostRecord&)> on_joined_;
};

}  // namespace segue::server
