// SPDX-License-Identifier: Apache-2.0
#include "tuf/envelope.h"

#include <fmt/format.h>

#include <map>
#include <set>

#include "crypto/digest.h"
#include "tuf/fields.h"

namespace segue::tuf {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<std::vector<Signature>> read_signatures(Json list) {
  if (!list.is_array()) return fail(ErrorCode::data_loss, "'signatures' is not a list");
  std::vector<Signature> signatures;
  std::set<std::string> key_ids;
  for (auto& json : list) {
    SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a signature"));
    Signature signature;
    SEGUE_ASSIGN(signature.key_id, fields.string("keyid"));
    SEGUE_ASSIGN(signature.digits, fields.string("sig"));
    if (!key_ids.insert(signature.key_id).second) {
      return fail(ErrorCode::data_loss, "the key {} has signed twice",
                  signature.key_id.substr(0, 64));
    }
    signature.extra = std::move(fields).rest();
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

std::string file_of(const Envelope& envelope) {
  Json json = envelope.extra;
  json["signed"] = envelope.signed_part;
  Json& signatures = json["signatures"] = Json::array();
  for (const auto& signature : envelope.signatures) {
    Json entry = signature.extra;
    entry["keyid"] = signature.key_id;
    entry["sig"] = signature.digits;
    signatures.push_back(std::move(entry));
  }
  return json.dump();
}

Result<void> add(Envelope& envelope, const std::vector<crypto::PrivateKey>& keys) {
  for (const auto& key : keys) {
    SEGUE_ASSIGN(const std::string bytes, key.sign(envelope.canonical));
    const std::string id = Key::of(key.public_key()).id;
    std::erase_if(envelope.signatures, [&](const auto& old) { return old.key_id == id; });
    envelope.signatures.push_back({id, crypto::to_hex(bytes)});
  }
  return {};
}

}  // namespace

Result<Envelope> parse_envelope(std::string_view bytes) {
  SEGUE_ASSIGN(Json json, parse_json(bytes));
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "the file"));
  Envelope envelope;
  SEGUE_ASSIGN(envelope.signed_part, fields.take("signed"));
  SEGUE_ASSIGN(Json signatures, fields.take("signatures"));
  SEGUE_ASSIGN(envelope.signatures, read_signatures(std::move(signatures)));
  SEGUE_ASSIGN(envelope.canonical, canonical_json(envelope.signed_part));
  envelope.extra = std::move(fields).rest();
  return envelope;
}

std::size_t count_signatures(const Envelope& envelope, const Keys& keys, const RoleKeys& role) {
  std::map<std::string_view, std::string_view> digits_of;
  for (const auto& signature : envelope.signatures) {
    digits_of.emplace(signature.key_id, signature.digits);
  }
  std::set<std::string> signers;
  for (const auto& id : role.key_ids) {
    const auto digits = digits_of.find(id);
    const auto key = keys.find(id);
    if (digits == digits_of.end() || key == keys.end() || !key->second.key) continue;
    const auto bytes = crypto::from_hex(digits->second);
    if (!bytes || !key->second.key->verify(envelope.canonical, *bytes)) continue;
    signers.insert(key->second.key->fingerprint());
  }
  return signers.size();
}

Result<void> verify(const Envelope& envelope, const Keys& keys, const RoleKeys& role,
                    std::string_view role_name) {
  const std::size_t count = count_signatures(envelope, keys, role);
  if (count >= role.threshold) return {};
  return fail(ErrorCode::permission_denied,
              "{} is signed by {} of the keys of that role, and {} are needed", role_name, count,
              role.threshold);
}

Result<std::string> sign(const Json& signed_part, const std::vector<crypto::PrivateKey>& keys) {
  Envelope envelope;
  envelope.signed_part = signed_part;
  SEGUE_ASSIGN(envelope.canonical, canonical_json(signed_part));
  SEGUE_TRY(add(envelope, keys));
  return file_of(envelope);
}

Result<std::string> add_signatures(std::string_view bytes,
                                   const std::vector<crypto::PrivateKey>& keys) {
  SEGUE_ASSIGN(Envelope envelope, parse_envelope(bytes));
  SEGUE_TRY(add(envelope, keys));
  return file_of(envelope);
}

}  // namespace segue::tuf
