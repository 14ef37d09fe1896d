// SPDX-License-Identifier: Apache-2.0
#include "fleet/proxy_share.h"

#include <gtest/gtest.h>

#include <functional>

namespace segue::fleet {
namespace {

Sharing sharing() {
  Sharing its;
  its.kind = Sharing::Kind::haproxy;
  its.proxy_socket = "/run/haproxy/admin.sock";
  its.backend = "chat";
  return its;
}

TEST(ProxyShare, servers_are_named_after_their_hosts_unless_it_is_said_otherwise) {
  Sharing its = sharing();
  const auto usual = proxy_place(its, "berlin-1");
  ASSERT_TRUE(usual);
  EXPECT_EQ(usual->proxy_host, "berlin-1") << "each host speaks with its own";
  EXPECT_EQ(usual->share.socket, "/run/haproxy/admin.sock");
  EXPECT_EQ(usual->share.backend, "chat");
  EXPECT_EQ(usual->canary.host, "berlin-1");
  EXPECT_EQ(usual->canary.stable, "berlin-1");
  EXPECT_EQ(usual->canary.server, "berlin-1.canary");
  EXPECT_TRUE(usual->share.map_value.empty()) << "without a map";
  its.proxy_host = "edge-1";
  its.stable_server = "old-{host}-{host}";
  its.canary_server = "next";
  its.map = "/etc/haproxy/users.map";
  its.routed = {"alice"};
  const auto named = proxy_place(its, "berlin-1");
  EXPECT_EQ(named->proxy_host, "edge-1");
  EXPECT_EQ(named->canary.stable, "old-berlin-1-berlin-1");
  EXPECT_EQ(named->canary.server, "next");
  EXPECT_EQ(named->share.routed, std::vector<std::string>{"alice"});
  EXPECT_EQ(named->share.map_value, "canary");
  its.kind = Sharing::Kind::kernel;
  EXPECT_FALSE(proxy_place(its, "berlin-1"));
}

TEST(ProxyShare, is_that_of_its_canaries) {
  ProxyShare share;
  EXPECT_EQ(share.share_ppm(), 0U);
  share.canaries = {{.host = "a", .share_ppm = 0}, {.host = "b", .share_ppm = 100'000}};
  EXPECT_EQ(share.share_ppm(), 100'000U);
}

TEST(ProxyShare, holds_nothing_that_cannot_be_said_to_a_proxy) {
  ProxyShare fine = proxy_place(sharing(), "h")->share;
  fine.map = "/etc/haproxy/users.map";
  fine.map_value = "canary";
  fine.routed = {"alice", "bob"};
  fine.canaries = {{"h", "h.canary", "h", "chat-1.0.1", 100'000}};
  EXPECT_TRUE(check_share("chat", fine));
  EXPECT_TRUE(check_share("chat", {})) << "nothing is wanted any more";
  EXPECT_FALSE(check_share("../chat", fine));
  const std::function<void(ProxyShare&)> damages[] = {
      [](ProxyShare& share) { share.socket.clear(); },
      [](ProxyShare& share) { share.backend = "chat; shutdown sessions"; },
      [](ProxyShare& share) { share.map = "users.map\nshow info"; },
      [](ProxyShare& share) { share.map_value.clear(); },
      [](ProxyShare& share) { share.routed.emplace_back("a b"); },
      [](ProxyShare& share) { share.routed.resize(ProxyShare::kMaxRouted + 1, "x"); },
      [](ProxyShare& share) { share.canaries.front().server = "a\\b"; },
      [](ProxyShare& share) { share.canaries.front().stable = "#"; },
      [](ProxyShare& share) { share.canaries.front().share_ppm = kWholeShare + 1; },
      [](ProxyShare& share) { share.canaries.front().order.resize(kMaxOrderBytes + 1, 'x'); },
      [](ProxyShare& share) { share.canaries.push_back(share.canaries.front()); },
      [](ProxyShare& share) { share.canaries.resize(ProxyShare::kMaxCanaries + 1); }};
  for (const auto& damage : damages) {
    ProxyShare share = fine;
    damage(share);
    EXPECT_FALSE(check_share("chat", share));
  }
}

}  // namespace
}  // namespace segue::fleet
