// SPDX-License-Identifier: Apache-2.0
#include "pki/certificate.h"

#include <openssl/asn1.h>
#include <openssl/pem.h>

#include <array>
#include <ctime>

#include "control/name.h"
#include "crypto/digest.h"
#include "pki/openssl.h"

namespace segue::pki {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kScheme = "segue://";
constexpr std::array<std::pair<Role, std::string_view>, 3> kRoles = {
    {{Role::server, "server"}, {Role::host, "host"}, {Role::relay, "relay"}}};

using GeneralNames = std::unique_ptr<GENERAL_NAMES, Freed<&GENERAL_NAMES_free>>;

Result<base::RealTime> time_of(const ASN1_TIME* time) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(time, &parts) != 1) {
    return fail(ErrorCode::data_loss, "its times cannot be read");
  }
  return base::RealTime(std::chrono::seconds(timegm(&parts)));
}

Result<std::string> serial_of(X509* certificate) {
  const std::unique_ptr<BIGNUM, Freed<&BN_free>> number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  if (!number) return fail(ErrorCode::data_loss, "its serial number cannot be read");
  std::string bytes(static_cast<std::size_t>(BN_num_bytes(number.get())), '\0');
  BN_bn2bin(number.get(), reinterpret_cast<unsigned char*>(bytes.data()));
  return crypto::to_hex(bytes);
}

Result<Certificate> read(X509* x509) {
  Certificate certificate;
  const GeneralNames names(
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(x509, NID_subject_alt_name, nullptr, nullptr)));
  SEGUE_ASSIGN(const std::string uri, uri_among(names.get()));
  const auto identity = identity_of(uri);
  if (!identity) return fail(ErrorCode::data_loss, "it names '{}', which is nobody here", uri);
  certificate.identity = *identity;
  SEGUE_ASSIGN(certificate.serial, serial_of(x509));
  SEGUE_ASSIGN(const auto key, key_of(X509_get0_pubkey(x509)));
  certificate.key_fingerprint = fingerprint_of(key);
  SEGUE_ASSIGN(certificate.not_before, time_of(X509_get0_notBefore(x509)));
  SEGUE_ASSIGN(certificate.not_after, time_of(X509_get0_notAfter(x509)));
  SEGUE_ASSIGN(certificate.pem, pem_of(x509));
  return certificate;
}

Result<X509Store> store_of(std::string_view authorities_pem) {
  X509Store store(X509_STORE_new());
  const Bio bio = read_only(authorities_pem);
  int count = 0;
  while (X509Certificate authority{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    X509_STORE_add_cert(store.get(), authority.get());
    ++count;
  }
  (void)openssl_reason();  // of the end of the text
  if (count == 0) return fail(ErrorCode::invalid_argument, "there is no authority to trust");
  return store;
}

Result<std::string> pin_of(X509* x509) {
  unsigned char* der = nullptr;
  const int size = i2d_X509(x509, &der);
  if (size <= 0) return fail(ErrorCode::internal, "OpenSSL: {}", openssl_reason());
  const std::string_view bytes(reinterpret_cast<const char*>(der), static_cast<std::size_t>(size));
  std::string pin = crypto::to_hex(crypto::digest_of(bytes));
  OPENSSL_free(der);
  return pin;
}

}  // namespace

std::string_view to_string(Role role) {
  for (const auto& [known, word] : kRoles) {
    if (known == role) return word;
  }
  return "";
}

std::string uri_of(const Identity& identity) {
  return fmt::format("{}{}/{}", kScheme, to_string(identity.role), identity.name);
}

std::optional<Identity> identity_of(std::string_view uri) {
  if (!uri.starts_with(kScheme)) return std::nullopt;
  uri.remove_prefix(kScheme.size());
  const auto slash = uri.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const std::string_view name = uri.substr(slash + 1);
  if (!control::check_name(name)) return std::nullopt;
  for (const auto& [role, word] : kRoles) {
    if (word == uri.substr(0, slash)) return Identity{role, std::string(name)};
  }
  return std::nullopt;
}

std::string fingerprint_of(const crypto::PublicKey& key) {
  return crypto::to_hex(key.fingerprint());
}

Result<Certificate> read_certificate(std::string_view pem) {
  SEGUE_ASSIGN(const auto x509, x509_of(pem));
  return read(x509.get());
}

Result<crypto::PublicKey> key_in(std::string_view pem) {
  SEGUE_ASSIGN(const auto x509, x509_of(pem));
  return key_of(X509_get0_pubkey(x509.get()));
}

Result<Certificate> verify_certificate(std::string_view pem, std::string_view authorities_pem,
                                       base::RealTime now, Expiry expiry) {
  SEGUE_ASSIGN(const auto x509, x509_of(pem));
  SEGUE_ASSIGN(const auto store, store_of(authorities_pem));
  const X509StoreContext context(X509_STORE_CTX_new());
  if (!context || X509_STORE_CTX_init(context.get(), store.get(), x509.get(), nullptr) != 1) {
    return fail(ErrorCode::internal, "OpenSSL cannot verify: {}", openssl_reason());
  }
  X509_VERIFY_PARAM* terms = X509_STORE_CTX_get0_param(context.get());
  if (expiry == Expiry::allowed) {
    X509_VERIFY_PARAM_set_flags(terms, X509_V_FLAG_NO_CHECK_TIME);
  } else {
    const auto seconds = std::chrono::time_point_cast<std::chrono::seconds>(now);
    X509_VERIFY_PARAM_set_time(terms, std::chrono::system_clock::to_time_t(seconds));
  }
  if (X509_verify_cert(context.get()) != 1) {
    const int error = X509_STORE_CTX_get_error(context.get());
    (void)openssl_reason();
    return fail(ErrorCode::permission_denied, "its certificate is refused: {}",
                X509_verify_cert_error_string(error));
  }
  return read(x509.get());
}

Result<void> check_signed(std::string_view authorities_pem, std::string_view text,
                          std::string_view signature) {
  const Bio bio = read_only(authorities_pem);
  while (const X509Certificate x509{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    SEGUE_ASSIGN(const auto key, key_of(X509_get0_pubkey(x509.get())));
    if (key.verify(text, signature)) return {};
  }
  (void)openssl_reason();  // of the end of the text
  return fail(ErrorCode::permission_denied, "the fleet's authority has not signed it");
}

Result<std::string> pin_of(std::string_view pem) {
  SEGUE_ASSIGN(const auto x509, x509_of(pem));
  return pin_of(x509.get());
}

Result<std::string> pinned_authority(std::string_view chain_pem, std::string_view pin) {
  if (chain_pem.size() > kMaxCertificateBytes) {
    return fail(ErrorCode::data_loss, "a chain of certificates of {} bytes; {} are allowed",
                chain_pem.size(), kMaxCertificateBytes);
  }
  const Bio bio = read_only(chain_pem);
  while (const X509Certificate x509{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    SEGUE_ASSIGN(const std::string found, pin_of(x509.get()));
    if (found == pin) return pem_of(x509.get());
  }
  (void)openssl_reason();  // of the end of the text
  return fail(ErrorCode::permission_denied,
              "the server is not of the fleet that the token is for: its authority is another");
}

}  // namespace segue::pki
