// SPDX-License-Identifier: Apache-2.0
#include "server/credentials.h"

#include <filesystem>

#include "os/files.h"
#include "os/random.h"
#include "pki/certificate.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<pki::Authority> make_authority(const std::string& certificate, const std::string& key,
                                      const os::Clock& clock) {
  SEGUE_ASSIGN(auto made, crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256));
  SEGUE_ASSIGN(const std::string pem, made.to_pem(""));
  SEGUE_ASSIGN(auto authority,
               pki::Authority::create(std::move(made), "Segue fleet", clock.realtime_now(),
                                      kAuthorityLifetime, os::random_bytes(pki::kSerialBytes)));
  SEGUE_TRY(os::write_file_atomically(key, pem));
  SEGUE_TRY(os::write_file_atomically(certificate, authority.certificate(), 0644));
  return authority;
}

}  // namespace

Result<pki::Authority> open_authority(const std::string& directory, const os::Clock& clock) {
  SEGUE_TRY(os::ensure_private_directory(directory));
  const std::string certificate = directory + "/authority.pem";
  const std::string key = directory + "/authority.key";
  std::error_code ignored;
  const bool has_certificate = std::filesystem::exists(certificate, ignored);
  const bool has_key = std::filesystem::exists(key, ignored);
  // The key is written first: alone it has signed nothing.
  if (!has_certificate) return make_authority(certificate, key, clock);
  if (!has_key) {
    return fail(ErrorCode::data_loss, "{} is missing: put it back; without it no host can renew",
                key);
  }
  SEGUE_ASSIGN(const std::string certificate_pem,
               os::read_file(certificate, pki::kMaxCertificateBytes));
  SEGUE_ASSIGN(const std::string key_pem, os::read_file(key, crypto::kMaxPemBytes));
  auto private_key = crypto::PrivateKey::from_pem(key_pem, "");
  if (!private_key) return fail(private_key.error().with("cannot use " + key));
  auto authority = pki::Authority::from_pem(certificate_pem, *std::move(private_key));
  if (!authority) return fail(authority.error().with("cannot use " + certificate));
  return authority;
}

Result<ServerFiles> renew_server(const std::string& directory, const pki::Authority& authority,
                                 const std::string& name, const std::vector<std::string>& addresses,
                                 const os::Clock& clock) {
  SEGUE_TRY(os::ensure_private_directory(directory + "/tls"));
  ServerFiles files{directory + "/tls/certificate.pem", directory + "/tls/key.pem"};
  SEGUE_ASSIGN(const auto key, crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256));
  SEGUE_ASSIGN(const std::string pem, authority.issue(key.public_key(),
                                                      {{pki::Role::server, name},
                                                       kServerLifetime,
                                                       addresses,
                                                       os::random_bytes(pki::kSerialBytes)},
                                                      clock.realtime_now()));
  SEGUE_ASSIGN(const std::string key_pem, key.to_pem(""));
  // Who reads them in between finds that they do not fit, and reads again.
  SEGUE_TRY(os::write_file_atomically(files.key, key_pem));
  SEGUE_TRY(os::write_file_atomically(files.certificate, pem + authority.certificate()));
  return files;
}

}  // namespace segue::server
