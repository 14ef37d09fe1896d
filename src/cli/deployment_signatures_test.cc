// SPDX-License-Identifier: Apache-2.0
#include "cli/deployment_signatures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::cli {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::IsEmpty;

const std::string kFleet(64, 'a');

fleet::ComponentSpec spec_of(const std::string& version) {
  fleet::ComponentSpec spec;
  spec.name = "chat";
  spec.release.version = version;
  return spec;
}

SignatureFile file_of(const std::string& version) {
  const std::vector keys = {crypto::PrivateKey::ed25519_from_seed(std::string(32, 'a')).value(),
                            crypto::PrivateKey::ed25519_from_seed(std::string(32, 'b')).value()};
  return {kFleet,
          {{"chat",
            {fleet::specification_digest(spec_of(version)),
             sign_with(keys, kFleet, spec_of(version)).value()}}}};
}

TEST(DeploymentSignatures, are_read_as_they_were_written) {
  const SignatureFile file = file_of("1");
  EXPECT_EQ(read_signature_file(write_signature_file(file)), file);
  EXPECT_EQ(signatures_for(file, kFleet, spec_of("1"))->size(), 2U);
}

TEST(DeploymentSignatures, of_another_component_are_none) {
  fleet::ComponentSpec other = spec_of("1");
  other.name = "web";
  EXPECT_THAT(signatures_for(file_of("1"), kFleet, other).value(), IsEmpty());
}

TEST(DeploymentSignatures, of_another_specification_or_fleet_are_refused) {
  const SignatureFile file = file_of("1");
  const auto changed = signatures_for(file, kFleet, spec_of("2"));
  EXPECT_EQ(changed.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(changed.error().message(), HasSubstr("'chat'"));
  const auto other = signatures_for(file, std::string(64, 'b'), spec_of("1"));
  EXPECT_EQ(other.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(other.error().message(), HasSubstr("another fleet"));
}

TEST(DeploymentSignatures, that_are_none_are_refused) {
  for (
      const char* wrong :
      {"", "{", "[]", "{}", R"({"segue_deployment_signatures": 1})",
       R"({"segue_deployment_signatures": 1, "fleet": "a", "components": {"chat": {"signatures": []}}})",
       R"({"segue_deployment_signatures": 1, "fleet": "a", "components": {}, "more": 1})"}) {
    EXPECT_FALSE(read_signature_file(wrong)) << wrong;
  }
  EXPECT_EQ(
      read_signature_file(R"({"segue_deployment_signatures": 2, "fleet": "a", "components": {}})")
          .error()
          .code(),
      ErrorCode::failed_precondition);
}

}  // namespace
}  // namespace segue::cli
