// SPDX-License-Identifier: Apache-2.0
// Against a real HTTP server of ours, that of the webhook.
#include "builder/status_sender.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "builder/test_loop.h"
#include "builder/webhook_server.h"
#include "crypto/digest.h"
#include "crypto/hmac.h"

namespace segue::builder {
namespace {

using testing::HasSubstr;

class StatusSenderTest : public testing::Test {
 protected:
  StatusSenderTest()
      : server_(here_.loop, here_.clock,
                [this](const WebhookRequest& request) {
                  ++requests_;
                  body_ = request.body;
                  signature_ = request.header("X-Segue-Signature-256");
                  token_ = request.header("Authorization");
                  return WebhookAnswer{requests_ > failures_ ? 201 : 500, "seen", {}};
                }),
        sender_(here_.loop, here_.clock, std::chrono::milliseconds(1)) {
    port_ = *server_.listen("127.0.0.1:0");
  }

  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_) + "/status"; }

  base::Result<void> send(StatusSender::Post post) {
    std::optional<base::Result<void>> ended;
    EXPECT_TRUE(sender_.send(std::move(post), [&](auto result) { ended = std::move(result); }));
    EXPECT_TRUE(here_.run_until([&] { return ended.has_value(); }));
    EXPECT_EQ(sender_.pending(), 0U);
    return *ended;
  }

  TestLoop here_;
  std::size_t requests_ = 0;
  std::size_t failures_ = 0;
  std::string body_;
  std::string signature_;
  std::string token_;
  WebhookServer server_;
  StatusSender sender_;
  std::uint16_t port_ = 0;
};

TEST_F(StatusSenderTest, posts_the_body_signed_and_with_its_header) {
  ASSERT_TRUE(
      send({.url = url(), .body = "{}", .header = "Authorization: Bearer x", .secret = "key"}));
  EXPECT_EQ(body_, "{}");
  EXPECT_EQ(token_, "Bearer x");
  EXPECT_EQ(signature_, "sha256=" + crypto::to_hex(crypto::hmac_sha256("key", "{}")));
}

TEST_F(StatusSenderTest, tries_again_and_gives_up_after_so_many_tries) {
  failures_ = 2;
  EXPECT_TRUE(send({.url = url(), .body = "{}"}));
  EXPECT_EQ(requests_, 3U);
  requests_ = 0;
  failures_ = 1'000;
  const auto given_up = send({.url = url(), .body = "{}"});
  ASSERT_FALSE(given_up);
  EXPECT_THAT(given_up.error().message(), HasSubstr("answered with 500"));
  EXPECT_EQ(requests_, StatusSender::kMaxTries);
}

TEST_F(StatusSenderTest, says_that_nobody_answers) {
  const auto ended = send({.url = "http://127.0.0.1:1/", .body = "{}"});
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().code(), base::ErrorCode::unavailable);
}

TEST_F(StatusSenderTest, takes_only_so_many) {
  for (std::size_t i = 0; i < StatusSender::kMaxPosts; ++i) {
    ASSERT_TRUE(sender_.send({.url = url(), .body = "{}"}, [](const auto&) {}));
  }
  const auto full = sender_.send({.url = url(), .body = "{}"}, [](const auto&) {});
  ASSERT_FALSE(full);
  EXPECT_EQ(full.error().code(), base::ErrorCode::resource_exhausted);
}

}  // namespace
}  // namespace segue::builder
