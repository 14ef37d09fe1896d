// SPDX-License-Identifier: Apache-2.0
#include "server/proxy_shares.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::server {
namespace {

using fleet::InstanceId;
using fleet::OrderResult;
using fleet::Slot;
using testing::HasSubstr;

const InstanceId kCanary{"h1", "chat", Slot::canary};
const InstanceId kOther{"h2", "chat", Slot::canary};

fleet::ComponentSpec spec(const std::string& proxy_host) {
  fleet::ComponentSpec spec;
  spec.name = "chat";
  spec.sharing.kind = fleet::Sharing::Kind::haproxy;
  spec.sharing.proxy_host = proxy_host;
  spec.sharing.proxy_socket = "/run/haproxy/admin.sock";
  spec.sharing.backend = "chat";
  return spec;
}

fleet::Observation done(const std::string& order) {
  return {.revision = 5, .order = order, .result = OrderResult::done};
}

// What the proxy's host says of the canary on h1.
fleet::ObservedHost says(const std::string& order, OrderResult result, std::uint64_t open = 0) {
  fleet::ObservedHost host;
  host.shares["chat"] = {.result = result, .text = "as told", .canaries = {{"h1", order, open}}};
  return host;
}

TEST(ProxyShares, one_proxy_is_told_of_the_canaries_of_all_hosts) {
  ProxyShares proxies;
  const auto central = spec("edge");
  EXPECT_EQ(proxies.assigned(kCanary, {.revision = 5, .order = "a"}, &central),
            std::set<std::string>{"edge"});
  proxies.assigned(kOther, {.revision = 5, .order = "b", .share_ppm = 100'000}, &central);
  proxies.assigned({"h1", "chat", Slot::stable}, {.revision = 4}, &central);
  EXPECT_TRUE(proxies.of("h1").empty());
  const auto shares = proxies.of("edge");
  ASSERT_EQ(shares.size(), 1U);
  const fleet::ProxyShare& share = shares.at("chat");
  EXPECT_TRUE(fleet::check_share("chat", share));
  ASSERT_EQ(share.canaries.size(), 2U);
  EXPECT_EQ(share.canaries[0].order, "a");
  EXPECT_EQ(share.canaries[1].server, "h2.canary");
  EXPECT_EQ(share.share_ppm(), 100'000U);
  EXPECT_EQ(proxies.behind("edge", "chat"), (std::set<InstanceId>{kCanary, kOther}));
  // The slot ends: nobody is to do anything for it.
  EXPECT_EQ(proxies.assigned(kOther, {.order = "c"}, nullptr), std::set<std::string>{"edge"});
  EXPECT_EQ(proxies.of("edge").at("chat").canaries.size(), 1U);
  EXPECT_TRUE(proxies.proxy_host(kOther).empty());
}

TEST(ProxyShares, a_proxy_on_each_host_is_told_of_its_own_canary) {
  ProxyShares proxies;
  const auto own = spec("");
  EXPECT_TRUE(proxies.assigned(kCanary, {.revision = 5, .order = "a"}, &own).empty());
  proxies.assigned(kOther, {.revision = 5, .order = "b"}, &own);
  EXPECT_EQ(proxies.of("h1").at("chat").canaries.size(), 1U);
  EXPECT_EQ(proxies.of("h2").at("chat").canaries.front().host, "h2");
  EXPECT_EQ(proxies.proxy_host(kCanary), "h1");
}

TEST(ProxyShares, what_is_elsewhere_now_is_told_to_both) {
  ProxyShares proxies;
  const auto before = spec("edge-1");
  const auto after = spec("edge-2");
  proxies.assigned(kCanary, {.revision = 5, .order = "a"}, &before);
  EXPECT_EQ(proxies.assigned(kCanary, {.revision = 6, .order = "b"}, &after),
            (std::set<std::string>{"edge-1", "edge-2"}));
  EXPECT_TRUE(proxies.of("edge-1").empty());
}

TEST(ProxyShares, a_canary_of_a_revision_without_a_proxy_is_the_matter_of_the_one_before) {
  const auto has_proxy = [](fleet::Revision revision) { return revision == 5 || revision == 6; };
  const auto after = [&](const fleet::Assignment& before, fleet::Revision revision) {
    return proxied_after(kCanary, &before, {.revision = revision}, has_proxy);
  };
  EXPECT_EQ(proxied_after(kCanary, nullptr, {.revision = 4}, has_proxy), 0U);
  EXPECT_EQ(after({.revision = 5}, 4), 5U);
  EXPECT_EQ(after({.revision = 4, .proxied = 5}, 3), 5U);
  EXPECT_EQ(after({.revision = 4, .proxied = 5}, 6), 0U) << "it says so itself";
  EXPECT_EQ(after({.revision = 4, .proxied = 5}, 0), 0U) << "it has ended";
  EXPECT_EQ(after({.revision = 4}, 3), 0U);
  EXPECT_EQ(proxied_of({.revision = 4, .proxied = 5}), 5U);
  EXPECT_EQ(proxied_of({.revision = 4}), 4U);
  ProxyShares proxies;
  const auto central = spec("edge");
  proxies.assigned(kCanary, {.revision = 4, .order = "c", .proxied = 5}, &central);
  EXPECT_EQ(proxies.of("edge").at("chat").canaries.front().order, "c");
}

const InstanceId kStable{"h1", "chat", Slot::stable};

TEST(ProxyShares, what_a_proxy_has_to_do_with_a_stable_slot_is_its_end_and_its_return) {
  const auto has_proxy = [](fleet::Revision revision) { return revision == 5 || revision == 6; };
  const auto after = [&](const fleet::Assignment& before, fleet::Revision revision) {
    return proxied_after(kStable, &before, {.revision = revision}, has_proxy);
  };
  EXPECT_EQ(after({.revision = 5}, 6), 0U) << "that somebody serves is none of its business";
  EXPECT_EQ(after({.revision = 5}, 0), 5U);
  EXPECT_EQ(after({.revision = 4}, 0), 0U);
  EXPECT_EQ(after({.proxied = 5}, 0), 5U);
  EXPECT_EQ(after({.proxied = 5}, 6), 6U) << "it was drained";
  EXPECT_EQ(after({.revision = 6, .proxied = 6}, 5), 5U);
  EXPECT_EQ(after({.revision = 5, .proxied = 5, .ends = "z"}, 6), 6U);
  EXPECT_EQ(after({.proxied = 5}, 4), 0U);
}

TEST(ProxyShares, a_stable_slot_ends_once_its_proxy_was_spoken_with) {
  ProxyShares proxies;
  const auto central = spec("edge");
  proxies.assigned(kCanary, {.revision = 5, .order = "a", .share_ppm = 10'000}, &central);
  proxies.assigned(kStable, {.revision = 5, .order = "s"}, &central);
  EXPECT_EQ(proxies.of("edge").at("chat").canaries.size(), 1U);
  EXPECT_TRUE(proxies.may_end(kStable, nullptr, false)) << "no proxy has to do with it";
  proxies.assigned(kStable, {.revision = 5, .order = "s", .proxied = 5, .ends = "t"}, &central);
  const auto share = proxies.of("edge").at("chat");
  EXPECT_TRUE(fleet::check_share("chat", share));
  ASSERT_EQ(share.canaries.size(), 2U);
  EXPECT_EQ(share.canaries[1], (fleet::ProxyCanary{"h1", "h1", "", "t", 0}));
  EXPECT_EQ(share.share_ppm(), 10'000U);
  EXPECT_FALSE(proxies.may_end(kStable, nullptr, false));
  auto seen = says("a", OrderResult::done);
  EXPECT_FALSE(proxies.may_end(kStable, &seen, false));
  EXPECT_TRUE(proxies.may_end(kStable, &seen, true)) << "a silent one is not waited for";
  seen.shares["chat"].canaries.push_back({"h1", "t", 9});
  seen.shares["chat"].result = OrderResult::under_way;
  EXPECT_TRUE(proxies.may_end(kStable, &seen, false)) << "what it has goes on until it is stopped";
  // The canary beside it is told from it.
  EXPECT_TRUE(proxies.look(kCanary, done("a"), &seen, false, false).may_be_sent_to);
  EXPECT_EQ(proxies.look(kStable, done("t"), &seen, false, false).observation, done("t"));
  // It stays drained, is nothing that people have to see, and serves when it is back.
  proxies.assigned(kCanary, {.order = "b"}, nullptr);
  proxies.assigned(kStable, {.order = "t", .proxied = 5}, &central);
  EXPECT_EQ(proxies.of("edge").at("chat").canaries.front().order, "t");
  EXPECT_TRUE(proxies.progress("chat", [](const auto&) { return nullptr; }).empty());
  proxies.assigned(kStable, {.revision = 6, .order = "u", .proxied = 6}, &central);
  EXPECT_TRUE(proxies.of("edge").at("chat").canaries.empty());
  EXPECT_EQ(proxies.of("edge").at("chat").readied, std::vector<std::string>{"h1"});
}

TEST(ProxyShares, nobody_new_is_sent_to_a_canary_that_nobody_leads) {
  ProxyShares proxies;
  const auto central = spec("edge");
  proxies.assigned(kCanary, {.revision = 5, .order = "a", .share_ppm = 10'000}, &central);
  proxies.assigned(kOther, {.revision = 5, .order = "b", .share_ppm = 10'000}, &central);
  EXPECT_EQ(proxies.left("h1", true), std::set<std::string>{"edge"});
  EXPECT_TRUE(proxies.left("h1", true).empty());
  auto share = proxies.of("edge").at("chat");
  EXPECT_EQ(share.canaries[0].share_ppm, 0U);
  EXPECT_EQ(share.canaries[1].share_ppm, 10'000U);
  EXPECT_TRUE(proxies.left("h2", false).empty());
  EXPECT_EQ(proxies.left("h1", false), std::set<std::string>{"edge"});
  EXPECT_EQ(proxies.of("edge").at("chat").canaries[0].share_ppm, 10'000U);
}

TEST(ProxyShares, an_order_is_done_once_the_proxy_does_it) {
  ProxyShares proxies;
  const auto central = spec("edge");
  proxies.assigned(kCanary, {.revision = 5, .order = "a", .share_ppm = 100'000}, &central);
  auto look = proxies.look(kCanary, done("a"), nullptr, false, false);
  EXPECT_EQ(look.observation.result, OrderResult::under_way);
  EXPECT_THAT(look.observation.text, HasSubstr("edge"));
  EXPECT_TRUE(look.may_be_sent_to);
  const auto earlier = says("z", OrderResult::done);
  EXPECT_EQ(proxies.look(kCanary, done("a"), &earlier, false, false).observation.result,
            OrderResult::under_way);
  const auto trying = says("a", OrderResult::under_way);
  look = proxies.look(kCanary, done("a"), &trying, false, false);
  EXPECT_EQ(look.observation.result, OrderResult::under_way);
  EXPECT_THAT(look.observation.text, HasSubstr("as told"));
  EXPECT_THAT(proxies.look(kCanary, done("a"), &trying, true, false).observation.text,
              HasSubstr("silent"));
  const auto refused = says("a", OrderResult::refused);
  EXPECT_EQ(proxies.look(kCanary, done("a"), &refused, false, false).observation.result,
            OrderResult::refused);
  const auto stands = says("a", OrderResult::done);
  look = proxies.look(kCanary, done("a"), &stands, false, false);
  EXPECT_EQ(look.observation.result, OrderResult::done);
  EXPECT_TRUE(look.may_be_sent_to) << "it has a share";
  // What is not about this order, or not done, is as it was seen.
  EXPECT_EQ(proxies.look(kCanary, done("y"), &trying, false, false).observation.result,
            OrderResult::done);
}

TEST(ProxyShares, a_slot_may_end_when_nobody_is_sent_there_and_nobody_is_left) {
  ProxyShares proxies;
  const auto central = spec("edge");
  proxies.assigned(kCanary, {.revision = 5, .order = "b"}, &central);
  const auto may_be_sent_to = [&](const fleet::ObservedHost& seen) {
    return proxies.look(kCanary, done("b"), &seen, false, false).may_be_sent_to;
  };
  EXPECT_TRUE(may_be_sent_to(says("b", OrderResult::under_way)));
  EXPECT_TRUE(may_be_sent_to(says("a", OrderResult::done)));
  EXPECT_TRUE(may_be_sent_to(says("b", OrderResult::done, 1)));
  EXPECT_FALSE(may_be_sent_to(says("b", OrderResult::done)));
  EXPECT_FALSE(proxies.look(kOther, done("b"), nullptr, false, false).may_be_sent_to);
}

TEST(ProxyShares, on_the_way_back_a_proxy_that_is_not_there_is_not_waited_for) {
  ProxyShares proxies;
  const auto central = spec("edge");
  proxies.assigned(kCanary, {.revision = 4, .order = "c"}, &central);
  const auto result = [&](const fleet::ObservedHost& seen, bool is_silent) {
    return proxies.look(kCanary, done("c"), &seen, is_silent, true).observation.result;
  };
  EXPECT_EQ(result(says("b", OrderResult::done), false), OrderResult::under_way)
      << "it is about to hear of it";
  EXPECT_EQ(result(says("c", OrderResult::under_way), false), OrderResult::done);
  EXPECT_EQ(result(says("b", OrderResult::done), true), OrderResult::done);
}

TEST(ProxyShares, people_see_first_what_does_not_stand) {
  ProxyShares proxies;
  const auto own = spec("");
  proxies.assigned(kCanary, {.revision = 5, .order = "a", .share_ppm = 10'000}, &own);
  proxies.assigned(kOther, {.revision = 5, .order = "b", .share_ppm = 10'000}, &own);
  const auto stands = says("a", OrderResult::done);
  const auto shares = proxies.progress(
      "chat", [&](const std::string& host) { return host == "h1" ? &stands : nullptr; });
  ASSERT_EQ(shares.size(), 2U);
  EXPECT_EQ(shares[0].proxy_host, "h2");
  EXPECT_EQ(shares[1].seen.result, OrderResult::done);
  EXPECT_EQ(shares[1].share_ppm, 10'000U);
  EXPECT_TRUE(proxies.progress("other", [](const auto&) { return nullptr; }).empty());
}

}  // namespace
}  // namespace segue::server
