// SPDX-License-Identifier: Apache-2.0
#include "agent/proxy_share.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::agent {
namespace {

using base::ErrorCode;
using fleet::OrderResult;
using testing::HasSubstr;
using traffic::ServerDuty;

fleet::ProxyShare share_of(std::uint32_t first_ppm, std::uint32_t second_ppm) {
  fleet::ProxyShare share;
  share.socket = "/run/haproxy/admin.sock";
  share.backend = "chat";
  share.map = "/etc/haproxy/users.map";
  share.map_value = "canary";
  share.routed = {"alice", "bob"};
  share.canaries = {{"h1", "h1.canary", "h1", "r.1", first_ppm},
                    {"h2", "h2.canary", "h2", "r.2", second_ppm}};
  return share;
}

traffic::ProxyServer server(const std::string& name, std::uint32_t configured_weight,
                            std::uint64_t sessions = 0) {
  traffic::ProxyServer server;
  server.name = name;
  server.configured_weight = configured_weight;
  server.current_sessions = sessions;
  server.is_running = true;
  return server;
}

ProxyLook look_at_all() {
  ProxyLook look;
  look.now.servers = {server("h1", 100), server("h2", 100), server("h1.canary", 0, 3),
                      server("h2.canary", 0)};
  return look;
}

TEST(ProxyShare, who_has_a_share_serves_and_the_others_get_nothing_new) {
  const auto wanted = wanted_of(share_of(100'000, 0));
  EXPECT_TRUE(traffic::check_wanted(wanted));
  EXPECT_EQ(wanted.backend, "chat");
  EXPECT_EQ(wanted.share_ppm, 100'000U);
  ASSERT_EQ(wanted.servers.size(), 2U) << "the stable ones are as somebody else has them";
  EXPECT_EQ(wanted.servers[0].duty, ServerDuty::serve);
  EXPECT_TRUE(wanted.servers[0].is_canary);
  EXPECT_EQ(wanted.servers[1].duty, ServerDuty::drain);
  EXPECT_EQ(wanted.maps.at("/etc/haproxy/users.map"),
            (traffic::ProxyMap{{"alice", "canary"}, {"bob", "canary"}}));
}

TEST(ProxyShare, without_a_share_nobody_is_routed_to_the_canary) {
  const auto wanted = wanted_of(share_of(0, 0));
  EXPECT_EQ(wanted.share_ppm, 0U);
  ASSERT_TRUE(wanted.maps.contains("/etc/haproxy/users.map"));
  EXPECT_TRUE(wanted.maps.begin()->second.empty());
  auto share = share_of(0, 0);
  share.map.clear();
  EXPECT_TRUE(wanted_of(share).maps.empty());
}

TEST(ProxyShare, stands_when_nothing_is_left_to_do_or_to_complain_about) {
  const auto share = share_of(100'000, 100'000);
  auto seen = seen_of(share, look_at_all(), {.stable = 90, .canary = 10, .canary_current = 3});
  EXPECT_EQ(seen.result, OrderResult::done);
  EXPECT_EQ(seen.text, "");
  EXPECT_EQ(seen.canary, 10U);
  EXPECT_EQ(seen.canary_open, 3U);
  ASSERT_EQ(seen.canaries.size(), 2U);
  EXPECT_EQ(seen.canaries[0], (fleet::SeenCanary{"h1", "r.1", 3}));
  ProxyLook down = look_at_all();
  down.report.decision.problems = {"10% cannot be had"};
  seen = seen_of(share, down, {});
  EXPECT_EQ(seen.result, OrderResult::under_way);
  EXPECT_EQ(seen.text, "10% cannot be had");
  ProxyLook heavy = look_at_all();
  heavy.now.servers[2].configured_weight = 10;
  seen = seen_of(share, heavy, {});
  EXPECT_EQ(seen.result, OrderResult::done);
  EXPECT_THAT(seen.text, HasSubstr("weight 0"));
}

TEST(ProxyShare, waits_for_canaries_that_the_proxy_has_not_found_serving) {
  ProxyLook look = look_at_all();
  look.now.servers[3].is_running = false;
  const auto seen = seen_of(share_of(100'000, 100'000), look, {});
  EXPECT_EQ(seen.result, OrderResult::under_way);
  EXPECT_THAT(seen.text, HasSubstr("h2.canary"));
  EXPECT_EQ(seen_of(share_of(100'000, 0), look, {}).result, OrderResult::done) << "it gets nothing";
  EXPECT_TRUE(wanted_of(share_of(1, 0)).awaits_canaries);
}

TEST(ProxyShare, a_stable_slot_that_ends_gets_nothing_new_and_serves_when_it_is_back) {
  fleet::ProxyShare share = share_of(100'000, 0);
  share.canaries.push_back({"h2", "h2", "", "r.3", 0});
  share.readied = {"h1"};
  const auto wanted = wanted_of(share);
  ASSERT_EQ(wanted.servers.size(), 4U);
  EXPECT_FALSE(wanted.servers[2].is_canary);
  EXPECT_EQ(wanted.servers[2].duty, ServerDuty::drain);
  EXPECT_EQ(wanted.servers[3].name, "h1");
  EXPECT_FALSE(wanted.servers[3].is_canary);
  EXPECT_EQ(wanted.servers[3].duty, ServerDuty::serve);
  ProxyLook look = look_at_all();
  auto seen = seen_of(share, look, {});
  EXPECT_EQ(seen.result, OrderResult::done);
  EXPECT_EQ(seen.text, "") << "what it weighs in haproxy.cfg is right";
  ASSERT_NE(seen.find("h2", "r.3"), nullptr);
  EXPECT_EQ(seen.find("h2", "r.2")->order, "r.2");
  // Somebody has taken it out of haproxy.cfg.
  share.canaries.erase(share.canaries.begin(), share.canaries.begin() + 2);
  std::erase_if(look.now.servers, [](const auto& one) { return one.name == "h2"; });
  EXPECT_EQ(seen_of(share, look, {}).result, OrderResult::done);
  EXPECT_TRUE(wanted_of(share).servers[0].may_be_missing);
  share.canaries.clear();
  EXPECT_FALSE(share.is_empty());
  EXPECT_TRUE(fleet::check_share("chat", share));
}

TEST(ProxyShare, what_only_a_person_can_mend_is_refused) {
  const auto share = share_of(100'000, 100'000);
  ProxyLook look = look_at_all();
  look.now.servers.pop_back();
  auto seen = seen_of(share, look, {});
  EXPECT_EQ(seen.result, OrderResult::refused);
  EXPECT_THAT(seen.text, HasSubstr("canary_server"));
  look = look_at_all();
  look.now.servers[0].name = "other";
  EXPECT_THAT(seen_of(share, look, {}).text, HasSubstr("stable_server"));
  const auto failed = [&](ErrorCode code) {
    return seen_of(share, base::fail(code, "so it is"), {}).result;
  };
  EXPECT_EQ(failed(ErrorCode::not_found), OrderResult::refused);
  EXPECT_EQ(failed(ErrorCode::permission_denied), OrderResult::refused);
  EXPECT_EQ(failed(ErrorCode::unavailable), OrderResult::under_way);
  EXPECT_EQ(failed(ErrorCode::deadline_exceeded), OrderResult::under_way);
  EXPECT_EQ(failed(ErrorCode::aborted), OrderResult::under_way);
}

TEST(ProxyShare, counts_alone_are_no_news_but_the_last_session_is) {
  const auto share = share_of(100'000, 100'000);
  const auto told = seen_of(share, look_at_all(), {.stable = 90, .canary = 10});
  auto now = seen_of(share, look_at_all(), {.stable = 900, .canary = 100, .canary_current = 50});
  now.canaries[0].open = 50;
  EXPECT_FALSE(says_more(told, now));
  now.canaries[0].open = 0;
  EXPECT_TRUE(says_more(told, now));
  now = told;
  now.canaries[1].order = "r.3";
  EXPECT_TRUE(says_more(told, now));
  now = told;
  now.result = OrderResult::under_way;
  EXPECT_TRUE(says_more(told, now));
  now = told;
  now.restarts = 1;
  EXPECT_TRUE(says_more(told, now));
}

}  // namespace
}  // namespace segue::agent
