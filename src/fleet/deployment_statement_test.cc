// SPDX-License-Identifier: Apache-2.0
#include "fleet/deployment_statement.h"

#include <gtest/gtest.h>

#include "base/base64.h"
#include "fleet/test_components.h"
#include "tuf/metadata.h"

namespace segue::fleet {
namespace {

const std::string kFleet(64, 'a');

crypto::PrivateKey key_of(char seed) {
  return crypto::PrivateKey::ed25519_from_seed(std::string(32, seed)).value();
}

TEST(DeploymentStatement, is_five_lines_that_name_fleet_component_and_specification) {
  const ComponentSpec spec = process_component();
  EXPECT_EQ(deployment_statement(kFleet, spec),
            "segue-deployment-1\n"
            "this specification of this component may be deployed to this fleet\n"
            "fleet " +
                kFleet + "\ncomponent " + spec.name + "\nspecification " +
                specification_digest(spec) + "\n");
  EXPECT_EQ(specification_digest(spec).size(), 64U);
}

TEST(DeploymentStatement, is_another_for_each_fleet_component_and_specification) {
  const ComponentSpec spec = process_component();
  const std::string statement = deployment_statement(kFleet, spec);
  ComponentSpec other = spec;
  other.name += "2";
  EXPECT_NE(deployment_statement(kFleet, other), statement);
  other = spec;
  other.release.version += "1";
  EXPECT_NE(deployment_statement(kFleet, other), statement);
  other = spec;
  other.environment.emplace_back("MORE=1");
  EXPECT_NE(deployment_statement(kFleet, other), statement);
  EXPECT_NE(deployment_statement(std::string(64, 'b'), spec), statement);
}

TEST(DeploymentStatement, is_signed_by_keys_of_every_kind) {
  const std::string statement = deployment_statement(kFleet, process_component());
  for (const auto type :
       {crypto::KeyType::ed25519, crypto::KeyType::ecdsa_p256, crypto::KeyType::rsa}) {
    const auto key = crypto::PrivateKey::generate(type).value();
    const auto signature = sign_deployment(key, statement);
    ASSERT_TRUE(signature) << signature.error().to_string();
    EXPECT_EQ(signature->key, tuf::Key::of(key.public_key()).id);
    EXPECT_TRUE(is_signed(key.public_key(), statement, *signature)) << to_string(type);
    EXPECT_LE(base::from_base64(signature->signature)->size(), kMaxSignatureBytes);
    EXPECT_FALSE(is_signed(key.public_key(), statement + "x", *signature)) << to_string(type);
  }
}

TEST(DeploymentStatement, is_not_signed_by_another_key_or_by_what_is_no_signature) {
  const std::string statement = deployment_statement(kFleet, process_component());
  const auto signature = sign_deployment(key_of('a'), statement).value();
  EXPECT_FALSE(is_signed(key_of('b').public_key(), statement, signature));
  for (const char* wrong : {"", "AAAA", "no base64!"}) {
    EXPECT_FALSE(is_signed(key_of('a').public_key(), statement, {signature.key, wrong})) << wrong;
  }
}

}  // namespace
}  // namespace segue::fleet
