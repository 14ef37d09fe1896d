// SPDX-License-Identifier: Apache-2.0
#include "builder/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::builder {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string problem_of(const std::string& text) {
  const auto config = parse_config("/etc/segue/builder.yaml", text);
  return config ? "" : config.error().message();
}

TEST(BuilderConfig, every_key_arrives_and_paths_are_beside_the_file) {
  const auto config = parse_config("/etc/segue/builder.yaml", R"(
state: /var/lib/segue/builder
publish: [--library, /srv/library]
publisher: /opt/segue
queue: 9
keep: 5
limits: {time_s: 100}
listen: 127.0.0.1:8790
repositories:
  chat:
    url: ssh://git@host/chat.git
    refs: [refs/heads/*, refs/tags/*]
    publish_refs: refs/tags/*
    poll_s: 0
    fetch_s: 30
    notes: false
    webhook_secret: chat.secret
    status: {url: "https://forge/{commit}", header: token, secret: key}
    publish: [--sign-with, chat=chat.key]
  other:
    url: other.git
)");
  ASSERT_TRUE(config) << config.error().message();
  EXPECT_EQ(config->queue, 9U);
  EXPECT_EQ(config->limits.time_s, 100U);
  EXPECT_THAT(config->publish, ElementsAre("--library", "/srv/library"));
  const auto& chat = config->repositories.at("chat");
  EXPECT_EQ(chat.url, "ssh://git@host/chat.git");
  EXPECT_EQ(chat.webhook_secret, "/etc/segue/chat.secret");
  EXPECT_EQ(chat.status_header, "/etc/segue/token");
  EXPECT_FALSE(chat.notes);
  EXPECT_EQ(chat.poll_s, 0U);
  EXPECT_TRUE(is_built(chat, "refs/heads/x"));
  EXPECT_FALSE(is_published(chat, "refs/heads/x"));
  EXPECT_TRUE(is_published(chat, "refs/tags/x"));
  const auto& other = config->repositories.at("other");
  EXPECT_EQ(other.url, "/etc/segue/other.git");
  EXPECT_TRUE(is_built(other, "refs/heads/main"));
  EXPECT_TRUE(is_published(other, "refs/heads/main"));
  EXPECT_TRUE(other.notes);
}

TEST(BuilderConfig, refuses_with_line_and_suggestion) {
  EXPECT_THAT(problem_of("repositories: {}"), HasSubstr("has to name 1 to"));
  EXPECT_THAT(problem_of("repositories:\n  chat:\n    ulr: /x\n"),
              HasSubstr(":3: there is no key 'repositories.chat.ulr'; did you mean 'url'?"));
  EXPECT_THAT(problem_of("repositories:\n  chat: {poll_s: 1}\n"), HasSubstr("url has to be"));
  EXPECT_THAT(problem_of("repositories:\n  chat: {url: --upload-pack=x}\n"),
              HasSubstr("url has to be"));
  EXPECT_THAT(problem_of("repositories:\n  chat: {url: /x, refs: main}\n"),
              HasSubstr("'main' is not a ref"));
  EXPECT_THAT(problem_of("repositories:\n  a/b: {url: /x}\n"), HasSubstr(":2:"));
  EXPECT_THAT(problem_of("repositories:\n  chat: {url: /x, status: {url: 'file:///x'}}\n"),
              HasSubstr("not an http(s) address"));
  EXPECT_THAT(problem_of("publish: [--background-deltas]\nrepositories:\n  chat: {url: /x}\n"),
              HasSubstr("without --background-deltas"));
  EXPECT_THAT(problem_of("queue: 0\nrepositories:\n  chat: {url: /x}\n"), HasSubstr("queue: '0'"));
}

}  // namespace
}  // namespace segue::builder
