// SPDX-License-Identifier: Apache-2.0
// X.509 certificates (RFC 5280) of servers, relays and hosts. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "crypto/keys.h"
#include "pki/identity.h"

namespace segue::pki {

inline constexpr std::size_t kMaxCertificateBytes = std::size_t{64} << 10;

struct Certificate {
  Identity identity;
  std::string serial;           // hexadecimal digits
  std::string key_fingerprint;  // fingerprint_of() its key
  base::RealTime not_before;
  base::RealTime not_after;
  std::string pem;  // it alone, without what it came with
};

// SHA-256 of the key itself, in hexadecimal digits.
std::string fingerprint_of(const crypto::PublicKey& key);

// What the first certificate of a PEM text says; nothing is verified. data_loss: it is not one, or
// it names nobody whom Segue knows.
base::Result<Certificate> read_certificate(std::string_view pem);

// The key that the text's first certificate is for.
base::Result<crypto::PublicKey> key_in(std::string_view pem);

enum class Expiry { refused, allowed };

// That one of `authorities_pem` signed it. Where expiry is allowed, who is known too long is known
// all the same: for renewing, never for anything else. permission_denied says what is wrong.
base::Result<Certificate> verify_certificate(std::string_view pem, std::string_view authorities_pem,
                                             base::RealTime now, Expiry expiry);

// That one of the authorities has signed the text. permission_denied: none has.
base::Result<void> check_signed(std::string_view authorities_pem, std::string_view text,
                                std::string_view signature);

// SHA-256 over the DER of the text's first certificate, in hexadecimal digits.
base::Result<std::string> pin_of(std::string_view pem);

// The certificate of `chain_pem` that has this pin, as PEM. permission_denied: none has.
base::Result<std::string> pinned_authority(std::string_view chain_pem, std::string_view pin);

}  // namespace segue::pki
