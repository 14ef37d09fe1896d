// SPDX-License-Identifier: Apache-2.0
#include "pki/openssl.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/assert.h"
#include "pki/certificate.h"
#include "pki/identity.h"

namespace segue::pki {

using base::ErrorCode;
using base::fail;
using base::Result;

std::string openssl_reason() {
  const unsigned long code = ERR_peek_last_error();
  ERR_clear_error();
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "no reason given" : reason;
}

Bio read_only(std::string_view text) {
  Bio bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  SEGUE_ASSERT(bio != nullptr);
  return bio;
}

std::string contents_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<std::size_t>(size));
}

Result<EvpKey> evp_of(const crypto::PrivateKey& key) {
  SEGUE_ASSIGN(const std::string pem, key.to_pem(""));
  EvpKey evp(PEM_read_bio_PrivateKey(read_only(pem).get(), nullptr, nullptr, nullptr));
  if (!evp) return fail(ErrorCode::internal, "OpenSSL cannot read a key: {}", openssl_reason());
  return evp;
}

Result<EvpKey> evp_of(const crypto::PublicKey& key) {
  EvpKey evp(PEM_read_bio_PUBKEY(read_only(key.pem()).get(), nullptr, nullptr, nullptr));
  if (!evp) return fail(ErrorCode::internal, "OpenSSL cannot read a key: {}", openssl_reason());
  return evp;
}

Result<crypto::PublicKey> key_of(EVP_PKEY* key) {
  if (key == nullptr) return fail(ErrorCode::data_loss, "there is no key in it");
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_PUBKEY(bio.get(), key) != 1) {
    return fail(ErrorCode::data_loss, "its key cannot be read: {}", openssl_reason());
  }
  return crypto::PublicKey::from_pem(contents_of(bio.get()));
}

Result<X509Certificate> x509_of(std::string_view pem) {
  if (pem.size() > kMaxCertificateBytes) {
    return fail(ErrorCode::data_loss, "a certificate of {} bytes; {} are allowed", pem.size(),
                kMaxCertificateBytes);
  }
  X509Certificate certificate(PEM_read_bio_X509(read_only(pem).get(), nullptr, nullptr, nullptr));
  if (!certificate) return fail(ErrorCode::data_loss, "no certificate: {}", openssl_reason());
  return certificate;
}

Result<std::string> pem_of(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()));
  if (PEM_write_bio_X509(bio.get(), certificate) != 1) {
    return fail(ErrorCode::internal, "cannot write a certificate: {}", openssl_reason());
  }
  return contents_of(bio.get());
}

Result<std::string> uri_among(const GENERAL_NAMES* names) {
  std::string found;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const auto* bytes = ASN1_STRING_get0_data(name->d.uniformResourceIdentifier);
    const int size = ASN1_STRING_length(name->d.uniformResourceIdentifier);
    const std::string_view uri(reinterpret_cast<const char*>(bytes),
                               static_cast<std::size_t>(size));
    if (!found.empty()) return fail(ErrorCode::data_loss, "it names two: {} and {}", found, uri);
    found = uri;
  }
  if (found.empty()) return fail(ErrorCode::data_loss, "it names nobody");
  return found;
}

}  // namespace segue::pki
