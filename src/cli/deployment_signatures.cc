// SPDX-License-Identifier: Apache-2.0
#include "cli/deployment_signatures.h"

#include "fleet/layout.h"

namespace segue::fleet {

template <>
struct Layout<DeploymentSignature> {
  static void visit(auto& archive, auto& signature) {
    archive("key", signature.key);
    archive("signature", signature.signature);
  }
};

template <>
struct Layout<cli::SignedComponent> {
  static void visit(auto& archive, auto& component) {
    archive("specification", component.specification);
    archive("signatures", component.signatures, kMaxDeploymentSignatures);
  }
};

template <>
struct Layout<cli::SignatureFile> {
  static void visit(auto& archive, auto& file) {
    archive("fleet", file.fleet);
    archive("components", file.components, cli::SignatureFile::kMaxComponents);
  }
};

}  // namespace segue::fleet

namespace segue::cli {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr const char* kFormatName = "segue_deployment_signatures";

}  // namespace

std::string write_signature_file(const SignatureFile& file) {
  return fleet::write_document(kFormatName, 1, file);
}

Result<SignatureFile> read_signature_file(std::string_view bytes) {
  return fleet::read_document<SignatureFile>(kFormatName, 1, bytes, SignatureFile::kMaxBytes,
                                             "a file of signatures");
}

Result<std::vector<fleet::DeploymentSignature>> signatures_for(const SignatureFile& file,
                                                               std::string_view fleet,
                                                               const fleet::ComponentSpec& spec) {
  if (file.fleet != fleet) {
    return fail(ErrorCode::failed_precondition,
                "the signatures are for another fleet: sign with a --profile of this one");
  }
  const auto found = file.components.find(spec.name);
  if (found == file.components.end()) return std::vector<fleet::DeploymentSignature>();
  if (found->second.specification == fleet::specification_digest(spec)) {
    return found->second.signatures;
  }
  return fail(
      ErrorCode::failed_precondition,
      "another specification of '{}' was signed than what is to be deployed: was it changed "
      "since? Sign it as it is now, with the same version of segue",
      spec.name);
}

Result<std::vector<fleet::DeploymentSignature>> sign_with(
    const std::vector<crypto::PrivateKey>& keys, std::string_view fleet,
    const fleet::ComponentSpec& spec) {
  const std::string statement = fleet::deployment_statement(fleet, spec);
  std::vector<fleet::DeploymentSignature> signatures;
  for (const auto& key : keys) {
    SEGUE_ASSIGN(auto signature, fleet::sign_deployment(key, statement));
    signatures.push_back(std::move(signature));
  }
  return signatures;
}

}  // namespace segue::cli
