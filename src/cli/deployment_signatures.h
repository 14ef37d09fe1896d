// SPDX-License-Identifier: Apache-2.0
// Signatures of what is to be deployed, in a file for whoever deploys it:
//   {"segue_deployment_signatures": 1, "fleet": DIGITS,
//    "components": {COMPONENT: {"specification": DIGITS,
//                               "signatures": [{"key": ID, "signature": BASE64}]}}}
// The list of a component is what the server takes as 'signatures'.
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "crypto/keys.h"
#include "fleet/component.h"
#include "fleet/deployment_statement.h"

namespace segue::cli {

struct SignedComponent {
  std::string specification;  // fleet::specification_digest() of what was signed
  std::vector<fleet::DeploymentSignature> signatures;

  bool operator==(const SignedComponent&) const = default;
};

struct SignatureFile {
  static constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
  static constexpr std::size_t kMaxComponents = 200;

  std::string fleet;  // as fleet::deployment_statement() wants it
  std::map<std::string, SignedComponent> components;

  bool operator==(const SignatureFile&) const = default;
};
std::string write_signature_file(const SignatureFile& file);
// data_loss, failed_precondition: it is none, or of a newer format.
base::Result<SignatureFile> read_signature_file(std::string_view bytes);

// Those of the component; none, if it does not stand there. failed_precondition: they are of
// another fleet, or of another specification.
base::Result<std::vector<fleet::DeploymentSignature>> signatures_for(
    const SignatureFile& file, std::string_view fleet, const fleet::ComponentSpec& spec);

base::Result<std::vector<fleet::DeploymentSignature>> sign_with(
    const std::vector<crypto::PrivateKey>& keys, std::string_view fleet,
    const fleet::ComponentSpec& spec);

}  // namespace segue::cli
