// SPDX-License-Identifier: Apache-2.0
// What somebody signs who lets a specification of a component be deployed. Five lines, each with
// its end:
//   segue-deployment-1
//   this specification of this component may be deployed to this fleet
//   fleet DIGITS
//   component NAME
//   specification DIGITS
// So a signature counts for no other fleet, component or specification, and is none of anything
// else that the key may sign. It does not say when or how often: whoever may deploy can deploy a
// specification again that was signed once, as an undo could bring it back. Strategy and title are
// not signed. What the specification names is as good as the name: a release of a library is
// verified by each host (docs/trust.md), an image's tag is what its registry says.
// Pure, but for the randomness that PrivateKey::sign() may draw.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/error.h"
#include "crypto/keys.h"
#include "fleet/component.h"

namespace segue::fleet {

inline constexpr std::size_t kMaxDeploymentSignatures = 8;
inline constexpr std::size_t kMaxSignatureBytes = crypto::kMaxRsaBits / 8;

// SHA-256 of write_component(), in hexadecimal digits.
std::string specification_digest(const ComponentSpec& spec);

// `fleet`: pki::fingerprint_of() the key of the fleet's authority, which stays when the authority's
// certificate is renewed.
std::string deployment_statement(std::string_view fleet, const ComponentSpec& spec);

struct DeploymentSignature {
  std::string key;        // its id, as `segue key make` says it: 64 hexadecimal digits
  std::string signature;  // base64

  bool operator==(const DeploymentSignature&) const = default;
};

base::Result<DeploymentSignature> sign_deployment(const crypto::PrivateKey& key,
                                                  std::string_view statement);
// Whether the key has signed the statement.
bool is_signed(const crypto::PublicKey& key, std::string_view statement,
               const DeploymentSignature& signature);

}  // namespace segue::fleet
