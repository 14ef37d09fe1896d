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

}  // namespace segue::pki
