// SPDX-License-Identifier: Apache-2.0
#include "server/credentials.h"

#include <filesystem>
#include <memory>

#include "os/files.h"
#include "os/random.h"
#include "pki/certificate.h"
#include "server/documents.h"

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

namespace {

// That the store names; its key has to be here.
Result<pki::Authority> adopt_authority(const std::string& directory, const std::string& store,
                                       const std::string& certificate) {
  SEGUE_TRY(os::ensure_private_directory(directory));
  const std::string key = directory + "/authority.key";
  std::error_code ignored;
  if (!std::filesystem::exists(key, ignored)) {
    return fail(ErrorCode::failed_precondition,
                "{} is of a fleet whose key is not here: copy authority.key of another of its "
                "servers, or of a backup, to {}",
                store, key);
  }
  SEGUE_ASSIGN(const std::string pem, os::read_file(key, crypto::kMaxPemBytes));
  auto private_key = crypto::PrivateKey::from_pem(pem, "");
  if (!private_key) return fail(private_key.error().with("cannot use " + key));
  auto authority = pki::Authority::from_pem(certificate, *std::move(private_key));
  if (!authority) {
    return fail(ErrorCode::failed_precondition,
                "{} is not the key of the fleet in {}: copy authority.key of another of its "
                "servers, or name another --store ({})",
                key, store, authority.error().message());
  }
  const std::string copy = directory + "/authority.pem";
  const auto kept = os::read_file(copy, pki::kMaxCertificateBytes);
  if (!kept || *kept != certificate) {
    SEGUE_TRY(os::write_file_atomically(copy, certificate, 0644));
  }
  return authority;
}

class Settling : public std::enable_shared_from_this<Settling> {
 public:
  Settling(store::Store& store, std::string directory, const os::Clock& clock, TakeAuthority take)
      : store_(store), directory_(std::move(directory)), clock_(clock), take_(std::move(take)) {}

  void read() {
    store_.get(std::string(kAuthorityKey), [self = shared_from_this()](
                                               const Result<store::Reading>& reading) {
      if (!reading) return self->take_(fail(reading.error()));
      if (!reading->entry) return self->found();
      self->take_(adopt_authority(self->directory_, self->store_.name(), reading->entry->value));
    });
  }

 private:
  // Nobody has written one down.
  void found() {
    const auto authority = open_authority(directory_, clock_);
    if (!authority) return take_(authority);
    store::Transaction transaction;
    const std::string key(kAuthorityKey);
    transaction.expect_absent(key).put(key, authority->certificate());
    store_.commit(std::move(transaction), [self = shared_from_this(), authority = *authority](
                                              const store::CommitResult& result) {
      if (result) return self->take_(authority);
      // Another server was quicker.
      if (result.error().kind == store::CommitFailure::Kind::conflict) return self->read();
      self->take_(fail(result.error().error));
    });
  }

  store::Store& store_;
  const std::string directory_;
  const os::Clock& clock_;
  const TakeAuthority take_;
};

}  // namespace

void settle_authority(store::Store& store, const std::string& directory, const os::Clock& clock,
                      TakeAuthority take) {
  std::make_shared<Settling>(store, directory, clock, std::move(take))->read();
}

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
