// SPDX-License-Identifier: Apache-2.0
#include "pki/request.h"

#include <openssl/pem.h>

#include "pki/certificate.h"
#include "pki/openssl.h"

namespace segue::pki {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

using Extensions =
    std::unique_ptr<STACK_OF(X509_EXTENSION), decltype([](STACK_OF(X509_EXTENSION) * held) {
                      sk_X509_EXTENSION_pop_free(held, X509_EXTENSION_free);
                    })>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, Freed<&GENERAL_NAMES_free>>;

bool add_identity(X509_REQ* request, const Identity& identity) {
  const std::string value = "URI:" + uri_of(identity);
  Extension extension(X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, value.c_str()));
  if (!extension) return false;
  const Extensions extensions(sk_X509_EXTENSION_new_null());
  if (sk_X509_EXTENSION_push(extensions.get(), extension.get()) == 0) return false;
  (void)extension.release();  // the stack's now
  return X509_REQ_add_extensions(request, extensions.get()) == 1;
}

Result<Identity> identity_in(X509_REQ* request) {
  const Extensions extensions(X509_REQ_get_extensions(request));
  if (!extensions) return fail(ErrorCode::data_loss, "a certificate request names nobody");
  const GeneralNames names(static_cast<GENERAL_NAMES*>(
      X509V3_get_d2i(extensions.get(), NID_subject_alt_name, nullptr, nullptr)));
  SEGUE_ASSIGN(const std::string uri, uri_among(names.get()));
  const auto identity = identity_of(uri);
  if (!identity) return fail(ErrorCode::data_loss, "it names '{}', which is nobody here", uri);
  return *identity;
}

// No other text that the key signs begins so.
std::string text_to_sign(std::string_view request_pem) {
  return "segue certificate request\n" + std::string(request_pem);
}

}  // namespace

Result<std::string> make_request(const crypto::PrivateKey& key, const Identity& identity) {
  SEGUE_ASSIGN(const auto evp, evp_of(key));
  const X509Request request(X509_REQ_new());
  const Bio bio(BIO_new(BIO_s_mem()));
  const bool made = request && X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    X509_REQ_set_pubkey(request.get(), evp.get()) == 1 &&
                    add_identity(request.get(), identity) &&
                    X509_REQ_sign(request.get(), evp.get(), EVP_sha256()) > 0 &&
                    PEM_write_bio_X509_REQ(bio.get(), request.get()) == 1;
  if (!made) {
    return fail(ErrorCode::internal, "cannot make a certificate request: {}", openssl_reason());
  }
  return contents_of(bio.get());
}

Result<Request> read_request(std::string_view pem) {
  if (pem.size() > kMaxCertificateBytes) {
    return fail(ErrorCode::data_loss, "a certificate request of {} bytes; {} are allowed",
                pem.size(), kMaxCertificateBytes);
  }
  const X509Request request(PEM_read_bio_X509_REQ(read_only(pem).get(), nullptr, nullptr, nullptr));
  if (!request) return fail(ErrorCode::data_loss, "no certificate request: {}", openssl_reason());
  EVP_PKEY* evp = X509_REQ_get0_pubkey(request.get());
  SEGUE_ASSIGN(auto key, key_of(evp));
  if (X509_REQ_verify(request.get(), evp) != 1) {
    (void)openssl_reason();
    return fail(ErrorCode::permission_denied, "a certificate request is not signed by its key");
  }
  SEGUE_ASSIGN(auto identity, identity_in(request.get()));
  return Request{std::move(identity), std::move(key)};
}

Result<std::string> prove_sender(const crypto::PrivateKey& key, std::string_view request_pem) {
  return key.sign(text_to_sign(request_pem));
}

Result<void> check_sender(std::string_view certificate_pem, std::string_view request_pem,
                          std::string_view proof) {
  SEGUE_ASSIGN(const auto key, key_in(certificate_pem));
  if (key.verify(text_to_sign(request_pem), proof)) return {};
  return fail(ErrorCode::permission_denied,
              "a certificate request was not sent by the host that it is said to be from");
}

}  // namespace segue::pki
