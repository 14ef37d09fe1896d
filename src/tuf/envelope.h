// SPDX-License-Identifier: Apache-2.0
// A file of metadata: what is signed, and the signatures.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/keys.h"
#include "tuf/metadata.h"

namespace segue::tuf {

struct Signature {
  std::string key_id;
  std::string digits;  // hexadecimal
  Json extra = Json::object();
};

struct Envelope {
  Json signed_part;
  std::string canonical;              // of signed_part: what signatures are made over
  std::vector<Signature> signatures;  // each key id once
  Json extra = Json::object();
};

// Reads no more than the two parts. data_loss: not JSON as json.h wants it, a part is missing, a
// key id stands twice.
base::Result<Envelope> parse_envelope(std::string_view bytes);

// How many different keys of the role have signed. Keys are told apart by what they are, not by
// their ids; signatures that are damaged, of unknown keys or of keys that the role does not have do
// not count and do no harm.
std::size_t count_signatures(const Envelope& envelope, const Keys& keys, const RoleKeys& role);

// permission_denied when fewer have signed than the role's threshold.
base::Result<void> verify(const Envelope& envelope, const Keys& keys, const RoleKeys& role,
                          std::string_view role_name);

// The bytes of a file. invalid_argument: `signed_part` cannot be written in canonical form.
base::Result<std::string> sign(const Json& signed_part,
                               const std::vector<crypto::PrivateKey>& keys);
// Adds signatures to those that are there; a key that has signed before signs again.
base::Result<std::string> add_signatures(std::string_view bytes,
                                         const std::vector<crypto::PrivateKey>& keys);

template <class Metadata>
base::Result<std::string> sign_metadata(const Metadata& metadata,
                                        const std::vector<crypto::PrivateKey>& keys) {
  return sign(to_json(metadata), keys);
}

}  // namespace segue::tuf
