// SPDX-License-Identifier: Apache-2.0
#include "pki/authority.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "pki/certificate.h"
#include "pki/request.h"

namespace segue::pki {
namespace {

using base::ErrorCode;
using std::chrono::hours;
using testing::HasSubstr;

const base::RealTime kNow{hours(24 * 365 * 56)};
const std::string kSerial = "0123456789abcdef";

crypto::PrivateKey new_key() {
  return crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
}

Authority new_authority() {
  return Authority::create(new_key(), "test fleet", kNow, hours(24 * 3650), kSerial).value();
}

class AuthorityTest : public testing::Test {
 protected:
  std::string issue(const Identity& identity, base::Duration lifetime = hours(24)) {
    return authority_.issue(key_.public_key(), {identity, lifetime, {}, kSerial}, kNow).value();
  }

  Authority authority_ = new_authority();
  crypto::PrivateKey key_ = new_key();
  Identity host_{Role::host, "db-1"};
};

TEST_F(AuthorityTest, what_it_issues_names_whom_it_was_issued_for) {
  const auto certificate =
      verify_certificate(issue(host_), authority_.certificate(), kNow, Expiry::refused).value();
  EXPECT_EQ(certificate.identity, host_);
  EXPECT_EQ(certificate.serial, crypto::to_hex(kSerial));
  EXPECT_EQ(certificate.key_fingerprint, fingerprint_of(key_.public_key()));
  EXPECT_EQ(certificate.not_before, kNow - kClockTolerance);
  EXPECT_EQ(certificate.not_after, kNow + hours(24));
}

TEST_F(AuthorityTest, an_expired_certificate_is_refused_but_for_renewing) {
  const std::string pem = issue(host_);
  const auto late = kNow + hours(24 * 400);
  const auto refused = verify_certificate(pem, authority_.certificate(), late, Expiry::refused);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::permission_denied);
  EXPECT_THAT(refused.error().message(), HasSubstr("expired"));
  EXPECT_TRUE(verify_certificate(pem, authority_.certificate(), late, Expiry::allowed));
}

TEST_F(AuthorityTest, a_certificate_of_another_authority_is_refused_even_for_renewing) {
  const auto other = new_authority();
  const auto refused = verify_certificate(issue(host_), other.certificate(), kNow, Expiry::allowed);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::permission_denied);
}

TEST_F(AuthorityTest, two_authorities_may_be_trusted_at_once) {
  const std::string both = new_authority().certificate() + authority_.certificate();
  EXPECT_TRUE(verify_certificate(issue(host_), both, kNow, Expiry::refused));
}

TEST_F(AuthorityTest, a_host_cannot_issue) {
  const auto host = Authority::from_pem(issue(host_), key_).value();
  const auto pem =
      host.issue(new_key().public_key(), {{Role::server, "x"}, hours(1), {}, kSerial}, kNow);
  ASSERT_TRUE(pem);
  EXPECT_FALSE(verify_certificate(*pem, authority_.certificate() + host.certificate(), kNow,
                                  Expiry::refused));
}

TEST_F(AuthorityTest, a_key_of_another_certificate_is_refused) {
  const auto other = Authority::from_pem(authority_.certificate(), new_key());
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), ErrorCode::permission_denied);
}

TEST_F(AuthorityTest, names_that_are_none_are_refused) {
  const auto pem = authority_.issue(key_.public_key(),
                                    {host_, hours(1), {"a,URI:segue://server/x"}, kSerial}, kNow);
  ASSERT_FALSE(pem);
  EXPECT_EQ(pem.error().code(), ErrorCode::invalid_argument);
}

TEST_F(AuthorityTest, a_request_carries_the_key_and_the_name) {
  const auto request = read_request(make_request(key_, host_).value()).value();
  EXPECT_EQ(request.identity, host_);
  EXPECT_EQ(request.key.fingerprint(), key_.public_key().fingerprint());
}

TEST_F(AuthorityTest, who_has_sent_a_request_is_shown_by_the_key_of_the_certificate) {
  const auto other = new_key();
  const std::string pem = issue(host_);
  EXPECT_TRUE(check_sender(pem, "request", prove_sender(key_, "request").value()));
  EXPECT_FALSE(check_sender(pem, "another", prove_sender(key_, "request").value()));
  EXPECT_FALSE(check_sender(pem, "request", prove_sender(other, "request").value()));
  EXPECT_FALSE(check_sender(pem, "request", ""));
  EXPECT_FALSE(check_sender("", "request", prove_sender(key_, "request").value()));
}

TEST_F(AuthorityTest, what_it_signs_is_known_to_whoever_trusts_it) {
  const std::string signature = authority_.sign("a document").value();
  const Authority other = new_authority();
  const std::string both = other.certificate() + authority_.certificate();
  EXPECT_TRUE(check_signed(both, "a document", signature));
  EXPECT_FALSE(check_signed(both, "another document", signature));
  EXPECT_FALSE(check_signed(other.certificate(), "a document", signature));
  EXPECT_FALSE(check_signed(both, "a document", ""));
  EXPECT_FALSE(check_signed("", "a document", signature));
}

TEST_F(AuthorityTest, a_damaged_request_is_an_error) {
  const std::string pem = make_request(key_, host_).value();
  for (std::size_t at = 0; at < pem.size(); at += 7) {
    std::string damaged = pem;
    damaged[at] = damaged[at] == 'A' ? 'B' : 'A';
    const auto request = read_request(damaged);
    if (!request) continue;  // else it was outside of what is signed
    EXPECT_EQ(request->key.fingerprint(), key_.public_key().fingerprint());
  }
  EXPECT_FALSE(read_request(""));
  EXPECT_FALSE(read_certificate(pem));
}

TEST(Identity, what_is_no_identity_is_nobody) {
  for (const char* uri : {"", "segue://", "segue://host", "segue://host/", "segue://king/a",
                          "segue://host/a/b", "http://host/a", "segue://host/.."}) {
    EXPECT_FALSE(identity_of(uri)) << uri;
  }
  EXPECT_EQ(identity_of("segue://relay/r-1"), (Identity{Role::relay, "r-1"}));
}

}  // namespace
}  // namespace segue::pki
