// SPDX-License-Identifier: Apache-2.0
// As soon as somebody has the right `sign` for a component, each new revision of it needs a
// signature (fleet/deployment_statement.h) by one who has it. Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/component.h"
#include "fleet/deployment_statement.h"
#include "fleet/instance.h"
#include "rollout/progress.h"
#include "server/people.h"

namespace segue::server {

// One that counted when the revision was deployed.
struct RevisionSignature {
  std::string by;
  std::string key;        // its id
  std::string signature;  // base64

  bool operator==(const RevisionSignature&) const = default;
};
inline constexpr std::string_view kSignatures = "signatures/";  // COMPONENT/REVISION
std::string signatures_key(const std::string& component, fleet::Revision revision);
std::string write_record(const std::vector<RevisionSignature>& signatures);
base::Result<std::vector<RevisionSignature>> read_signatures(std::string_view bytes);

struct Signing {
  std::vector<std::string> signers;  // who may sign the component; nobody: it needs no signature
  std::vector<RevisionSignature> signatures;  // that count

  [[nodiscard]] bool is_missing() const { return !signers.empty() && signatures.empty(); }
};
// permission_denied: one of the signatures that are given does not count; says why. `fleet`: as
// deployment_statement() wants it.
base::Result<Signing> check_signatures(const std::map<std::string, Person>& people,
                                       std::string_view fleet, const fleet::ComponentSpec& spec,
                                       const std::vector<fleet::DeploymentSignature>& given);

// permission_denied, with what to do about it.
base::Error missing_signature(const std::string& component, const Signing& signing);
// "signed by ada, bob"; "a signature is missing, by ada or bob"; empty: it needs none.
std::string signing_text(const Signing& signing);

std::vector<rollout::SignerProgress> signers_in(const std::vector<RevisionSignature>& signatures);

}  // namespace segue::server
