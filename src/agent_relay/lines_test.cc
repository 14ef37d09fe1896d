// SPDX-License-Identifier: Apache-2.0
#include "agent_relay/lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::agent_relay {
namespace {

using base::ErrorCode;
using rpc::Envelope;
using rpc::EnvelopeKind;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::size_t kMaxLines = 3;

pki::Certificate host(const std::string& name) {
  return {.identity = {pki::Role::host, name}, .pem = "certificate of " + name};
}

class LinesTest : public testing::Test {
 protected:
  void open(Line line, const std::string& name) { ASSERT_TRUE(lines_.opened(line, host(name))); }
  void say(Line line, EnvelopeKind kind, std::uint64_t number = 0,
           const std::string& document = "") {
    ASSERT_TRUE(lines_.received(line, {"", kind, number, document}));
  }
  std::vector<Envelope> all() {
    std::vector<Envelope> envelopes;
    while (auto envelope = lines_.next()) envelopes.push_back(*std::move(envelope));
    return envelopes;
  }
  // With a server, and h-1 known to it.
  void introduce() {
    lines_.server_attached();
    open(1, "h-1");
    say(1, EnvelopeKind::hello, 0, "hello");
    all();
  }

  Lines lines_{kMaxLines};
};

TEST_F(LinesTest, a_hello_shows_the_server_what_the_host_has_shown) {
  lines_.server_attached();
  open(1, "h-1");
  ASSERT_TRUE(lines_.received(1, {.kind = EnvelopeKind::hello,
                                  .document = "hello",
                                  .line = 7,
                                  .certificate_pem = "forged",
                                  .lines = {1}}));
  EXPECT_THAT(all(), ElementsAre(Envelope{.host = "h-1",
                                          .kind = EnvelopeKind::hello,
                                          .document = "hello",
                                          .line = 1,
                                          .certificate_pem = "certificate of h-1"}));
}

TEST_F(LinesTest, nobody_speaks_for_another) {
  lines_.server_attached();
  open(1, "h-1");
  const auto spoken = lines_.received(1, {"h-2", EnvelopeKind::hello, 0, ""});
  ASSERT_FALSE(spoken);
  EXPECT_EQ(spoken.error().code(), ErrorCode::permission_denied);
  say(1, EnvelopeKind::hello);
  all();
  EXPECT_FALSE(lines_.received(1, {"", EnvelopeKind::heartbeats, 0, ""}));
  EXPECT_FALSE(lines_.received(1, {"", EnvelopeKind::gone, 0, ""}));
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LinesTest, only_hosts_are_let_in_and_only_so_many) {
  EXPECT_FALSE(lines_.opened(1, {.identity = {pki::Role::relay, "r"}}));
  for (Line line = 1; line <= kMaxLines; ++line) open(line, "h-" + std::to_string(line));
  const auto one_more = lines_.opened(9, host("h-9"));
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code(), ErrorCode::resource_exhausted);
  lines_.closed(2);
  open(10, "h-9");
}

TEST_F(LinesTest, what_is_said_before_hello_is_not_passed_on) {
  lines_.server_attached();
  open(1, "h-1");
  say(1, EnvelopeKind::observed, 1, "seen");
  say(1, EnvelopeKind::heartbeat, 1);
  EXPECT_THAT(all(), IsEmpty());
  EXPECT_THAT(lines_.heard(), IsEmpty());
}

TEST_F(LinesTest, heartbeats_go_together_and_a_new_generation_by_itself) {
  introduce();
  say(1, EnvelopeKind::heartbeat, 5);
  const auto told = all();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told.front().number, 5U);
  EXPECT_THAT(lines_.heard(), ElementsAre(1U));
  EXPECT_THAT(lines_.heard(), IsEmpty());
  say(1, EnvelopeKind::heartbeat, 5);
  EXPECT_THAT(all(), IsEmpty());
  EXPECT_THAT(lines_.heard(), ElementsAre(1U));
  say(1, EnvelopeKind::heartbeat, 6);
  EXPECT_EQ(all().size(), 1U);
}

TEST_F(LinesTest, of_what_waits_the_newest_word_is_kept_and_the_order) {
  introduce();
  open(2, "h-2");
  say(1, EnvelopeKind::observed, 1, "old");
  say(2, EnvelopeKind::hello);
  say(1, EnvelopeKind::observed, 2, "new");
  const auto waiting = all();
  ASSERT_EQ(waiting.size(), 2U);
  EXPECT_EQ(waiting[0].document, "new");
  EXPECT_EQ(waiting[0].number, 2U);
  EXPECT_EQ(waiting[1].host, "h-2");
  EXPECT_EQ(lines_.waiting_bytes(), 0U);
}

TEST_F(LinesTest, kinds_of_a_newer_version_all_pass_but_not_without_end) {
  introduce();
  const auto later = static_cast<EnvelopeKind>(9);
  for (std::size_t i = 0; i < Lines::kMaxOthers; ++i) say(1, later, i);
  const auto one_more = lines_.received(1, {"", later, 99, ""});
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code(), ErrorCode::resource_exhausted);
  EXPECT_EQ(all().size(), Lines::kMaxOthers);
  say(1, later);
  EXPECT_EQ(all().size(), 1U);
}

TEST_F(LinesTest, what_waits_is_bounded_whoever_says_it) {
  introduce();
  open(2, "h-2");
  say(2, EnvelopeKind::hello);
  const std::string large(Lines::kMaxWaitingBytes - 2'000, 'x');
  say(1, EnvelopeKind::observed, 1, large);
  const auto one_more = lines_.received(2, {"", EnvelopeKind::observed, 1, large});
  ASSERT_FALSE(one_more);
  EXPECT_EQ(one_more.error().code(), ErrorCode::resource_exhausted);
  say(2, EnvelopeKind::observed, 1, "small");
  EXPECT_FALSE(lines_.received(2, {"", EnvelopeKind::observed, 2, large}))
      << "nor in the place of an older one";
  EXPECT_LE(lines_.waiting_bytes(), Lines::kMaxWaitingBytes);
}

TEST_F(LinesTest, the_server_hears_who_is_gone_and_nothing_else_of_them) {
  introduce();
  say(1, EnvelopeKind::observed, 1, "seen");
  say(1, static_cast<EnvelopeKind>(9));
  lines_.closed(1);
  EXPECT_THAT(all(), ElementsAre(Envelope{.host = "h-1", .kind = EnvelopeKind::gone, .line = 1}));
  EXPECT_EQ(lines_.waiting_bytes(), 0U);
  EXPECT_FALSE(lines_.is(1, "h-1"));
  open(2, "h-2");
  lines_.closed(2);  // whom the server never heard of
  EXPECT_THAT(all(), IsEmpty());
}

TEST_F(LinesTest, a_new_server_is_told_everything_anew) {
  introduce();
  open(2, "h-2");
  say(1, EnvelopeKind::heartbeat, 5);
  lines_.server_lost();
  EXPECT_THAT(all(), IsEmpty());
  say(1, EnvelopeKind::observed, 1, "nobody keeps it");
  EXPECT_THAT(all(), IsEmpty());
  EXPECT_THAT(lines_.server_attached(), UnorderedElementsAre(1U, 2U));
  say(1, EnvelopeKind::heartbeat, 5);
  EXPECT_THAT(all(), IsEmpty());  // before its hello
  say(1, EnvelopeKind::hello);
  say(1, EnvelopeKind::heartbeat, 5);
  EXPECT_EQ(all().size(), 2U);
}

}  // namespace
}  // namespace segue::agent_relay
