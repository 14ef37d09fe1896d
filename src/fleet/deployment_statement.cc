// SPDX-License-Identifier: Apache-2.0
#include "fleet/deployment_statement.h"

#include <fmt/format.h>

#include "base/base64.h"
#include "crypto/digest.h"
#include "fleet/component_document.h"
#include "tuf/metadata.h"

namespace segue::fleet {

std::string specification_digest(const ComponentSpec& spec) {
  return crypto::to_hex(crypto::digest_of(write_component(spec)));
}

std::string deployment_statement(std::string_view fleet, const ComponentSpec& spec) {
  return fmt::format(
      "segue-deployment-1\n"
      "this specification of this component may be deployed to this fleet\n"
      "fleet {}\ncomponent {}\nspecification {}\n",
      fleet, spec.name, specification_digest(spec));
}

base::Result<DeploymentSignature> sign_deployment(const crypto::PrivateKey& key,
                                                  std::string_view statement) {
  SEGUE_ASSIGN(const std::string bytes, key.sign(statement));
  return DeploymentSignature{tuf::Key::of(key.public_key()).id, base::to_base64(bytes)};
}

bool is_signed(const crypto::PublicKey& key, std::string_view statement,
               const DeploymentSignature& signature) {
  const auto bytes = base::from_base64(signature.signature);
  return bytes && key.verify(statement, *bytes);
}

}  // namespace segue::fleet
