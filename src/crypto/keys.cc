// SPDX-License-Identifier: Apache-2.0
#include "crypto/keys.h"

#include <openssl/bio.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>
#include <cstring>
#include <optional>

#include "base/assert.h"
#include "crypto/digest.h"

namespace segue::crypto {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kRsaBits = 3072;
constexpr int kPbkdf2Rounds = 600'000;
constexpr std::size_t kEd25519Bytes = 32;

struct FreeBio {
  void operator()(BIO* bio) const { BIO_free_all(bio); }
};
using Bio = std::unique_ptr<BIO, FreeBio>;

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};

std::shared_ptr<EVP_PKEY> owned(EVP_PKEY* key) {
  return {key, [](EVP_PKEY* held) { EVP_PKEY_free(held); }};
}

const unsigned char* bytes_of(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

// What OpenSSL says of its last failure; none is left behind for the next call.
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

// Without it OpenSSL would ask on the terminal.
int give_passphrase(char* place, int room, int /*writing*/, void* passphrase) {
  const auto& text = *static_cast<const std::string*>(passphrase);
  if (text.size() > static_cast<std::size_t>(room)) return -1;
  std::memcpy(place, text.data(), text.size());
  return static_cast<int>(text.size());
}

std::optional<KeyType> type_of(EVP_PKEY* key) {
  switch (EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_ED25519:
      return KeyType::ed25519;
    case EVP_PKEY_RSA:
      return KeyType::rsa;
    case EVP_PKEY_EC: {
      std::array<char, 64> group{};
      const bool named = EVP_PKEY_get_group_name(key, group.data(), group.size(), nullptr) == 1;
      if (named && std::string_view(group.data()) == SN_X9_62_prime256v1) {
        return KeyType::ecdsa_p256;
      }
      return std::nullopt;
    }
    default:
      return std::nullopt;
  }
}

// Ed25519 hashes by itself.
const EVP_MD* method_of(KeyType type) {
  return type == KeyType::ed25519 ? nullptr : EVP_sha256();
}

bool set_padding(EVP_PKEY_CTX* context, KeyType type, int salt_bytes) {
  if (type != KeyType::rsa) return true;
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, EVP_sha256()) > 0 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt_bytes) > 0;
}

EVP_PKEY* generate_key(KeyType type) {
  switch (type) {
    case KeyType::ed25519:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
    case KeyType::ecdsa_p256:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256");
    case KeyType::rsa:
      return EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", std::size_t{kRsaBits});
  }
  return nullptr;
}

// PKCS #8 with PBES2: PBKDF2 with HMAC-SHA-256, then AES-256-CBC.
bool write_encrypted(BIO* bio, EVP_PKEY* key, const std::string& passphrase) {
  PKCS8_PRIV_KEY_INFO* plain = EVP_PKEY2PKCS8(key);
  X509_ALGOR* method =
      PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), kPbkdf2Rounds, nullptr, 0, nullptr, NID_hmacWithSHA256);
  X509_SIG* encrypted = nullptr;
  if (plain != nullptr && method != nullptr) {
    encrypted =
        PKCS8_set0_pbe(passphrase.data(), static_cast<int>(passphrase.size()), plain, method);
  }
  PKCS8_PRIV_KEY_INFO_free(plain);
  if (encrypted == nullptr) {
    X509_ALGOR_free(method);
    return false;
  }
  const bool written = PEM_write_bio_PKCS8(bio, encrypted) == 1;
  X509_SIG_free(encrypted);  // and the method with it
  return written;
}

}  // namespace

std::string_view to_string(KeyType type) {
  switch (type) {
    case KeyType::ed25519:
      return "ed25519";
    case KeyType::ecdsa_p256:
      return "ecdsa";
    case KeyType::rsa:
      return "rsa";
  }
  return "unknown";
}

Result<PublicKey> PublicKey::checked(std::shared_ptr<evp_pkey_st> key) {
  const auto type = type_of(key.get());
  if (!type) {
    return fail(ErrorCode::invalid_argument,
                "the key is neither Ed25519 nor ECDSA on P-256 nor RSA: use one of these");
  }
  const int bits = EVP_PKEY_get_bits(key.get());
  if (*type == KeyType::rsa && (bits < kMinRsaBits || bits > kMaxRsaBits)) {
    return fail(ErrorCode::invalid_argument,
                "the RSA key has {} bits, {} to {} are allowed: make another", bits, kMinRsaBits,
                kMaxRsaBits);
  }
  return PublicKey(std::move(key), *type);
}

Result<PublicKey> PublicKey::from_pem(std::string_view pem) {
  if (pem.size() > kMaxPemBytes) {
    return fail(ErrorCode::invalid_argument, "a public key of {} bytes is too long", pem.size());
  }
  std::string no_passphrase;
  const Bio bio = read_only(pem);
  auto key = owned(PEM_read_bio_PUBKEY(bio.get(), nullptr, give_passphrase, &no_passphrase));
  if (key == nullptr) {
    return fail(ErrorCode::invalid_argument, "not a public key in PEM: {}", openssl_reason());
  }
  return checked(std::move(key));
}

Result<PublicKey> PublicKey::from_ed25519(std::string_view bytes) {
  auto key =
      owned(EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, bytes_of(bytes), bytes.size()));
  if (key == nullptr) {
    return fail(ErrorCode::invalid_argument, "not an Ed25519 key of {} bytes: {}", kEd25519Bytes,
                openssl_reason());
  }
  return PublicKey(std::move(key), KeyType::ed25519);
}

std::string PublicKey::pem() const {
  const Bio bio(BIO_new(BIO_s_mem()));
  SEGUE_ASSERT(bio != nullptr && PEM_write_bio_PUBKEY(bio.get(), key_.get()) == 1);
  return contents_of(bio.get());
}

std::string PublicKey::ed25519_bytes() const {
  std::array<unsigned char, kEd25519Bytes> bytes{};
  std::size_t size = bytes.size();
  SEGUE_ASSERT(EVP_PKEY_get_raw_public_key(key_.get(), bytes.data(), &size) == 1);
  return {reinterpret_cast<const char*>(bytes.data()), size};
}

std::string PublicKey::fingerprint() const {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key_.get(), &der);
  SEGUE_ASSERT(size > 0);
  std::string fingerprint =
      digest_of({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  return fingerprint;
}

bool PublicKey::verify(std::string_view message, std::string_view signature) const {
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  const bool valid = context != nullptr &&
                     EVP_DigestVerifyInit(context.get(), &parameters, method_of(type_), nullptr,
                                          key_.get()) == 1 &&
                     set_padding(parameters, type_, RSA_PSS_SALTLEN_AUTO) &&
                     EVP_DigestVerify(context.get(), bytes_of(signature), signature.size(),
                                      bytes_of(message), message.size()) == 1;
  ERR_clear_error();
  return valid;
}

Result<PrivateKey> PrivateKey::generate(KeyType type) {
  auto key = owned(generate_key(type));
  if (key == nullptr) {
    return fail(ErrorCode::resource_exhausted, "no {} key could be made: {}", to_string(type),
                openssl_reason());
  }
  return PrivateKey(PublicKey(std::move(key), type));
}

Result<PrivateKey> PrivateKey::ed25519_from_seed(std::string_view seed) {
  auto key =
      owned(EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, bytes_of(seed), seed.size()));
  if (key == nullptr) {
    return fail(ErrorCode::invalid_argument, "a seed has {} bytes, this one {}: {}", kEd25519Bytes,
                seed.size(), openssl_reason());
  }
  return PrivateKey(PublicKey(std::move(key), KeyType::ed25519));
}

Result<PrivateKey> PrivateKey::from_pem(std::string_view pem, const std::string& passphrase) {
  if (pem.size() > kMaxPemBytes) {
    return fail(ErrorCode::invalid_argument, "a private key of {} bytes is too long", pem.size());
  }
  std::string given = passphrase;
  const Bio bio = read_only(pem);
  auto key = owned(PEM_read_bio_PrivateKey(bio.get(), nullptr, give_passphrase, &given));
  OPENSSL_cleanse(given.data(), given.size());
  if (key == nullptr) {
    const std::string reason = openssl_reason();
    if (pem.find("BEGIN ENCRYPTED PRIVATE KEY") != std::string_view::npos) {
      return fail(ErrorCode::permission_denied,
                  "the private key is encrypted, and the passphrase is {}: {}",
                  passphrase.empty() ? "missing" : "wrong", reason);
    }
    return fail(ErrorCode::invalid_argument, "not a private key in PEM: {}", reason);
  }
  SEGUE_ASSIGN(PublicKey checked, PublicKey::checked(std::move(key)));
  return PrivateKey(std::move(checked));
}

Result<std::string> PrivateKey::to_pem(const std::string& passphrase) const {
  // Secure memory is wiped when it is freed.
  const Bio bio(BIO_new(BIO_s_secmem()));
  SEGUE_ASSERT(bio != nullptr);
  EVP_PKEY* key = public_key_.key_.get();
  const bool written = passphrase.empty()
                           ? PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0,
                                                           nullptr, nullptr) == 1
                           : write_encrypted(bio.get(), key, passphrase);
  if (!written) {
    return fail(ErrorCode::internal, "the private key could not be written: {}", openssl_reason());
  }
  return contents_of(bio.get());
}

Result<std::string> PrivateKey::sign(std::string_view message) const {
  const KeyType type = public_key_.type();
  const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  EVP_PKEY_CTX* parameters = nullptr;
  std::size_t size = 0;
  std::string signature;
  bool signed_well =
      context != nullptr &&
      EVP_DigestSignInit(context.get(), &parameters, method_of(type), nullptr,
                         public_key_.key_.get()) == 1 &&
      set_padding(parameters, type, RSA_PSS_SALTLEN_DIGEST) &&
      EVP_DigestSign(context.get(), nullptr, &size, bytes_of(message), message.size()) == 1;
  if (signed_well) {
    signature.resize(size);
    signed_well = EVP_DigestSign(context.get(), reinterpret_cast<unsigned char*>(signature.data()),
                                 &size, bytes_of(message), message.size()) == 1;
    signature.resize(size);
  }
  if (!signed_well) return fail(ErrorCode::internal, "signing failed: {}", openssl_reason());
  return signature;
}

}  // namespace segue::crypto
