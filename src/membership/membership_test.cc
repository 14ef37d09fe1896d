// SPDX-License-Identifier: Apache-2.0
#include "membership/membership.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "os/clock.h"
#include "os/files.h"
#include "os/temp_directory.h"
#include "pki/authority.h"
#include "pki/request.h"

namespace segue::membership {
namespace {

using base::ErrorCode;
using testing::ElementsAre;

const std::string kSerial = "0123456789abcdef";

class MembershipTest : public testing::Test {
 protected:
  static pki::Authority make_authority() {
    return pki::Authority::create(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value(),
                                  "test", os::SystemClock().realtime_now(), std::chrono::hours(24),
                                  kSerial)
        .value();
  }

  rpc::Credentials credentials_for(const pki::Identity& identity) {
    return credentials_of(authority_, identity);
  }
  rpc::Credentials credentials_of(const pki::Authority& authority, const pki::Identity& identity) {
    const auto key = files_.next_key().value();
    return {authority
                .issue(key.public_key(), {identity, std::chrono::hours(1), {}, kSerial},
                       os::SystemClock().realtime_now())
                .value(),
            authority.certificate(), ""};
  }
  // Of a host that has been given the authority with its token.
  [[nodiscard]] Membership host() const {
    return {.host = "h-1",
            .site = "default",
            .servers = {"s:1"},
            .authorities_pem = authority_.certificate()};
  }

  os::TempDirectory directory_;
  MembershipFiles files_{directory_.path("membership")};
  pki::Authority authority_ = make_authority();
};

TEST_F(MembershipTest, is_read_as_it_was_kept) {
  const Membership relay{.role = pki::Role::relay,
                         .host = "r-1",
                         .site = "berlin",
                         .servers = {"segue.example:7443"},
                         .direct = false,
                         .authorities_pem = authority_.certificate()};
  ASSERT_TRUE(files_.keep(relay, credentials_for({pki::Role::relay, "r-1"})));
  auto read = files_.read().value();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->role, pki::Role::relay);
  EXPECT_EQ(read->servers, relay.servers);
  EXPECT_FALSE(read->direct);
  read->relays = {"a:1", "b:2"};
  ASSERT_TRUE(files_.keep_routes(*read));
  EXPECT_THAT(files_.read().value()->relays, ElementsAre("a:1", "b:2"));
}

TEST(ServersFrom, the_leader_says_and_its_address_that_does_stays) {
  EXPECT_THAT(servers_from({"a:1", "b:1"}, "b:1"), ElementsAre("a:1", "b:1"));
  EXPECT_THAT(servers_from({"a:1", "b:1"}, "forwarded:7"),
              ElementsAre("a:1", "b:1", "forwarded:7"));
  EXPECT_THAT(servers_from({"a:1"}, ""), ElementsAre("a:1"));
}

TEST_F(MembershipTest, its_site_is_what_the_server_says_if_it_does) {
  auto given = credentials_for({pki::Role::host, "h-1"});
  ASSERT_TRUE(files_.keep(host(), given));
  EXPECT_EQ(files_.read().value()->site, "default");
  given = credentials_for({pki::Role::host, "h-1"});
  given.site = "berlin";
  ASSERT_TRUE(files_.keep(host(), given));
  EXPECT_EQ(files_.read().value()->site, "berlin");
}

TEST_F(MembershipTest, a_certificate_of_another_role_is_not_kept) {
  const auto kept = files_.keep(host(), credentials_for({pki::Role::relay, "h-1"}));
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code(), ErrorCode::data_loss);
  EXPECT_FALSE(*files_.read());
}

TEST_F(MembershipTest, what_another_authority_gives_is_not_kept) {
  const pki::Identity identity{pki::Role::host, "h-1"};
  const pki::Authority stranger = make_authority();
  auto given = credentials_of(stranger, identity);
  EXPECT_EQ(files_.keep(host(), given).error().code(), ErrorCode::permission_denied);
  given.authorities_pem += authority_.certificate();
  EXPECT_EQ(files_.keep(host(), given).error().code(), ErrorCode::permission_denied);
  EXPECT_FALSE(*files_.read());
  given = credentials_for(identity);
  given.authorities_pem += stranger.certificate();
  ASSERT_TRUE(files_.keep(host(), given));
  EXPECT_EQ(files_.read().value()->authorities_pem, authority_.certificate());
}

TEST_F(MembershipTest, what_was_kept_before_there_were_relays_is_a_hosts) {
  ASSERT_TRUE(files_.keep(host(), credentials_for({pki::Role::host, "h-1"})));
  const std::string file = directory_.path("membership/membership.json");
  std::string text = os::read_file(file, 65'536).value();
  for (const std::string member : {R"("role":"host",)", R"("relays":[],)", R"("direct":true,)"}) {
    const auto place = text.find(member);
    ASSERT_NE(place, std::string::npos) << member << " in " << text;
    text.erase(place, member.size());
  }
  ASSERT_TRUE(os::write_file_atomically(file, text));
  const auto read = files_.read().value();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->role, pki::Role::host);
  EXPECT_EQ(routes_of(*read).front().address, "s:1");
}

TEST(Routes, relays_come_first_and_the_server_where_it_may_be) {
  Membership membership{.servers = {"s:1"}, .relays = {"a:1", "b:2"}};
  const auto addresses = [&] {
    std::vector<std::string> all;
    for (const auto& route : routes_of(membership)) {
      all.push_back(route.address + " " + std::string(to_string(route.role)));
    }
    return all;
  };
  EXPECT_THAT(addresses(), ElementsAre("a:1 relay", "b:2 relay", "s:1 server"));
  membership.direct = false;
  EXPECT_THAT(addresses(), ElementsAre("a:1 relay", "b:2 relay"));
  membership.relays.clear();
  EXPECT_THAT(addresses(), ElementsAre("s:1 server"));
}

}  // namespace
}  // namespace segue::membership
