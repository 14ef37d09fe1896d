// SPDX-License-Identifier: Apache-2.0
#include "server/people.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::Not;

TEST(Person, may_do_what_its_rights_say) {
  const Person nobody{.name = "n"};
  EXPECT_TRUE(nobody.may(Right::view));
  EXPECT_FALSE(nobody.may(Right::deploy));
  const Person all{.name = "a", .rights = {Right::deploy}};
  EXPECT_TRUE(all.may(Right::deploy, "hub"));
  EXPECT_TRUE(all.may(Right::deploy, ""));
  EXPECT_FALSE(all.may(Right::approve, "hub"));
  const Person some{.name = "s", .rights = {Right::deploy}, .components = {"hub", "web"}};
  EXPECT_TRUE(some.may(Right::deploy));
  EXPECT_TRUE(some.may(Right::deploy, "web"));
  EXPECT_FALSE(some.may(Right::deploy, "db"));
  EXPECT_FALSE(some.may(Right::deploy, "")) << "the whole fleet";
  EXPECT_TRUE(some.may(Right::view, "db"));
}

TEST(Person, is_read_as_it_was_written_also_by_the_program_before_this_one) {
  const Person person{.name = "ada",
                      .rights = {Right::deploy, Right::approve},
                      .components = {"hub"},
                      .token_digest = "00ff",
                      .created_ms = 7};
  EXPECT_EQ(read_person(write_record(person)), person);
  const auto first = read_person(
      R"({"segue_person":1,"name":"ada","rights":["deploy"],"token_digest":"00ff","created_ms":7})");
  ASSERT_TRUE(first) << first.error().to_string();
  EXPECT_EQ(first->rights, std::vector{Right::deploy});
  EXPECT_TRUE(first->components.empty());
  const auto second = read_person(
      R"({"segue_person":2,"name":"ada","rights":["deploy"],"components":["hub"],"token_digest":"00ff","created_ms":7})");
  ASSERT_TRUE(second) << second.error().to_string();
  EXPECT_EQ(second->components, std::vector<std::string>{"hub"});
  EXPECT_TRUE(second->keys.empty());
  EXPECT_EQ(read_person(R"({"segue_person":4})").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(read_person("{").error().code(), ErrorCode::data_loss);
}

TEST(Person, with_keys_is_a_record_that_the_program_before_this_one_refuses_and_no_other_is) {
  Person person{.name = "ada", .rights = {Right::sign}, .token_digest = "00ff", .created_ms = 7};
  EXPECT_THAT(write_record(person), HasSubstr("\"segue_person\":2"));
  person.keys.push_back(TestServer::public_key_of('a'));
  EXPECT_THAT(write_record(person), HasSubstr("\"segue_person\":3"));
  EXPECT_EQ(read_person(write_record(person)), person);
}

TEST(Person, fits_in_a_record_with_all_that_it_may_have) {
  Person person{.name = std::string(100, 'a')};
  for (std::size_t i = 0; i < Person::kMaxComponents; ++i) {
    person.components.push_back(fmt::format("{:0>100}", i));
  }
  const std::string pem(std::size_t{2} * crypto::kMaxRsaBits / 8, '\n');  // more than any has
  person.rights.assign(Person::kMaxRights, Right::administer);
  person.keys.assign(Person::kMaxKeys, {std::string(64, 'a'), pem.substr(0, 2'000)});
  EXPECT_EQ(read_person(write_record(person)), person);
}

std::string body_with(const std::vector<std::string>& keys, const char* right = "sign") {
  return nlohmann::json{{"rights", {right}}, {"keys", keys}}.dump();
}

TEST(People, sign_with_keys_that_are_theirs_alone) {
  TestServer server;
  const std::string ada = TestServer::key_of('a').public_key().pem();
  const std::string bob = TestServer::key_of('b').public_key().pem();
  EXPECT_EQ(server.ask("PUT", "/v1/people/ada", body_with({ada})).status, 201U);
  const auto taken = server.ask("PUT", "/v1/people/bob", body_with({bob, ada}));
  EXPECT_EQ(taken.status, 409U) << taken.body;
  EXPECT_THAT(taken.body, HasSubstr("'ada' has the key"));
  EXPECT_EQ(server.ask("PUT", "/v1/people/ada", body_with({bob, ada})).status, 201U)
      << "one more, and one that they have";
  server.restart();
  const auto people = server.ask("GET", "/v1/people").json.at("people");
  ASSERT_EQ(people.at(0).at("name"), "ada");
  EXPECT_EQ(people.at(0).at("keys"),
            (std::vector{TestServer::public_key_of('b').id, TestServer::public_key_of('a').id}));
  EXPECT_EQ(people.at(1).at("keys"), nlohmann::json::array());
  EXPECT_EQ(server.ask("PUT", "/v1/people/ada", R"({"rights": ["view"]})").status, 201U);
  EXPECT_EQ(server.ask("PUT", "/v1/people/bob", body_with({ada})).status, 201U)
      << "who may not sign any more has none";
}

TEST(People, who_may_sign_have_public_keys_and_nobody_else_has) {
  TestServer server;
  const auto key = TestServer::key_of('a');
  const std::string pem = key.public_key().pem();
  const std::vector<std::pair<std::string, std::string>> wrong = {
      {R"({"rights": ["sign"]})", "needs a key"},
      {body_with({}), "needs a key"},
      {body_with({pem}, "deploy"), "the right 'sign'"},
      {body_with({"nonsense"}), "'keys[0]': not a public key"},
      {body_with({pem, key.to_pem("").value()}), "'keys[1]': it is a private key"},
      {body_with({pem, pem}), "'keys[1]' is there already"},
      {body_with(std::vector<std::string>(9, pem)), "'keys' is no list of at most 8"},
  };
  for (const auto& [body, text] : wrong) {
    const auto answer = server.ask("PUT", "/v1/people/ada", body);
    EXPECT_EQ(answer.status, 400U) << body;
    EXPECT_THAT(answer.json.value("error", ""), HasSubstr(text)) << body;
  }
  EXPECT_EQ(server.ask("GET", "/v1/people").json.at("people").size(), 1U);
}

TEST(People, have_a_token_that_is_stored_nowhere) {
  TestServer server;
  const std::string token = server.set_person("ada", {Right::approve});
  EXPECT_EQ(server.control->people().find(token)->name, "ada");
  for (const auto& entry : server.database->list({}).entries) {
    EXPECT_THAT(entry.value, Not(HasSubstr(token))) << entry.key;
  }
  server.restart();
  EXPECT_EQ(server.control->people().find(token)->name, "ada");
}

TEST(People, lose_the_old_token_with_a_new_one_and_every_one_when_they_go) {
  TestServer server;
  const std::string old = server.set_person("ada", {Right::deploy});
  const std::string token = server.set_person("ada", {});
  EXPECT_FALSE(server.control->people().find(old));
  EXPECT_FALSE(server.control->people().find(token)->may(Right::deploy));
  EXPECT_EQ(server.ask("DELETE", "/v1/people/ada").status, 200U);
  EXPECT_FALSE(server.control->people().find(token));
  EXPECT_EQ(server.ask("DELETE", "/v1/people/ada").status, 404U);
  server.restart();
  EXPECT_FALSE(server.control->people().find(token));
}

TEST(People, always_have_somebody_who_administers) {
  TestServer server;
  EXPECT_EQ(server.ask("DELETE", "/v1/people/admin").status, 409U);
  EXPECT_EQ(server.ask("PUT", "/v1/people/admin", R"({"rights": ["deploy"]})").status, 409U);
  EXPECT_EQ(server.ask("GET", "/v1/people").status, 200U) << "the token is the same";
  (void)server.set_person("ada", {Right::administer});
  EXPECT_EQ(server.ask("DELETE", "/v1/people/admin").status, 200U);
}

TEST(People, have_names_like_all_that_is_named) {
  TestServer server;
  for (const char* name : {"..", "%20", "-x"}) {
    EXPECT_EQ(server.ask("PUT", fmt::format("/v1/people/{}", name), "{}").status, 400U) << name;
  }
  for (const char* wrong :
       {R"({"rights": ["fly"]})", R"({"rights": "deploy"})", R"({"rights": [1]})",
        R"({"components": ["a/b"]})", R"({"name": "x"})"}) {
    EXPECT_EQ(server.ask("PUT", "/v1/people/ada", wrong).status, 400U) << wrong;
  }
}

}  // namespace
}  // namespace segue::server
