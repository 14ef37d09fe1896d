// SPDX-License-Identifier: Apache-2.0
// X.509 certificates (RFC 5280) of servers, relays and hosts. Threads: any.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "base/time.h"
#include "pki/identity.h"

namespace segue::pki {

inline constexpr std::size_t kMaxCertificateBytes = std::size_t{64} << 10;

struct Certificate {
  Identity identity;
  std::string serial;           // hexadecimal digits
  std::string key_fingerprint;  // as crypto::PublicKey::fingerprint()
  base::RealTime not_before;
  base::RealTime not_after;
};

// What the first certificate of a PEM text says; nothing is verified. data_loss: it is not one, or
// it names nobody whom Segue knows.
base::Result<Certificate> read_certificate(std::string_view pem);

enum class Expiry { refused, allowed };

// That one of `authorities_pem` signed it. Where expiry is allowed, who is known too long is known
// all the same: for renewing, never for anything else. permission_denied says what is wrong.
base::Result<Certificate> verify_certificate(std::string_view pem, std::string_view authorities_pem,
                                             base::RealTime now, Expiry expiry);

}  // namespace segue::pki
