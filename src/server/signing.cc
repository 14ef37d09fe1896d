// SPDX-License-Identifier: Apache-2.0
#include "server/signing.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "fleet/layout.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxNamed = 5;  // of those who may sign
constexpr std::size_t kMaxRecordBytes = std::size_t{64} << 10;

struct RevisionSignatures {
  std::vector<RevisionSignature> signatures;
};

std::string names_of(std::vector<std::string> names, const char* between) {
  const std::size_t more = names.size() - std::min(names.size(), kMaxNamed);
  names.resize(names.size() - more);
  std::string text = fmt::format("{}", fmt::join(names, between));
  if (more > 0) text += fmt::format(" and {} more", more);
  return text;
}

struct Owner {
  const Person* person = nullptr;
  const SigningKey* key = nullptr;
};
// Nobody, if none of those who may sign the component has the key.
Owner owner_of(const std::map<std::string, Person>& people, const std::string& component,
               const std::string& key) {
  for (const auto& [name, person] : people) {
    if (!person.may(Right::sign, component)) continue;
    const auto found = std::ranges::find(person.keys, key, &SigningKey::id);
    if (found != person.keys.end()) return {&person, &*found};
  }
  return {};
}

Result<RevisionSignature> count(const Owner& owner, const Signing& signing,
                                std::string_view statement, const std::string& component,
                                const fleet::DeploymentSignature& given) {
  if (owner.person == nullptr) {
    const std::string others =
        signing.signers.empty() ? "nobody may, and it needs no signature"
                                : fmt::format("those who may: {}", names_of(signing.signers, ", "));
    return fail(ErrorCode::permission_denied,
                "signed by a key that nobody has who may sign '{}': {}; {}", component, given.key,
                others);
  }
  SEGUE_ASSIGN(const auto key, crypto::PublicKey::from_pem(owner.key->pem));
  if (fleet::is_signed(key, statement, given)) {
    return RevisionSignature{owner.person->name, given.key, given.signature};
  }
  return fail(ErrorCode::permission_denied,
              "the signature by {} (key {}) is of something else than this specification of '{}' "
              "in this fleet: was that changed since? Have it signed as it is now",
              owner.person->name, given.key, component);
}

}  // namespace
}  // namespace segue::server

namespace segue::fleet {

template <>
struct Layout<server::RevisionSignature> {
  static void visit(auto& archive, auto& signature) {
    archive("by", signature.by);
    archive("key", signature.key);
    archive("signature", signature.signature);
  }
};

template <>
struct Layout<server::RevisionSignatures> {
  static void visit(auto& archive, auto& record) {
    archive("signatures", record.signatures, kMaxDeploymentSignatures);
  }
};

}  // namespace segue::fleet

namespace segue::server {

std::string signatures_key(const std::string& component, fleet::Revision revision) {
  return fmt::format("{}{}/{:020}", kSignatures, component, revision);
}
std::string write_record(const std::vector<RevisionSignature>& signatures) {
  return fleet::write_document("segue_signatures", 1, RevisionSignatures{signatures});
}
Result<std::vector<RevisionSignature>> read_signatures(std::string_view bytes) {
  SEGUE_ASSIGN(auto record, fleet::read_document<RevisionSignatures>(
                                "segue_signatures", 1, bytes, kMaxRecordBytes, "signatures"));
  return std::move(record.signatures);
}

Result<Signing> check_signatures(const std::map<std::string, Person>& people,
                                 std::string_view fleet, const fleet::ComponentSpec& spec,
                                 const std::vector<fleet::DeploymentSignature>& given) {
  Signing signing;
  for (const auto& [name, person] : people) {
    if (person.may(Right::sign, spec.name)) signing.signers.push_back(name);
  }
  const std::string statement = fleet::deployment_statement(fleet, spec);
  for (const auto& one : given) {
    const Owner owner = owner_of(people, spec.name, one.key);
    SEGUE_ASSIGN(auto counted, count(owner, signing, statement, spec.name, one));
    signing.signatures.push_back(std::move(counted));
  }
  return signing;
}

base::Error missing_signature(const std::string& component, const Signing& signing) {
  return {ErrorCode::permission_denied,
          fmt::format("a new revision of '{}' has to be signed by somebody who may sign it ({}): "
                      "`segue deploy FILE --sign-with KEY`; or where the key is `segue deploy FILE "
                      "--sign-with KEY --write-signatures OUT`, and here --signatures OUT "
                      "(over HTTP: 'signatures')",
                      component, names_of(signing.signers, ", "))};
}

std::string signing_text(const Signing& signing) {
  if (signing.signers.empty()) return "";
  if (signing.signatures.empty()) {
    return "a signature is missing, by " + names_of(signing.signers, " or ");
  }
  std::vector<std::string> names;
  for (const auto& signature : signing.signatures) {
    if (std::ranges::find(names, signature.by) == names.end()) names.push_back(signature.by);
  }
  return "signed by " + names_of(std::move(names), ", ");
}

std::vector<rollout::SignerProgress> signers_in(const std::vector<RevisionSignature>& signatures) {
  std::vector<rollout::SignerProgress> signers;
  signers.reserve(signatures.size());
  for (const auto& signature : signatures) signers.push_back({signature.by, signature.key});
  return signers;
}

}  // namespace segue::server
