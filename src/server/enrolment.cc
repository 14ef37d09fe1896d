// SPDX-License-Identifier: Apache-2.0
#include "server/enrolment.h"

#include <utility>

#include "control/name.h"
#include "crypto/digest.h"
#include "fleet/host.h"
#include "fleet/join_token.h"
#include "os/random.h"
#include "pki/request.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kIdDigits = 8;
constexpr std::size_t kSecretDigits = 32;
constexpr std::size_t kMaxLabelBytes = 200;

std::string secret_digest(const std::string& secret) {
  return crypto::to_hex(crypto::digest_of(secret));
}

Result<void> check_labels(const std::vector<std::string>& labels) {
  for (const auto& label : labels) {
    const auto equals = label.find('=');
    if (equals != 0 && equals != std::string::npos && label.size() <= kMaxLabelBytes) continue;
    return fail(ErrorCode::invalid_argument, "'{}' is no label: write NAME=VALUE",
                label.substr(0, kMaxLabelBytes));
  }
  if (labels.size() <= fleet::kMaxLabels) return {};
  return fail(ErrorCode::invalid_argument, "{} labels; {} are allowed", labels.size(),
              fleet::kMaxLabels);
}

}  // namespace

Enrolment::Enrolment(Books& books, Ledger& ledger, const os::Clock& clock, pki::Authority authority,
                     base::Duration lifetime, std::function<void(const HostRecord&)> on_joined)
    : books_(books),
      ledger_(ledger),
      clock_(clock),
      authority_(std::move(authority)),
      lifetime_(lifetime),
      on_joined_(std::move(on_joined)) {}

void Enrolment::make_token(const NewToken& wanted, std::vector<std::string> servers,
                           std::function<void(Result<std::string>)> take) {
  if (wanted.uses == 0 || wanted.uses > kMaxUses || wanted.lifetime <= base::Duration(0) ||
      wanted.lifetime > kMaxTokenLifetime) {
    return take(fail(ErrorCode::invalid_argument,
                     "a token is good for 1 to {} hosts and at most 30 days", kMaxUses));
  }
  if (!wanted.site.empty()) {
    if (const auto named = control::check_name(wanted.site, "a site"); !named) {
      return take(fail(named.error()));
    }
  }
  if (wanted.is_relay && wanted.site.empty()) {
    return take(fail(ErrorCode::invalid_argument,
                     "a token for relays has to name the site whose hosts they speak for"));
  }
  drop_expired_tokens();
  if (books_.tokens.size() >= kMaxTokens) {
    return take(fail(ErrorCode::resource_exhausted, "there are {} tokens already: revoke some",
                     books_.tokens.size()));
  }
  const auto pin = pki::pin_of(authority_.certificate());
  if (!pin) return take(fail(pin.error()));
  const fleet::JoinToken token{os::random_hex(kIdDigits), os::random_hex(kSecretDigits), *pin,
                               std::move(servers)};
  const TokenRecord record{.id = token.id,
                           .secret_digest = secret_digest(token.secret),
                           .site = wanted.site,
                           .uses_left = wanted.uses,
                           .expires_ms = milliseconds_of(clock_.realtime_now() + wanted.lifetime),
                           .by = wanted.by,
                           .is_relay = wanted.is_relay};
  books_.tokens[token.id] = record;
  store::Transaction transaction;
  transaction.put(token_key(token.id), write_record(record));
  ledger_.write(
      std::move(transaction),
      {{wanted.by, "token.create", token.id,
        fmt::format("for {} {}", wanted.uses, wanted.is_relay ? "relays" : "hosts")}},
      [take = std::move(take), text = fleet::to_string(token)](store::Revision) { take(text); });
}

Result<void> Enrolment::revoke_token(const std::string& id, const std::string& by) {
  if (books_.tokens.erase(id) == 0) {
    return fail(ErrorCode::not_found, "there is no token '{}'", id);
  }
  store::Transaction transaction;
  transaction.erase(token_key(id));
  ledger_.write(std::move(transaction), {{by, "token.revoke", id, ""}}, nullptr);
  return {};
}

void Enrolment::drop_expired_tokens() {
  const std::uint64_t now_ms = milliseconds_of(clock_.realtime_now());
  store::Transaction transaction;
  std::erase_if(books_.tokens, [&](const auto& entry) {
    if (entry.second.expires_ms >= now_ms || transaction.operations.size() >= 100) return false;
    transaction.erase(token_key(entry.first));
    return true;
  });
  if (!transaction.operations.empty()) ledger_.write(std::move(transaction), {}, nullptr);
}

// Where an answer was lost, the same key may ask again with a token that is used up.
Result<TokenRecord> Enrolment::token_for(const rpc::JoinRequest& request) const {
  SEGUE_ASSIGN(const auto token, fleet::parse_join_token(request.token));
  const auto found = books_.tokens.find(token.id);
  const bool matches =
      found != books_.tokens.end() && found->second.secret_digest == secret_digest(token.secret);
  if (!matches) {
    return fail(ErrorCode::permission_denied,
                "the token is not known here: make another with `segue token`");
  }
  if (found->second.expires_ms < milliseconds_of(clock_.realtime_now())) {
    return fail(ErrorCode::permission_denied,
                "the token has expired: make another with `segue token`");
  }
  return found->second;
}

Result<std::string> Enrolment::issue(const pki::Identity& identity,
                                     const crypto::PublicKey& key) const {
  return authority_.issue(key, {identity, lifetime_, {}, os::random_bytes(pki::kSerialBytes)},
                          clock_.realtime_now());
}

void Enrolment::join(const rpc::JoinRequest& request, rpc::GiveCredentials give) {
  auto token = token_for(request);
  if (!token) return give(fail(token.error()));
  const auto wanted = pki::read_request(request.request_pem);
  if (!wanted) return give(fail(wanted.error()));
  const pki::Role role = token->is_relay ? pki::Role::relay : pki::Role::host;
  if (wanted->identity.role != role) {
    return give(fail(ErrorCode::permission_denied, "the token is for a {}, not for {}",
                     to_string(role), pki::uri_of(wanted->identity)));
  }
  if (const auto labels = check_labels(request.labels); !labels) return give(fail(labels.error()));
  const std::string& name = wanted->identity.name;
  const std::string site = token->site.empty() ? request.site : token->site;
  if (!request.site.empty() && request.site != fleet::kDefaultSite && request.site != site) {
    return give(fail(ErrorCode::permission_denied,
                     "the token is for site {}, and {} says that it is of site {}: leave --site "
                     "out, or make another token",
                     site, name, request.site));
  }
  if (const auto named = control::check_name(site, "a site"); !named) {
    return give(fail(named.error()));
  }
  const auto known = books_.hosts.find(name);
  const bool is_repeated = known != books_.hosts.end() && !known->second.revoked &&
                           known->second.is_relay == token->is_relay &&
                           known->second.key_fingerprint == pki::fingerprint_of(wanted->key);
  // Otherwise a token for new hosts would be one to take over any of those that there are.
  if (known != books_.hosts.end() && !known->second.revoked && !is_repeated) {
    return give(
        fail(ErrorCode::already_exists,
             "there is a host '{}' already: choose another name, or take it out first (DELETE "
             "/v1/hosts/{})",
             name, name));
  }
  if (books_.hosts.size() >= kMaxHosts) {
    return give(fail(ErrorCode::resource_exhausted, "the fleet has {} hosts already", kMaxHosts));
  }
  auto pem = issue(wanted->identity, wanted->key);
  if (!pem) return give(fail(pem.error()));
  if (is_repeated) {
    return give(rpc::Credentials{*pem, authority_.certificate(), known->second.site});
  }
  if (token->uses_left == 0) {
    return give(fail(ErrorCode::permission_denied,
                     "the token has been used up: make another with `segue token`"));
  }
  token->uses_left -= 1;
  const HostRecord host{.name = name,
                        .site = site,
                        .labels = request.labels,
                        .key_fingerprint = pki::fingerprint_of(wanted->key),
                        .joined_ms = milliseconds_of(clock_.realtime_now()),
                        .is_relay = token->is_relay};
  books_.tokens[token->id] = *token;
  books_.hosts[name] = host;
  store::Transaction transaction;
  transaction.put(token_key(token->id), write_record(*token))
      .put(host_key(name), write_record(host));
  ledger_.write(std::move(transaction),
                {{"server", "host.join", name, fmt::format("with token {}", token->id)}},
                [this, host, give = std::move(give), pem = *std::move(pem)](store::Revision) {
                  give(rpc::Credentials{pem, authority_.certificate(), host.site});
                  on_joined_(host);
                });
}

void Enrolment::renew(const pki::Certificate& who, const rpc::RenewRequest& request,
                      rpc::GiveCredentials give) {
  if (request.certificate_pem.empty()) {
    return renew_checked(who, request.request_pem, std::move(give));
  }
  const auto behind = [&]() -> Result<pki::Certificate> {
    if (who.not_after < clock_.realtime_now()) {
      return fail(ErrorCode::permission_denied, "the certificate of {} has expired",
                  pki::uri_of(who.identity));
    }
    SEGUE_TRY(check_shown(who));
    SEGUE_ASSIGN(auto host,
                 check_behind(who.identity, request.certificate_pem, pki::Expiry::allowed));
    SEGUE_TRY(pki::check_sender(host.pem, request.request_pem, request.proof));
    return host;
  }();
  if (!behind) return give(fail(behind.error()));
  renew_checked(*behind, request.request_pem, std::move(give));
}

void Enrolment::renew_checked(const pki::Certificate& who, const std::string& request_pem,
                              rpc::GiveCredentials give) {
  if (const auto shown = check_shown(who); !shown) return give(fail(shown.error()));
  const auto wanted = pki::read_request(request_pem);
  if (!wanted) return give(fail(wanted.error()));
  if (wanted->identity != who.identity) {
    return give(fail(ErrorCode::permission_denied, "{} asks to become {}",
                     pki::uri_of(who.identity), pki::uri_of(wanted->identity)));
  }
  auto pem = issue(wanted->identity, wanted->key);
  if (!pem) return give(fail(pem.error()));
  // The old certificate goes on to count until the new one is shown: the answer may be lost.
  HostRecord& host = books_.hosts.at(who.identity.name);
  const std::string fingerprint = pki::fingerprint_of(wanted->key);
  if (fingerprint != host.key_fingerprint) {
    host.previous_fingerprint = who.key_fingerprint;
    host.key_fingerprint = fingerprint;
  }
  store::Transaction transaction;
  transaction.put(host_key(host.name), write_record(host));
  ledger_.write(
      std::move(transaction), {{"server", "host.renew", host.name, ""}},
      [this, give = std::move(give), pem = *std::move(pem), site = host.site](store::Revision) {
        give(rpc::Credentials{pem, authority_.certificate(), site});
      });
}

Result<void> Enrolment::check_shown(const pki::Certificate& who) {
  const auto found = books_.hosts.find(who.identity.name);
  if (found == books_.hosts.end()) {
    return fail(ErrorCode::permission_denied, "{} is not part of this fleet: join again",
                pki::uri_of(who.identity));
  }
  HostRecord& host = found->second;
  if (host.revoked) {
    return fail(ErrorCode::permission_denied, "{} was removed from the fleet", host.name);
  }
  if (host.is_relay != (who.identity.role == pki::Role::relay)) {
    return fail(ErrorCode::permission_denied, "{} is not what {} is here",
                pki::uri_of(who.identity), host.name);
  }
  if (who.key_fingerprint == host.previous_fingerprint) return {};
  if (who.key_fingerprint != host.key_fingerprint) {
    return fail(ErrorCode::permission_denied,
                "{} shows a certificate that was replaced: was its disk put back or copied? "
                "Remove it and join again",
                host.name);
  }
  if (host.previous_fingerprint.empty()) return {};
  host.previous_fingerprint.clear();
  store::Transaction transaction;
  transaction.put(host_key(host.name), write_record(host));
  ledger_.write(std::move(transaction), {}, nullptr);
  return {};
}

Result<pki::Certificate> Enrolment::check_behind(const pki::Identity& relay,
                                                 const std::string& certificate_pem,
                                                 pki::Expiry expiry) {
  SEGUE_ASSIGN(auto host, pki::verify_certificate(certificate_pem, authority_.certificate(),
                                                  clock_.realtime_now(), expiry));
  if (host.identity.role != pki::Role::host) {
    return fail(ErrorCode::permission_denied, "{} is no host", pki::uri_of(host.identity));
  }
  SEGUE_TRY(check_shown(host));
  const auto carrier = books_.hosts.find(relay.name);
  const std::string& site = books_.hosts.at(host.identity.name).site;
  if (relay.role == pki::Role::relay && carrier != books_.hosts.end() && !carrier->second.revoked &&
      carrier->second.site == site) {
    return host;
  }
  return fail(ErrorCode::permission_denied, "{} may not speak for '{}', which is of site {}",
              pki::uri_of(relay), host.identity.name, site);
}

}  // namespace segue::server
