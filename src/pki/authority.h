// SPDX-License-Identifier: Apache-2.0
// The certificate authority of one fleet: the server itself.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "crypto/keys.h"
#include "pki/identity.h"

namespace segue::pki {

// How much sooner than now a certificate begins: hosts' clocks differ.
inline constexpr base::Duration kClockTolerance = std::chrono::minutes(10);
inline constexpr std::size_t kSerialBytes = 16;

struct Wanted {
  Identity identity;
  base::Duration lifetime{};
  std::vector<std::string> names;  // DNS names and IP addresses that it is reached by
  std::string serial;              // kSerialBytes drawn at random
};

// Copies share the key. Threads: any.
class Authority {
 public:
  // A new one, which signs itself. `serial`: kSerialBytes drawn at random.
  static base::Result<Authority> create(crypto::PrivateKey key, const std::string& name,
                                        base::RealTime now, base::Duration lifetime,
                                        const std::string& serial);
  // permission_denied: the key is not the certificate's.
  static base::Result<Authority> from_pem(std::string_view certificate, crypto::PrivateKey key);

  // As PEM.
  [[nodiscard]] const std::string& certificate() const { return certificate_; }
  [[nodiscard]] const crypto::PublicKey& public_key() const { return key_.public_key(); }
  // A certificate for `key`, as PEM.
  [[nodiscard]] base::Result<std::string> issue(const crypto::PublicKey& key, const Wanted& wanted,
                                                base::RealTime now) const;
  // What hosts can check whoever brings it (check_signed() of certificate.h).
  [[nodiscard]] base::Result<std::string> sign(std::string_view text) const {
    return key_.sign(text);
  }

 private:
  Authority(std::string certificate, crypto::PrivateKey key)
      : certificate_(std::move(certificate)), key_(std::move(key)) {}

  std::string certificate_;
  crypto::PrivateKey key_;
};

}  // namespace segue::pki
