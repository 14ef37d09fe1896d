// SPDX-License-Identifier: Apache-2.0
// OpenSSL's objects with owners, inside this library alone.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/keys.h"

namespace segue::pki {

template <auto kFree>
struct Freed {
  template <class T>
  void operator()(T* held) const {
    kFree(held);
  }
};
using Bio = std::unique_ptr<BIO, Freed<&BIO_free_all>>;
using EvpKey = std::unique_ptr<EVP_PKEY, Freed<&EVP_PKEY_free>>;
using X509Certificate = std::unique_ptr<X509, Freed<&X509_free>>;
using X509Request = std::unique_ptr<X509_REQ, Freed<&X509_REQ_free>>;
using X509Store = std::unique_ptr<X509_STORE, Freed<&X509_STORE_free>>;
using X509StoreContext = std::unique_ptr<X509_STORE_CTX, Freed<&X509_STORE_CTX_free>>;
using Extension = std::unique_ptr<X509_EXTENSION, Freed<&X509_EXTENSION_free>>;

// What OpenSSL says of its last failure; none is left behind for the next call.
std::string openssl_reason();

Bio read_only(std::string_view text);
std::string contents_of(BIO* bio);

base::Result<EvpKey> evp_of(const crypto::PrivateKey& key);
base::Result<EvpKey> evp_of(const crypto::PublicKey& key);
base::Result<crypto::PublicKey> key_of(EVP_PKEY* key);

// The first certificate of the text; data_loss where there is none.
base::Result<X509Certificate> x509_of(std::string_view pem);
base::Result<std::string> pem_of(X509* certificate);

// The one URI among subject alternative names that names somebody.
base::Result<std::string> uri_among(const GENERAL_NAMES* names);

}  // namespace segue::pki
