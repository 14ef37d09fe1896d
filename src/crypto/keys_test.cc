// SPDX-License-Identifier: Apache-2.0
#include "crypto/keys.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"

namespace segue::crypto {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class EveryType : public testing::TestWithParam<KeyType> {
 protected:
  PrivateKey key_ = PrivateKey::generate(GetParam()).value();
};

TEST_P(EveryType, verifies_what_it_signed_and_nothing_else) {
  const std::string signature = key_.sign("a message").value();
  const PublicKey& key = key_.public_key();
  EXPECT_TRUE(key.verify("a message", signature));
  EXPECT_FALSE(key.verify("another message", signature));
  EXPECT_FALSE(key.verify("a message", ""));
  EXPECT_FALSE(key.verify("a message", signature + '\0'));
  std::string damaged = signature;
  damaged[damaged.size() / 2] ^= 1;
  EXPECT_FALSE(key.verify("a message", damaged));
  const auto other = PrivateKey::generate(GetParam()).value();
  EXPECT_FALSE(other.public_key().verify("a message", signature));
}

TEST_P(EveryType, survives_the_way_through_pem) {
  const std::string pem = key_.to_pem("").value();
  EXPECT_THAT(pem, StartsWith("-----BEGIN PRIVATE KEY-----\n"));
  const auto again = PrivateKey::from_pem(pem, "").value();
  EXPECT_EQ(again.public_key().fingerprint(), key_.public_key().fingerprint());
  const auto open = PublicKey::from_pem(key_.public_key().pem()).value();
  EXPECT_EQ(open.type(), GetParam());
  EXPECT_TRUE(open.verify("m", again.sign("m").value()));
}

TEST(PrivateKey, is_encrypted_under_a_passphrase) {
  const auto key = PrivateKey::generate(KeyType::ed25519).value();
  const std::string pem = key.to_pem("correct horse").value();
  EXPECT_THAT(pem, StartsWith("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
  EXPECT_EQ(PrivateKey::from_pem(pem, "correct horse").value().public_key().fingerprint(),
            key.public_key().fingerprint());
  for (const char* wrong : {"", "battery staple"}) {
    const auto refused = PrivateKey::from_pem(pem, wrong);
    ASSERT_FALSE(refused) << wrong;
    EXPECT_EQ(refused.error().code(), base::ErrorCode::permission_denied);
  }
}

INSTANTIATE_TEST_SUITE_P(Keys, EveryType,
                         testing::Values(KeyType::ed25519, KeyType::ecdsa_p256, KeyType::rsa),
                         [](const auto& test) { return std::string(to_string(test.param)); });

// RFC 8032, section 7.1, test 3.
TEST(Ed25519, is_that_of_the_standard) {
  const auto seed = *from_hex("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
  const auto key = PrivateKey::ed25519_from_seed(seed).value();
  EXPECT_EQ(to_hex(key.public_key().ed25519_bytes()),
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
  EXPECT_EQ(to_hex(key.sign(*from_hex("af82")).value()),
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
            "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a");
}

TEST(PublicKey, of_another_kind_is_refused) {
  constexpr const char* kP384 = R"(-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEP+NLAWdTEDt910Bs0sRVJjmZD2kOiNan
vdmxEe1ZKwhBNrUeXoW2GySmz3ldL5CZlMA0ZzWCLCCeVUcBKyxzmPKECmK0zY0N
SjtKvAwMkBmsqjgPJ1rc8NR1cMI/1tYM
-----END PUBLIC KEY-----
)";
  EXPECT_THAT(PublicKey::from_pem(kP384).error().message(), HasSubstr("P-256"));
  EXPECT_FALSE(PublicKey::from_pem(""));
  EXPECT_FALSE(PublicKey::from_pem(std::string(kMaxPemBytes + 1, '-')));
  EXPECT_FALSE(PublicKey::from_ed25519("short"));
  const auto error = PublicKey::from_pem("x").error();
  EXPECT_THAT(error.message(), HasSubstr("PEM"));
}

TEST(PublicKey, of_rsa_has_at_least_2048_bits) {
  constexpr const char* kRsa1024 = R"(-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDQUGYlq6Nt60TpTwoivL8yYNHs
cLZ/qCdfI5OU3N41SfBs+1LGHVg1qbWHoEB3dHQgSWRjf8xGrGZO783Oun+T4TKC
8vc85DE07jeD67ClIhChaomTz/OV+z42KEhLo8ihROsFqKAEGbanUYsqkEyZkko0
Gx5nwLK2p7s767B0AQIDAQAB
-----END PUBLIC KEY-----
)";
  const auto refused = PublicKey::from_pem(kRsa1024);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message(), HasSubstr("1024 bits"));
}

}  // namespace
}  // namespace segue::crypto
