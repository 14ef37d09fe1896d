// SPDX-License-Identifier: Apache-2.0
#include "agent/membership.h"

#include <unistd.h>

#include <filesystem>

#include "os/files.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::agent {
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
                   {"host", membership.host},
                   {"site", membership.site},
                   {"labels", membership.labels},
                   {"servers", membership.servers},
                   {"authorities", membership.authorities_pem},
                   {"certificate", membership.own.certificate_pem},
                   {"key", membership.own.key_pem}}
             .dump() +
         "\n";
}

Result<Membership> parse(const std::string& text) {
  SEGUE_ASSIGN(tuf::Json json, tuf::parse_json(text));
  SEGUE_ASSIGN(auto fields, tuf::Fields::of(std::move(json), "the membership of this host"));
  SEGUE_TRY(fields.number("segue_membership", 1));
  Membership membership;
  SEGUE_ASSIGN(membership.host, fields.string("host"));
  SEGUE_ASSIGN(membership.site, fields.string("site"));
  SEGUE_ASSIGN(membership.labels, fields.strings("labels"));
  SEGUE_ASSIGN(membership.servers, fields.strings("servers"));
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
      certificate.identity.name != membership.host) {
    return fail(ErrorCode::data_loss, "the server sent a certificate of another key or host");
  }
  Membership next = membership;
  next.own.certificate_pem = credentials.certificate_pem;
  next.authorities_pem = credentials.authorities_pem;
  SEGUE_ASSIGN(next.own.key_pem, key.to_pem(""));
  // One file, so that key and certificate always fit.
  SEGUE_TRY(os::write_file_atomically(path("membership.json"), describe(next)));
  ::unlink(path("next-key.pem").c_str());
  return {};
}

base::RealTime renewal_of(const pki::Certificate& certificate) {
  return certificate.not_before + (certificate.not_after - certificate.not_before) / 2;
}

}  // namespace segue::agent
