// SPDX-License-Identifier: Apache-2.0
// Keys that sign and verify: Ed25519 (RFC 8032), ECDSA on P-256 with SHA-256 (FIPS 186-5), RSA-PSS
// with SHA-256 (RFC 8017). Making a key, and signing with one that is not Ed25519, draws on
// OpenSSL's own random generator; nothing else here depends on anything but its arguments.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/error.h"

struct evp_pkey_st;

namespace segue::crypto {

enum class KeyType { ed25519, ecdsa_p256, rsa };

// ed25519, ecdsa or rsa.
std::string_view to_string(KeyType type);

inline constexpr int kMinRsaBits = 2048;
inline constexpr int kMaxRsaBits = 8192;
inline constexpr std::size_t kMaxPemBytes = std::size_t{16} << 10;

// Copies share the key; several threads may use them at once.
class PublicKey {
 public:
  // A SubjectPublicKeyInfo. invalid_argument: damaged, of another kind, or RSA of a size that is
  // not allowed.
  static base::Result<PublicKey> from_pem(std::string_view pem);
  // The 32 bytes of RFC 8032.
  static base::Result<PublicKey> from_ed25519(std::string_view bytes);

  [[nodiscard]] KeyType type() const { return type_; }
  [[nodiscard]] std::string pem() const;
  // Of Ed25519 only.
  [[nodiscard]] std::string ed25519_bytes() const;
  // SHA-256 of the key itself, however it was written; for telling keys apart.
  [[nodiscard]] std::string fingerprint() const;
  // ECDSA signatures are DER; those of RSA may have a salt of any length.
  [[nodiscard]] bool verify(std::string_view message, std::string_view signature) const;

 private:
  friend class PrivateKey;
  PublicKey(std::shared_ptr<evp_pkey_st> key, KeyType type) : key_(std::move(key)), type_(type) {}
  static base::Result<PublicKey> checked(std::shared_ptr<evp_pkey_st> key);

  std::shared_ptr<evp_pkey_st> key_;
  KeyType type_;
};

// Copies share the key; several threads may use them at once.
class PrivateKey {
 public:
  // RSA keys get 3072 bits. resource_exhausted when OpenSSL has no randomness.
  static base::Result<PrivateKey> generate(KeyType type);
  // The same 32 bytes make the same key (RFC 8032).
  static base::Result<PrivateKey> ed25519_from_seed(std::string_view seed);
  // PKCS #8, encrypted or not. permission_denied: the passphrase is wrong or missing.
  static base::Result<PrivateKey> from_pem(std::string_view pem, const std::string& passphrase);

  // PKCS #8; with a passphrase encrypted by AES-256 under a key from PBKDF2 (RFC 8018).
  [[nodiscard]] base::Result<std::string> to_pem(const std::string& passphrase) const;
  [[nodiscard]] const PublicKey& public_key() const { return public_key_; }
  [[nodiscard]] base::Result<std::string> sign(std::string_view message) const;

 private:
  explicit PrivateKey(PublicKey key) : public_key_(std::move(key)) {}

  PublicKey public_key_;  // OpenSSL keeps both halves in one object
};

}  // namespace segue::crypto
