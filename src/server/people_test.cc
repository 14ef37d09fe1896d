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
  EXPECT_EQ(read_person(R"({"segue_person":3})").error().code(), ErrorCode::failed_precondition);
  EXPECT_EQ(read_person("{").error().code(), ErrorCode::data_loss);
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
