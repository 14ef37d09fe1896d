// SPDX-License-Identifier: Apache-2.0
#include "membership/membership.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "os/files.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::membership {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxBytes = std::size_t{64} << 10;

bool exists(const std::string& path) {
  std::error_code ignored;
  return std::filesystem::exists(path, ignored);
}

std::string describe(const Membership& membership) {
  return tuf::Json{{"segue_membership", 1},
                   {"role", pki::to_string(membership.role)},
                   {"host", membership.host},
                   {"site", membership.site},
                   {"labels", membership.labels},
                   {"servers", membership.servers},
                   {"relays", membership.relays},
                   {"direct", membership.direct},
                   {"authorities", membership.authorities_pem},
                   {"certificate", membership.own.certificate_pem},
                   {"key", membership.own.key_pem}}
             .dump() +
         "\n";
}

// Before there were relays nobody wrote down what he is.
Result<bool> is_a_relay(tuf::Fields& fields) {
  const tuf::Json role = fields.take_if_any("role");
  if (role.is_null() || role == pki::to_string(pki::Role::host)) return false;
  if (role == pki::to_string(pki::Role::relay)) return true;
  return fail(ErrorCode::data_loss, "the membership of this host is of a role that is not known");
}

Result<Membership> parse(const std::string& text) {
  SEGUE_ASSIGN(tuf::Json json, tuf::parse_json(text));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), "the membership of this host"));
  SEGUE_TRY(fields.number("segue_membership", 1));
  Membership membership;
  SEGUE_ASSIGN(const bool is_relay, is_a_relay(fields));
  if (is_relay) membership.role = pki::Role::relay;
  SEGUE_ASSIGN(membership.host, fields.string("host"));
  SEGUE_ASSIGN(membership.site, fields.string("site"));
  SEGUE_ASSIGN(membership.labels, fields.strings("labels"));
  SEGUE_ASSIGN(membership.servers, fields.strings("servers"));
  SEGUE_ASSIGN(const auto relays, fields.strings_if_any("relays"));
  membership.relays = relays.value_or(std::vector<std::string>());
  SEGUE_ASSIGN(const auto direct, fields.boolean_if_any("direct"));
  membership.direct = direct.value_or(true);
  SEGUE_ASSIGN(membership.authorities_pem, fields.string("authorities"));
  SEGUE_ASSIGN(membership.own.certificate_pem, fields.string("certificate"));
  SEGUE_ASSIGN(membership.own.key_pem, fields.string("key"));
  SEGUE_ASSIGN(membership.certificate, pki::read_certificate(membership.own.certificate_pem));
  if (!membership.servers.empty()) return membership;
  return fail(ErrorCode::data_loss, "the membership of this host names no server");
}

}  // namespace

Result<std::optional<Membership>> MembershipFiles::read() const {
  const std::string file = path("membership.json");
  if (!exists(file)) return std::nullopt;
  SEGUE_ASSIGN(const std::string text, os::read_file(file, kMaxBytes));
  auto membership = parse(text);
  if (membership) return *std::move(membership);
  return fail(membership.error().with("cannot use " + file));
}

Result<crypto::PrivateKey> MembershipFiles::next_key() const {
  SEGUE_TRY(os::ensure_private_directory(directory_));
  const std::string file = path("next-key.pem");
  if (exists(file)) {
    SEGUE_ASSIGN(const std::string pem, os::read_file(file, crypto::kMaxPemBytes));
    auto key = crypto::PrivateKey::from_pem(pem, "");
    if (key) return key;
    return fail(key.error().with("cannot use " + file));
  }
  SEGUE_ASSIGN(auto key, crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256));
  SEGUE_ASSIGN(const std::string pem, key.to_pem(""));
  SEGUE_TRY(os::write_file_atomically(file, pem));
  return key;
}

Result<void> MembershipFiles::keep(const Membership& membership,
                                   const rpc::Credentials& credentials) const {
  SEGUE_ASSIGN(const auto key, next_key());
  SEGUE_ASSIGN(const auto certificate, pki::read_certificate(credentials.certificate_pem));
  if (certificate.key_fingerprint != pki::fingerprint_of(key.public_key()) ||
      certificate.identity != pki::Identity{membership.role, membership.host}) {
    return fail(ErrorCode::data_loss, "the server sent a certificate of another key or host");
  }
  SEGUE_TRY(pki::verify_certificate(credentials.certificate_pem, membership.authorities_pem, {},
                                    pki::Expiry::allowed));
  Membership next = membership;
  next.own.certificate_pem = credentials.certificate_pem;
  if (!credentials.site.empty()) next.site = credentials.site;
  SEGUE_ASSIGN(next.own.key_pem, key.to_pem(""));
  // One file, so that key and certificate always fit.
  SEGUE_TRY(os::write_file_atomically(path("membership.json"), describe(next)));
  ::unlink(path("next-key.pem").c_str());
  return {};
}

Result<void> MembershipFiles::keep_routes(const Membership& membership) const {
  return os::write_file_atomically(path("membership.json"), describe(membership));
}

std::vector<rpc::ServerAddress> routes_of(const Membership& membership) {
  std::vector<rpc::ServerAddress> routes;
  for (const auto& relay : membership.relays) {
    routes.push_back({relay, membership.authorities_pem, "", pki::Role::relay});
  }
  if (!routes.empty() && !membership.direct) return routes;
  for (const auto& server : membership.servers) {
    routes.push_back({server, membership.authorities_pem, "", pki::Role::server});
  }
  return routes;
}

std::vector<std::string> servers_from(std::vector<std::string> told,
                                      const std::string& reached_at) {
  const bool is_told = std::ranges::find(told, reached_at) != told.end();
  if (!reached_at.empty() && !is_told) told.push_back(reached_at);
  return told;
}

base::RealTime renewal_of(const pki::Certificate& certificate) {
  return certificate.not_before + (certificate.not_after - certificate.not_before) / 2;
}

}  // namespace segue::membership
