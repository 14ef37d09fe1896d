// SPDX-License-Identifier: Apache-2.0
#include "server/webhooks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;
using Json = nlohmann::json;

// The example of https://www.standardwebhooks.com and of its libraries.
TEST(WebhookSignature, is_that_of_the_standard) {
  EXPECT_EQ(webhook_signature("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek",
                              1'614'265'330, R"({"test": 2432232314})"),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(WebhookRecord, wants_a_kind_or_a_family_of_them) {
  const WebhookRecord some{.kinds = {"rollout.done", "host"}};
  EXPECT_TRUE(some.wants("rollout.done"));
  EXPECT_FALSE(some.wants("rollout.undone"));
  EXPECT_TRUE(some.wants("host.silent"));
  EXPECT_FALSE(some.wants("hostess"));
  EXPECT_TRUE(WebhookRecord{}.wants("fleet.stopped"));
}

class WebhooksTest : public testing::Test {
 protected:
  void SetUp() override {
    server_.join("berlin-1");
    add(R"({"url": "https://ci.example/hook", "kinds": ["rollout"]})");
  }
  void add(const std::string& body, const std::string& name = "ci") {
    const auto answer = server_.ask("PUT", "/v1/webhooks/" + name, body);
    ASSERT_EQ(answer.status, 201U) << answer.body;
    EXPECT_THAT(answer.json.at("secret").get<std::string>(), StartsWith("whsec_"));
  }
  Json webhook() { return server_.ask("GET", "/v1/webhooks").json.at("webhooks").at(0); }
  // What is on its way, to be answered.
  [[nodiscard]] bool wait_for_posts(std::size_t count) {
    return server_.run_until([&] { return server_.posts.size() >= count; });
  }
  std::string kind_of(std::size_t number) {
    return Json::parse(server_.posts.at(number).post.body).at("type");
  }
  std::string field_of(std::size_t number, const std::string& name) {
    for (const auto& field : server_.posts.at(number).post.fields) {
      if (field.starts_with(name + ": ")) return field.substr(name.size() + 2);
    }
    return "";
  }
  // Lets everything be taken; the kinds, in order.
  std::vector<std::string> take_all() {
    std::vector<std::string> kinds;
    for (std::size_t next = 0; next < server_.posts.size(); ++next) {
      if (!server_.posts.at(next).on_status) continue;
      kinds.push_back(kind_of(next));
      server_.answer_post(next, 204);
      server_.run_for(std::chrono::seconds(1));
    }
    return kinds;
  }

  TestServer server_;
};

TEST_F(WebhooksTest, tells_in_order_what_a_rollout_comes_to) {
  ASSERT_EQ(server_.end_of(server_.deploy("1")), "done");
  EXPECT_THAT(take_all(), ElementsAre("rollout.preparing", "rollout.running", "rollout.watching",
                                      "rollout.done"));
  const Json data = Json::parse(server_.posts.at(3).post.body).at("data");
  EXPECT_EQ(data.at("object"), "hub-1");
  EXPECT_EQ(data.at("component"), "hub");
  EXPECT_EQ(data.at("version"), "1");
  EXPECT_EQ(data.at("by"), "admin");
  EXPECT_EQ(server_.posts.at(3).post.url, "https://ci.example/hook");
  EXPECT_EQ(webhook().at("sent"), 4);
  server_.run_for(std::chrono::minutes(1));
  EXPECT_EQ(server_.ask("GET", "/v1/webhooks").json.at("waiting"), 0);
  EXPECT_EQ(server_.database->list({.prefix = std::string(kOutbox)}).entries.size(), 0U);
}

TEST_F(WebhooksTest, signs_what_it_sends) {
  const std::string secret =
      server_.ask("PUT", "/v1/webhooks/ci", R"({"url": "http://ci.example/"})").json.at("secret");
  (void)server_.deploy("1");
  ASSERT_TRUE(wait_for_posts(1));
  const std::string id = field_of(0, "webhook-id");
  EXPECT_THAT(id, StartsWith("msg_"));
  const std::uint64_t time_s = std::stoull(field_of(0, "webhook-timestamp"));
  EXPECT_EQ(field_of(0, "webhook-signature"),
            webhook_signature(secret.substr(6), id, time_s, server_.posts.at(0).post.body));
}

TEST_F(WebhooksTest, asks_again_later_each_time_with_the_same_id) {
  (void)server_.deploy("1");
  ASSERT_TRUE(wait_for_posts(1));
  const std::string id = field_of(0, "webhook-id");
  std::vector<std::int64_t> pauses_s;
  for (std::size_t i = 0; i < 10; ++i) {
    const auto before = server_.scheduler.now();
    server_.answer_post(i, i % 2 == 0 ? base::Result<long>(500)
                                      : fail(ErrorCode::unavailable, "connection refused"));
    ASSERT_TRUE(wait_for_posts(i + 2));
    EXPECT_EQ(field_of(i + 1, "webhook-id"), id);
    pauses_s.push_back(
        std::chrono::duration_cast<std::chrono::seconds>(server_.scheduler.now() - before).count());
  }
  EXPECT_THAT(pauses_s, ElementsAre(5, 10, 20, 40, 80, 160, 320, 600, 600, 600));
  EXPECT_THAT(webhook().at("trouble").get<std::string>(), HasSubstr("refused"));
  server_.answer_post(10, 200);
  EXPECT_EQ(webhook().at("trouble"), "");
  ASSERT_TRUE(wait_for_posts(12));
  EXPECT_NE(field_of(11, "webhook-id"), id);
}

TEST_F(WebhooksTest, loses_nothing_when_the_server_is_killed) {
  (void)server_.deploy("1");
  ASSERT_TRUE(wait_for_posts(1));
  const std::string id = field_of(0, "webhook-id");
  server_.posts.clear();
  server_.restart();
  ASSERT_TRUE(wait_for_posts(1));
  EXPECT_EQ(field_of(0, "webhook-id"), id);
  server_.answer_post(0, 200);
  ASSERT_TRUE(wait_for_posts(2));
  server_.run_for(std::chrono::seconds(1));
  server_.posts.clear();
  server_.restart();
  ASSERT_TRUE(wait_for_posts(1));
  EXPECT_NE(field_of(0, "webhook-id"), id) << "it was taken";
}

TEST_F(WebhooksTest, gives_up_what_is_a_day_old_and_says_so) {
  (void)server_.deploy("1");
  ASSERT_TRUE(wait_for_posts(1));
  std::size_t answered = 0;
  const auto end = server_.scheduler.now() + Webhooks::kKept + std::chrono::hours(1);
  while (server_.scheduler.now() < end) {
    if (answered < server_.posts.size()) server_.answer_post(answered++, 503);
    server_.run_for(std::chrono::minutes(1));
  }
  EXPECT_GE(webhook().at("missed"), 2);
  const std::string events = server_.ask("GET", "/v1/events?object=ci").body;
  EXPECT_THAT(events, HasSubstr("misses 'rollout.preparing'"));
  EXPECT_LT(answered, 400U) << "at most every ten minutes";
}

TEST_F(WebhooksTest, tells_nothing_more_to_who_is_gone) {
  (void)server_.deploy("1");
  ASSERT_TRUE(wait_for_posts(1));
  server_.answer_post(0, Webhooks::kGone);
  server_.run_for(std::chrono::hours(1));
  EXPECT_EQ(server_.posts.size(), 1U);
  EXPECT_EQ(webhook().at("gone"), true);
  EXPECT_EQ(server_.ask("DELETE", "/v1/webhooks/ci").status, 200U);
  EXPECT_EQ(server_.ask("DELETE", "/v1/webhooks/ci").status, 404U);
}

TEST_F(WebhooksTest, one_that_does_not_answer_holds_up_no_other) {
  add(R"({"url": "https://other.example/", "kinds": ["rollout.done"]})", "other");
  ASSERT_EQ(server_.end_of(server_.deploy("1")), "done");
  ASSERT_TRUE(wait_for_posts(2));
  EXPECT_EQ(server_.posts.size(), 2U) << "one under way for each";
  EXPECT_EQ(server_.posts.at(1).post.url, "https://other.example/");
  EXPECT_EQ(kind_of(1), "rollout.done");
  server_.answer_post(1, 200);
  server_.run_for(std::chrono::seconds(1));
  EXPECT_GE(server_.ask("GET", "/v1/webhooks").json.at("waiting"), 3) << "for the first one";
}

TEST_F(WebhooksTest, keeps_a_bounded_number_of_notifications) {
  for (std::size_t i = 0; i < Webhooks::kMaxKept + 10; ++i) {
    server_.control->webhooks().tell({.kind = "rollout.done", .object = "x", .text = {}});
  }
  server_.run_for(std::chrono::seconds(10));
  EXPECT_EQ(server_.ask("GET", "/v1/webhooks").json.at("waiting"), Webhooks::kMaxKept);
  EXPECT_EQ(webhook().at("missed"), 10);
  server_.restart();
  EXPECT_EQ(server_.ask("GET", "/v1/webhooks").json.at("waiting"), Webhooks::kMaxKept);
}

TEST_F(WebhooksTest, says_what_came_of_a_test) {
  HttpRequest request{.method = "POST", .path = "/v1/webhooks/ci/test", .bearer = server_.admin};
  std::optional<HttpAnswer> given;
  server_.api->handle(std::move(request), [&](HttpAnswer answer) { given = std::move(answer); });
  ASSERT_TRUE(wait_for_posts(1));
  EXPECT_EQ(kind_of(0), "webhook.test");
  server_.answer_post(0, 302);
  ASSERT_TRUE(given);
  EXPECT_EQ(Json::parse(given->body).at("taken"), false);
  EXPECT_EQ(Json::parse(given->body).at("status"), 302);
  EXPECT_EQ(server_.ask("POST", "/v1/webhooks/none/test").status, 404U);
}

TEST_F(WebhooksTest, is_told_of_approvals_pauses_and_the_emergency_stop) {
  add(R"({"url": "https://pager.example/", "kinds": ["rollout.approval", "rollout.paused", "fleet"]})");
  const std::string rollout = server_.deploy("1", 1);
  EXPECT_EQ(server_.ask("POST", "/v1/rollouts/" + rollout + "/pause").status, 200U);
  EXPECT_EQ(server_.ask("POST", "/v1/stop").status, 200U);
  EXPECT_EQ(server_.ask("POST", "/v1/stop", R"({"on": false})").status, 200U);
  server_.run_for(std::chrono::seconds(1));
  EXPECT_THAT(take_all(),
              ElementsAre("rollout.approval", "rollout.paused", "fleet.stopped", "fleet.released"));
}

TEST_F(WebhooksTest, refuses_what_is_no_webhook) {
  for (const char* wrong :
       {"{}", R"({"url": ""})", R"({"url": "ftp://x/"})", R"({"url": "https://x/ y"})",
        R"({"url": "https://x/", "kinds": ["moon"]})",
        R"({"url": "https://x/", "kinds": "rollout"})",
        R"({"url": "https://x/", "secret": "mine"})"}) {
    EXPECT_EQ(server_.ask("PUT", "/v1/webhooks/b", wrong).status, 400U) << wrong;
  }
  EXPECT_EQ(server_.ask("PUT", "/v1/webhooks/..", R"({"url": "https://x/"})").status, 400U);
  for (std::size_t i = 1; i < Webhooks::kMaxWebhooks; ++i) {
    add(R"({"url": "https://x/"})", fmt::format("w{}", i));
  }
  EXPECT_EQ(server_.ask("PUT", "/v1/webhooks/more", R"({"url": "https://x/"})").status, 429U);
}

}  // namespace
}  // namespace segue::server
