// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "base/error.h"
#include "crypto/keys.h"
#include "tuf/repository.h"

namespace segue::cli {

// The first line of the file; "" for "".
base::Result<std::string> read_passphrase(const std::string& path);
base::Result<crypto::PrivateKey> read_private_key(const std::string& path,
                                                  const std::string& passphrase_file);

// From words as ROLE=FILE; a role may stand several times. invalid_argument for root, whose keys
// sign nothing here.
base::Result<tuf::Signers> read_signers(const std::vector<std::string>& words,
                                        const std::string& passphrase_file);

}  // namespace segue::cli
