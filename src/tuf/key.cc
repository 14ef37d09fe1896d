// SPDX-License-Identifier: Apache-2.0
// Public keys as metadata states them: specification 1.0, section 4.2.
#include <fmt/format.h>

#include "base/assert.h"
#include "crypto/digest.h"
#include "tuf/fields.h"
#include "tuf/metadata.h"

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using crypto::KeyType;
using crypto::PublicKey;

struct Kind {
  std::string_view key_type;
  std::string_view scheme;
  KeyType type;
};

// The first of a type is the one that is written.
constexpr Kind kKinds[] = {
    {"ed25519", "ed25519", KeyType::ed25519},
    {"ecdsa", "ecdsa-sha2-nistp256", KeyType::ecdsa_p256},
    {"ecdsa-sha2-nistp256", "ecdsa-sha2-nistp256", KeyType::ecdsa_p256},
    {"rsa", "rsassa-pss-sha256", KeyType::rsa},
};

// Nothing when the kind is not supported, or the key is not what its kind says.
std::optional<PublicKey> usable_key(std::string_view key_type, std::string_view scheme,
                                    const std::string& text) {
  for (const auto& kind : kKinds) {
    if (kind.key_type != key_type || kind.scheme != scheme) continue;
    if (kind.type == KeyType::ed25519) {
      const auto bytes = crypto::from_hex(text);
      if (!bytes) return std::nullopt;
      auto key = PublicKey::from_ed25519(*bytes);
      return key ? std::optional(*std::move(key)) : std::nullopt;
    }
    auto key = PublicKey::from_pem(text);
    if (!key || key->type() != kind.type) return std::nullopt;
    return *std::move(key);
  }
  return std::nullopt;
}

Result<std::string> id_of(const Json& json) {
  SEGUE_ASSIGN(const std::string canonical, canonical_json(json));
  return crypto::to_hex(crypto::digest_of(canonical));
}

}  // namespace

Key Key::of(const PublicKey& key) {
  for (const auto& kind : kKinds) {
    if (kind.type != key.type()) continue;
    const std::string text =
        kind.type == KeyType::ed25519 ? crypto::to_hex(key.ed25519_bytes()) : key.pem();
    const Json json = {
        {"keytype", kind.key_type}, {"scheme", kind.scheme}, {"keyval", {{"public", text}}}};
    return {json, id_of(json).value(), key};
  }
  SEGUE_ASSERT(!"every type of key has a kind");
}

Result<Key> Key::parse(const std::string& id, const Json& json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(json, "a key"));
  SEGUE_ASSIGN(const std::string key_type, fields.string("keytype"));
  SEGUE_ASSIGN(const std::string scheme, fields.string("scheme"));
  SEGUE_ASSIGN(Fields value, fields.object("keyval"));
  SEGUE_ASSIGN(const std::string text, value.string("public"));
  SEGUE_ASSIGN(const std::string true_id, id_of(json));
  if (true_id != id) {
    return fail(ErrorCode::data_loss, "the key id '{}' belongs to another key: this one's is {}",
                id.substr(0, 64), true_id);
  }
  return Key{json, id, usable_key(key_type, scheme, text)};
}

}  // namespace segue::tuf
