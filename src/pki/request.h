// SPDX-License-Identifier: Apache-2.0
// Certificate requests (PKCS #10, RFC 2986): a host keeps its key and proves that it has it.
#pragma once

#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/keys.h"
#include "pki/identity.h"

namespace segue::pki {

base::Result<std::string> make_request(const crypto::PrivateKey& key, const Identity& identity);

struct Request {
  Identity identity;  // wanted; whoever issues decides
  crypto::PublicKey key;
};
// data_loss: damaged. permission_denied: who sends it does not have the key.
base::Result<Request> read_request(std::string_view pem);

// A request that a relay passes on: who sends it shows that it has the key of its certificate, too,
// as no connection does for it.
base::Result<std::string> prove_sender(const crypto::PrivateKey& key, std::string_view request_pem);
// permission_denied: it was not sent by whom the certificate is for.
base::Result<void> check_sender(std::string_view certificate_pem, std::string_view request_pem,
                                std::string_view proof);

}  // namespace segue::pki
