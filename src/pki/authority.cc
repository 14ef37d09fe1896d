// SPDX-License-Identifier: Apache-2.0
#include "pki/authority.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/assert.h"
#include "crypto/digest.h"
#include "pki/openssl.h"

namespace segue::pki {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

bool is_address(const std::string& name) {
  std::array<unsigned char, sizeof(in6_addr)> bytes{};
  return inet_pton(AF_INET, name.c_str(), bytes.data()) == 1 ||
         inet_pton(AF_INET6, name.c_str(), bytes.data()) == 1;
}

bool set_serial(X509* certificate, const std::string& serial) {
  SEGUE_ASSERT(serial.size() == kSerialBytes);
  const std::unique_ptr<BIGNUM, Freed<&BN_free>> number(
      BN_bin2bn(reinterpret_cast<const unsigned char*>(serial.data()),
                static_cast<int>(serial.size()), nullptr));
  return number && BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr;
}

bool set_times(X509* certificate, base::RealTime begin, base::RealTime end) {
  const auto seconds = [](base::RealTime time) {
    return std::chrono::system_clock::to_time_t(
        std::chrono::time_point_cast<std::chrono::seconds>(time));
  };
  return ASN1_TIME_set(X509_getm_notBefore(certificate), seconds(begin)) != nullptr &&
         ASN1_TIME_set(X509_getm_notAfter(certificate), seconds(end)) != nullptr;
}

bool set_name(X509_NAME* name, const std::string& text) {
  return X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
                                    reinterpret_cast<const unsigned char*>(text.data()),
                                    static_cast<int>(text.size()), -1, 0) == 1;
}

bool add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str()));
  return extension && X509_add_ext(certificate, extension.get(), -1) == 1;
}

std::string names_of(const Wanted& wanted) {
  std::string names = "URI:" + uri_of(wanted.identity);
  for (const auto& name : wanted.names) {
    names += fmt::format(",{}:{}", is_address(name) ? "IP" : "DNS", name);
  }
  return names;
}

// A name from an administrator becomes part of OpenSSL's little language.
Result<void> check_names(const Wanted& wanted) {
  for (const auto& name : wanted.names) {
    const auto allowed = [](unsigned char c) {
      return std::isalnum(c) != 0 || c == '.' || c == '-' || c == ':';
    };
    if (!name.empty() && name.size() <= 253 && std::ranges::all_of(name, allowed)) continue;
    return fail(ErrorCode::invalid_argument, "'{}' is neither a DNS name nor an IP address", name);
  }
  return {};
}

Result<std::string> signed_pem(X509* certificate, EVP_PKEY* key, bool made) {
  if (!made || X509_sign(certificate, key, EVP_sha256()) == 0) {
    return fail(ErrorCode::internal, "cannot make a certificate: {}", openssl_reason());
  }
  return pem_of(certificate);
}

}  // namespace

Result<Authority> Authority::create(crypto::PrivateKey key, const std::string& name,
                                    base::RealTime now, base::Duration lifetime,
                                    const std::string& serial) {
  SEGUE_ASSIGN(const auto evp, evp_of(key));
  const X509Certificate made(X509_new());
  X509* x509 = made.get();
  const bool good =
      x509 != nullptr && X509_set_version(x509, X509_VERSION_3) == 1 && set_serial(x509, serial) &&
      set_times(x509, now - kClockTolerance, now + lifetime) &&
      set_name(X509_get_subject_name(x509), name) && set_name(X509_get_issuer_name(x509), name) &&
      X509_set_pubkey(x509, evp.get()) == 1 &&
      add_extension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
      add_extension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign") &&
      add_extension(x509, x509, NID_subject_key_identifier, "hash");
  SEGUE_ASSIGN(auto pem, signed_pem(x509, evp.get(), good));
  return Authority(std::move(pem), std::move(key));
}

Result<Authority> Authority::from_pem(std::string_view certificate, crypto::PrivateKey key) {
  SEGUE_ASSIGN(const auto x509, x509_of(certificate));
  SEGUE_ASSIGN(const auto evp, evp_of(key));
  if (X509_check_private_key(x509.get(), evp.get()) != 1) {
    (void)openssl_reason();
    return fail(ErrorCode::permission_denied, "the authority's key is not its certificate's");
  }
  return Authority(std::string(certificate), std::move(key));
}

Result<std::string> Authority::issue(const crypto::PublicKey& key, const Wanted& wanted,
                                     base::RealTime now) const {
  SEGUE_TRY(check_names(wanted));
  SEGUE_ASSIGN(const auto issuer, x509_of(certificate_));
  SEGUE_ASSIGN(const auto issuer_key, evp_of(key_));
  SEGUE_ASSIGN(const auto evp, evp_of(key));
  const X509Certificate made(X509_new());
  X509* x509 = made.get();
  const bool good = x509 != nullptr && X509_set_version(x509, X509_VERSION_3) == 1 &&
                    set_serial(x509, wanted.serial) &&
                    set_times(x509, now - kClockTolerance, now + wanted.lifetime) &&
                    set_name(X509_get_subject_name(x509), wanted.identity.name) &&
                    X509_set_issuer_name(x509, X509_get_subject_name(issuer.get())) == 1 &&
                    X509_set_pubkey(x509, evp.get()) == 1 &&
                    add_extension(x509, issuer.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(x509, issuer.get(), NID_key_usage, "critical,digitalSignature") &&
                    add_extension(x509, issuer.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
                    add_extension(x509, issuer.get(), NID_subject_key_identifier, "hash") &&
                    add_extension(x509, issuer.get(), NID_authority_key_identifier, "keyid") &&
                    add_extension(x509, issuer.get(), NID_subject_alt_name, names_of(wanted));
  return signed_pem(x509, issuer_key.get(), good);
}

}  // namespace segue::pki
