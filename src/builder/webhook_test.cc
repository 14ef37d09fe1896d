// SPDX-License-Identifier: Apache-2.0
#include "builder/webhook.h"

#include <gtest/gtest.h>

#include "crypto/digest.h"
#include "crypto/hmac.h"

namespace segue::builder {
namespace {

const std::map<std::string, std::string> kSecrets = {{"chat", "open sesame"}};
const std::string kCommit(40, 'b');
const std::string kPush =
    R"({"ref":"refs/heads/main","before":"x","after":")" + kCommit + R"(","commits":[]})";

std::string signature_of(const std::string& body, const std::string& secret = "open sesame") {
  return crypto::to_hex(crypto::hmac_sha256(secret, body));
}

WebhookAnswer answer(const std::string& body, const std::string& header, const std::string& value,
                     const std::string& target = "/build/chat",
                     const std::string& method = "POST") {
  return answer_webhook(
      {.method = method,
       .target = target,
       .body = body,
       .header = [&](std::string_view name) { return name == header ? value : std::string(); }},
      kSecrets);
}

const Notice kNotice{.repository = "chat", .ref = "refs/heads/main", .commit = kCommit};

TEST(Webhook, takes_a_push_as_each_forge_signs_it) {
  for (const auto& [header, value] :
       {std::pair<std::string, std::string>{"X-Hub-Signature-256", "sha256=" + signature_of(kPush)},
        {"X-Gitea-Signature", signature_of(kPush)},
        {"X-Gitlab-Token", "open sesame"}}) {
    const auto got = answer(kPush, header, value);
    EXPECT_EQ(got.status, 202) << header;
    ASSERT_TRUE(got.notice) << header;
    EXPECT_EQ(*got.notice, kNotice);
  }
}

TEST(Webhook, refuses_whoever_does_not_know_the_secret) {
  for (const auto& [header, value] :
       {std::pair<std::string, std::string>{"", ""},
        {"X-Hub-Signature-256", "sha256=" + signature_of(kPush + " ")},
        {"X-Hub-Signature-256", "sha256=" + signature_of(kPush, "other")},
        {"X-Hub-Signature-256", "sha256="},
        {"X-Hub-Signature-256", signature_of(kPush)},
        {"X-Gitea-Signature", "zz"},
        {"X-Gitlab-Token", "open sesam"}}) {
    const auto got = answer(kPush, header, value);
    EXPECT_EQ(got.status, 401) << header << " " << value;
    EXPECT_FALSE(got.notice);
  }
}

TEST(Webhook, answers_what_is_not_a_push_of_a_commit) {
  const auto signed_answer = [](const std::string& body) {
    return answer(body, "X-Gitea-Signature", signature_of(body));
  };
  EXPECT_EQ(signed_answer(R"({"zen":"ping"})").status, 200);
  EXPECT_EQ(
      signed_answer(R"({"ref":"refs/heads/main","after":")" + std::string(40, '0') + "\"}").status,
      200);
  EXPECT_EQ(signed_answer("[]").status, 400);
  EXPECT_EQ(signed_answer("{").status, 400);
  EXPECT_EQ(signed_answer(R"({"ref":"main","after":")" + kCommit + "\"}").status, 400);
  EXPECT_EQ(signed_answer(R"({"ref":"refs/heads/main","after":"HEAD"})").status, 400);
  const auto tag = signed_answer(R"({"ref":"refs/tags/v1","after":")" + kCommit + "\"}");
  ASSERT_TRUE(tag.notice);
  EXPECT_EQ(tag.notice->commit, "") << "an annotated tag is not a commit";
}

TEST(Webhook, is_only_at_its_place_and_only_posted_to) {
  EXPECT_EQ(answer(kPush, "X-Gitlab-Token", "open sesame", "/build/other").status, 404);
  EXPECT_EQ(answer(kPush, "X-Gitlab-Token", "open sesame", "/").status, 404);
  EXPECT_EQ(answer(kPush, "X-Gitlab-Token", "open sesame", "/build/chat", "GET").status, 405);
}

}  // namespace
}  // namespace segue::builder
