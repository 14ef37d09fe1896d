// SPDX-License-Identifier: Apache-2.0
#include "server/enrolment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "fleet/join_token.h"
#include "server/test_server.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using std::chrono::hours;
using testing::HasSubstr;
using testing::Not;

class EnrolmentTest : public testing::Test {
 protected:
  using Given = base::Result<rpc::Credentials>;

  std::string token(const std::string& body = "{}") {
    const auto answer = server_.ask("POST", "/v1/tokens", body);
    EXPECT_EQ(answer.status, 201U) << answer.body;
    return answer.json.value("token", "");
  }
  Given join(const std::string& token, const std::string& host, const crypto::PrivateKey& key,
             pki::Role role = pki::Role::host, std::vector<std::string> labels = {},
             const std::string& site = "berlin") {
    std::optional<Given> given;
    server_.control->join({.token = token,
                           .request_pem = pki::make_request(key, {role, host}).value(),
                           .site = site,
                           .labels = std::move(labels),
                           .program_version = "1"},
                          [&](Given made) { given = std::move(made); });
    EXPECT_TRUE(server_.run_until([&] { return given.has_value(); }));
    return *given;
  }
  std::string refusal(const Given& given) { return given ? "let in" : given.error().message(); }
  Given renew(const pki::Certificate& who, const crypto::PrivateKey& key, const std::string& as) {
    std::optional<Given> given;
    server_.control->renew(who,
                           {.request_pem = pki::make_request(key, {pki::Role::host, as}).value()},
                           [&](Given made) { given = std::move(made); });
    EXPECT_TRUE(server_.run_until([&] { return given.has_value(); }));
    return *given;
  }
  base::Result<void> shown(const pki::Certificate& who) {
    return server_.control->attached(++session_, who);
  }
  static crypto::PrivateKey new_key() {
    return crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
  }
  static pki::Certificate read(const Given& given) {
    return pki::read_certificate(given->certificate_pem).value();
  }

  TestServer server_;
  rpc::SessionId session_ = 100;
};

TEST_F(EnrolmentTest, a_token_lets_in_as_many_hosts_as_it_says) {
  const std::string two = token(R"({"uses": 2})");
  EXPECT_TRUE(join(two, "a", new_key()));
  EXPECT_TRUE(join(two, "b", new_key()));
  EXPECT_THAT(refusal(join(two, "c", new_key())), HasSubstr("used up"));
}

TEST_F(EnrolmentTest, a_token_of_a_site_lets_in_no_host_of_another) {
  const std::string of_oslo = token(R"({"uses": 2, "site": "oslo"})");
  const auto join_as = [&](const std::string& host, const std::string& site) {
    return join(of_oslo, host, new_key(), pki::Role::host, {}, site);
  };
  EXPECT_THAT(refusal(join_as("a", "berlin")), HasSubstr("the token is for site oslo"));
  EXPECT_EQ(join_as("a", "oslo")->site, "oslo");
  const auto silent = join_as("b", std::string(fleet::kDefaultSite));
  ASSERT_TRUE(silent) << "one that does not say its site";
  EXPECT_EQ(silent->site, "oslo") << "it is told";
  EXPECT_EQ(server_.control->books().hosts.at("b").site, "oslo");
}

TEST_F(EnrolmentTest, the_secret_of_a_token_is_stored_nowhere) {
  const auto parsed = fleet::parse_join_token(token());
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->servers, std::vector<std::string>{"segue.example:7443"});
  for (const auto& entry : server_.database->list({}).entries) {
    EXPECT_THAT(entry.value, Not(HasSubstr(parsed->secret))) << entry.key;
  }
}

TEST_F(EnrolmentTest, a_token_expires_and_can_be_revoked) {
  const std::string old = token(R"({"lifetime_s": 60})");
  const std::string revoked = token();
  const auto id = fleet::parse_join_token(revoked)->id;
  EXPECT_EQ(server_.ask("DELETE", "/v1/tokens/" + id).status, 200U);
  EXPECT_EQ(server_.ask("DELETE", "/v1/tokens/" + id).status, 404U);
  EXPECT_THAT(refusal(join(revoked, "a", new_key())), HasSubstr("not known"));
  server_.run_for(std::chrono::seconds(61));
  EXPECT_THAT(refusal(join(old, "a", new_key())), HasSubstr("expired"));
  EXPECT_THAT(refusal(join("segue-join-1.x", "a", new_key())), Not(HasSubstr("let in")));
}

TEST_F(EnrolmentTest, an_answer_that_was_lost_is_given_again_to_the_same_key_alone) {
  const std::string one = token();
  const auto key = new_key();
  ASSERT_TRUE(join(one, "a", key));
  EXPECT_TRUE(join(one, "a", key)) << "used up by itself";
  EXPECT_THAT(refusal(join(token(), "a", new_key())), HasSubstr("there is a host 'a' already"));
}

TEST_F(EnrolmentTest, only_hosts_and_relays_join_under_sound_names_and_labels) {
  EXPECT_THAT(refusal(join(token(), "main", new_key(), pki::Role::server)),
              HasSubstr("the token is for a host"));
  for (const char* label : {"tier", "=x"}) {
    EXPECT_THAT(refusal(join(token(), "a", new_key(), pki::Role::host, {label})),
                HasSubstr("NAME=VALUE"));
  }
  for (const char* body : {R"({"uses": 0})", R"({"uses": 100001})", R"({"lifetime_s": 0})",
                           R"({"lifetime_s": 2592001})", R"({"site": "a/b"})"}) {
    EXPECT_EQ(server_.ask("POST", "/v1/tokens", body).status, 400U) << body;
  }
}

TEST_F(EnrolmentTest, an_old_certificate_counts_until_the_new_one_was_shown) {
  const auto first = read(join(token(), "a", new_key()));
  ASSERT_TRUE(shown(first));
  const auto second = read(renew(first, new_key(), "a"));
  EXPECT_TRUE(shown(first)) << "the answer may have been lost";
  server_.restart();
  EXPECT_TRUE(shown(second));
  const auto refused = shown(first);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), ErrorCode::permission_denied);
  EXPECT_THAT(refused.error().message(), HasSubstr("was replaced"));
  EXPECT_TRUE(shown(second));
}

TEST_F(EnrolmentTest, a_host_renews_for_itself_and_no_other) {
  const auto who = read(join(token(), "a", new_key()));
  EXPECT_THAT(refusal(renew(who, new_key(), "b")), HasSubstr("asks to become"));
}

TEST_F(EnrolmentTest, a_removed_host_is_not_let_in_and_may_join_again) {
  const auto who = read(join(token(), "a", new_key()));
  EXPECT_EQ(server_.ask("DELETE", "/v1/hosts/a").status, 200U);
  for (int i = 0; i < 3; ++i) EXPECT_FALSE(shown(who));
  const auto events = server_.control->events().after(0, EventLog::kMaxKept, "a");
  EXPECT_EQ(std::ranges::count_if(events,
                                  [](const auto& event) {
                                    return event.text.find("was removed") != std::string::npos;
                                  }),
            1)
      << "told once, however often it tries";
  EXPECT_THAT(refusal(renew(who, new_key(), "a")), HasSubstr("was removed"));
  const auto again = read(join(token(), "a", new_key()));
  EXPECT_TRUE(shown(again));
  EXPECT_FALSE(shown(who));
}

TEST_F(EnrolmentTest, there_is_a_bound_on_tokens_and_expired_ones_make_room) {
  for (std::size_t i = 0; i < Enrolment::kMaxTokens; ++i) (void)token(R"({"lifetime_s": 60})");
  EXPECT_EQ(server_.ask("POST", "/v1/tokens").status, 429U);
  server_.run_for(hours(1));
  EXPECT_EQ(server_.ask("POST", "/v1/tokens").status, 201U);
}

}  // namespace
}  // namespace segue::server
