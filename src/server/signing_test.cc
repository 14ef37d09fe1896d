// SPDX-License-Identifier: Apache-2.0
#include "server/signing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::Not;
using Json = nlohmann::json;

TEST(RevisionSignatures, are_read_as_they_were_written) {
  const std::vector<RevisionSignature> signatures = {{"ada", std::string(64, 'a'), "AAAA"},
                                                     {"bob", std::string(64, 'b'), "BBBB"}};
  EXPECT_EQ(read_signatures(write_record(signatures)), signatures);
  EXPECT_EQ(read_signatures("{").error().code(), ErrorCode::data_loss);
  EXPECT_EQ(read_signatures(R"({"segue_signatures":2,"signatures":[]})").error().code(),
            ErrorCode::failed_precondition);
}

// ada may sign 'hub' (key a), bob another component (key b), dan may deploy; version 1 runs.
class SigningTest : public testing::Test {
 protected:
  SigningTest() {
    server_.join("berlin-1");
    EXPECT_EQ(server_.end_of(server_.deploy("1")), "done");
    server_.set_signer("ada", 'a', {"hub"});
    server_.set_signer("bob", 'b', {"web"});
    dan_ = server_.set_person("dan", {Right::deploy});
  }

  TestServer::Answer deploy(const Json& body) {
    return server_.ask("POST", "/v1/deployments", body.dump(), dan_);
  }
  TestServer::Answer deploy_version(const Json& body) {
    return server_.ask("POST", "/v1/components/hub/deployments", body.dump(), dan_);
  }
  // That it is, by this text, and that nothing has become of it.
  void expect_refused(const TestServer::Answer& answer, const std::string& text) {
    EXPECT_EQ(answer.status, 403U) << answer.body;
    EXPECT_THAT(answer.json.value("error", ""), HasSubstr(text));
    EXPECT_EQ(server_.ask("GET", "/v1/rollouts").json.at("rollouts").size(), 1U);
    EXPECT_EQ(server_.ask("GET", "/v1/components").json.at("components").at(0).at("newest"), 1);
  }
  Json signers_of(const std::string& rollout) {
    return server_.ask("GET", "/v1/rollouts/" + rollout).json.at("signed_by");
  }

  TestServer server_;
  std::string dan_;
};

TEST_F(SigningTest, a_new_revision_takes_a_signature_once_somebody_may_sign) {
  const auto missing = deploy(TestServer::deployment("2"));
  expect_refused(missing, "by somebody who may sign it (ada)");
  EXPECT_THAT(missing.body, HasSubstr("--sign-with"));
  const auto answer = deploy(server_.signed_with('a', TestServer::deployment("2")));
  ASSERT_EQ(answer.status, 201U) << answer.body;
  EXPECT_THAT(answer.json.at("text").get<std::string>(), HasSubstr("signed by ada"));
  EXPECT_EQ(server_.end_of(answer.json.at("rollout")), "done");
}

TEST_F(SigningTest, nobody_signs_where_nobody_may) {
  ASSERT_EQ(server_.ask("DELETE", "/v1/people/ada").status, 200U);
  const auto useless = deploy(server_.signed_with('a', TestServer::deployment("2")));
  expect_refused(useless, "nobody may, and it needs no signature");
  EXPECT_EQ(deploy(TestServer::deployment("2")).status, 201U);
}

TEST_F(SigningTest, who_may_sign_all_components_signs_each) {
  server_.set_signer("eve", 'e');
  expect_refused(deploy(TestServer::deployment("2")), "(ada, eve)");
  EXPECT_EQ(deploy(server_.signed_with('e', TestServer::deployment("2"))).status, 201U);
}

TEST_F(SigningTest, a_signature_counts_for_its_component_specification_and_fleet_alone) {
  const Json signed_two = server_.signed_with('a', TestServer::deployment("2"));
  Json changed = TestServer::deployment("2");
  changed["component"]["environment"] = {"MORE=1"};
  changed["signatures"] = signed_two.at("signatures");
  expect_refused(deploy(changed), "the signature by ada");
  const TestServer other;
  expect_refused(deploy(other.signed_with('a', TestServer::deployment("2"))),
                 "the signature by ada");
  expect_refused(deploy(server_.signed_with('b', TestServer::deployment("2"))),
                 TestServer::public_key_of('b').id + "; those who may: ada");
  Json both = signed_two;
  both["signatures"].push_back(
      server_.signed_with('x', TestServer::deployment("2")).at("signatures").at(0));
  expect_refused(deploy(both), "a key that nobody has who may sign 'hub'");
}

TEST_F(SigningTest, a_key_counts_while_its_person_may_sign) {
  const Json body = server_.signed_with('a', TestServer::deployment("2"));
  server_.set_signer("ada", 'c', {"hub"});
  expect_refused(deploy(body), "a key that nobody has who may sign 'hub'");
  EXPECT_EQ(deploy(server_.signed_with('c', TestServer::deployment("2"))).status, 201U);
}

TEST_F(SigningTest, another_version_by_a_program_takes_a_signature_of_what_it_becomes) {
  expect_refused(deploy_version({{"version", "2"}}), "(ada)");
  const Json body = server_.signed_with('a', TestServer::deployment("2"));
  expect_refused(deploy_version({{"version", "3"}, {"signatures", body.at("signatures")}}),
                 "the signature by ada");
  EXPECT_EQ(deploy_version({{"version", "2"}, {"signatures", body.at("signatures")}}).status, 201U);
}

TEST_F(SigningTest, what_was_let_in_already_takes_none) {
  EXPECT_EQ(deploy(TestServer::deployment("1")).status, 200U) << "it runs";
  const auto answer = deploy(server_.signed_with('a', TestServer::deployment("2")));
  EXPECT_EQ(deploy(TestServer::deployment("2")).status, 201U) << "it is under way";
  const std::string rollout = answer.json.at("rollout");
  ASSERT_EQ(server_.end_of(rollout), "done");
  ASSERT_EQ(server_.ask("POST", "/v1/rollouts/" + rollout + "/undo", "", dan_).status, 200U);
  EXPECT_EQ(server_.end_of(rollout), "undone") << "version 1 was let in before ada might sign";
  EXPECT_EQ(deploy(TestServer::deployment("2")).status, 403U) << "a new revision";
}

TEST_F(SigningTest,
       hosts_that_lack_a_revision_get_it_without_another_signature_and_it_stays_signed) {
  const auto first = deploy(server_.signed_with('a', TestServer::deployment("2")));
  ASSERT_EQ(server_.end_of(first.json.at("rollout")), "done");
  server_.join("oslo-1");
  const auto second = deploy(TestServer::deployment("2"));
  ASSERT_EQ(second.status, 201U) << second.body;
  EXPECT_THAT(second.body, HasSubstr("that lack it"));
  ASSERT_EQ(server_.end_of(second.json.at("rollout")), "done");
  const Json signers{{{"person", "ada"}, {"key", TestServer::public_key_of('a').id}}};
  EXPECT_EQ(signers_of(second.json.at("rollout")), signers);
  server_.restart();
  EXPECT_EQ(signers_of(second.json.at("rollout")), signers);
}

TEST_F(SigningTest, a_dry_run_says_what_is_missing_and_refuses_what_is_wrong) {
  const auto dry = [](Json body) {
    body["dry_run"] = true;
    return body;
  };
  const auto missing = deploy(dry(TestServer::deployment("2")));
  EXPECT_EQ(missing.status, 200U);
  EXPECT_THAT(missing.body, HasSubstr("a signature is missing, by ada"));
  EXPECT_TRUE(missing.json.contains("plan"));
  const auto there = deploy(dry(server_.signed_with('a', TestServer::deployment("2"))));
  EXPECT_EQ(there.status, 200U);
  EXPECT_THAT(there.body, HasSubstr("signed by ada"));
  EXPECT_EQ(there.json.at("plan").at("signed_by").at(0).at("person"), "ada");
  expect_refused(deploy(dry(server_.signed_with('b', TestServer::deployment("2")))),
                 "those who may");
}

TEST_F(SigningTest, who_has_signed_is_shown_and_written_down_and_survives_a_restart) {
  EXPECT_EQ(signers_of("hub-1"), Json::array()) << "it was deployed before";
  const auto answer = deploy(server_.signed_with('a', TestServer::deployment("2")));
  const std::string rollout = answer.json.at("rollout");
  const auto said = [&](const char* path) { return server_.ask("GET", path).body; };
  EXPECT_THAT(said("/v1/audit?after=0"), HasSubstr("signed by ada"));
  EXPECT_THAT(said(("/v1/events?object=" + rollout).c_str()), HasSubstr("signed by ada"));
  server_.restart();
  const Json signers{{{"person", "ada"}, {"key", TestServer::public_key_of('a').id}}};
  EXPECT_EQ(signers_of(rollout), signers);
  ASSERT_EQ(server_.ask("DELETE", "/v1/people/ada").status, 200U);
  server_.attach("berlin-1");
  ASSERT_EQ(server_.end_of(rollout), "done");
  EXPECT_EQ(signers_of(rollout), signers) << "whoever they are now";
}

TEST_F(SigningTest, a_signature_that_is_none_is_refused_by_its_place) {
  const Json good = server_.signed_with('a', TestServer::deployment("2")).at("signatures").at(0);
  const auto changed = [&](const char* member, const Json& value) {
    Json one = good;
    one[member] = value;
    return Json::array({good, one});
  };
  const std::vector<std::pair<Json, std::string>> wrong = {
      {"x", "'signatures' is no list"},
      {std::vector<Json>(9, good), "'signatures' is no list of at most 8"},
      {{good, good}, "'signatures[1].key' is there already"},
      {{good, 1}, "'signatures[1]' is no object"},
      {changed("key", "ABC"), "'signatures[1].key'"},
      {changed("key", 1), "'signatures[1].key' is no text"},
      {changed("signature", "%"), "'signatures[1].signature'"},
      {changed("signature", ""), "'signatures[1].signature'"},
      {changed("signature", std::string(2'000, 'A')), "of 1 to 1024 bytes"},
      {changed("by", "ada"), "'signatures[1].by' is not known here"},
      {Json::array({Json{{"key", good.at("key")}}}), "'signatures[0].signature'"},
  };
  for (const auto& [signatures, text] : wrong) {
    Json body = TestServer::deployment("2");
    body["signatures"] = signatures;
    for (const auto& answer :
         {deploy(body), deploy_version({{"version", "2"}, {"signatures", signatures}})}) {
      EXPECT_EQ(answer.status, 400U) << answer.body;
      EXPECT_THAT(answer.json.value("error", ""), HasSubstr(text)) << signatures;
    }
  }
}

TEST_F(SigningTest, many_who_may_sign_are_not_all_named) {
  for (int i = 0; i < 7; ++i) {
    server_.set_signer(fmt::format("zoe-{}", i), static_cast<char>('0' + i));
  }
  const auto answer = deploy(TestServer::deployment("2"));
  expect_refused(answer, "zoe-3 and 3 more");
  EXPECT_THAT(answer.body, Not(HasSubstr("zoe-4")));
}

}  // namespace
}  // namespace segue::server
