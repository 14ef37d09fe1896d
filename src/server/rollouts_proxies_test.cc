// SPDX-License-Identifier: Apache-2.0
// Rollouts of what stands behind a proxy, of which the agent of `edge` speaks.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/rollouts.h"
#include "server/test_server.h"

namespace segue::server {
namespace {

using fleet::Slot;
using Json = TestServer::Json;

class ProxiedRollouts : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* host : {"berlin-1", "berlin-2", "edge"}) server_.join(host);
  }

  static fleet::ComponentSpec spec(const std::string& version, bool proxied = true) {
    fleet::ComponentSpec spec = fleet::process_component();
    spec.release.version = version;
    spec.hosts.names = {"berlin-1", "berlin-2"};
    if (!proxied) return spec;
    spec.sharing.kind = fleet::Sharing::Kind::haproxy;
    spec.sharing.proxy_host = "edge";
    spec.sharing.proxy_socket = "/run/haproxy/admin.sock";
    spec.sharing.backend = "hub";
    return spec;
  }
  static fleet::Strategy at_once() {
    fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::all_at_once);
    strategy.limits.bake = std::chrono::milliseconds(0);
    strategy.late_watch = std::chrono::milliseconds(0);
    return strategy;
  }
  std::string deploy(const fleet::ComponentSpec& spec, const fleet::Strategy& strategy) {
    const auto answer = server_.ask("POST", "/v1/deployments",
                                    Json{{"component", Json::parse(fleet::write_component(spec))},
                                         {"strategy", Json::parse(fleet::write_strategy(strategy))}}
                                        .dump());
    EXPECT_EQ(answer.status, 201U) << answer.body;
    return answer.json.value("rollout", "");
  }
  void roll_out(const fleet::ComponentSpec& spec) {
    ASSERT_EQ(server_.end_of(deploy(spec, at_once())), "done");
  }
  // Half of new connections, until somebody says otherwise.
  std::string begin_canary(const fleet::ComponentSpec& spec) {
    fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::canary);
    strategy.canary.split = fleet::Split::proxy;
    strategy.limits.max_unavailable = fleet::hosts(2);
    strategy.canary.steps = {{.share_ppm = fleet::kWholeShare / 2, .limits = strategy.limits}};
    strategy.canary.steps.front().limits.bake = std::chrono::hours(1);
    const std::string rollout = deploy(spec, strategy);
    EXPECT_TRUE(server_.run_until([&] {
      server_.carry_out();
      return server_.ask("GET", "/v1/rollouts/" + rollout).json.at("step_phase") == "baking";
    }));
    return rollout;
  }
  fleet::ProxyShare share() {
    const auto desired = server_.control->desired("edge");
    const auto found = desired.shares.find("hub");
    return found == desired.shares.end() ? fleet::ProxyShare{} : found->second;
  }
  fleet::Assignment wanted(const std::string& host, Slot slot = Slot::stable) {
    return server_.control->desired(host).instances[{"hub", slot}];
  }
  void restart(bool with_edge = true) {
    server_.restart();
    for (const char* host : {"berlin-1", "berlin-2"}) server_.attach(host);
    if (with_edge) server_.attach("edge");
  }

  TestServer server_;
};

TEST_F(ProxiedRollouts,
       a_stable_slot_ends_once_nobody_is_sent_there_and_is_sent_to_when_it_is_back) {
  roll_out(spec("1"));
  EXPECT_TRUE(share().is_empty()) << "that somebody serves is none of the proxy's business";
  server_.proxies_answer = false;
  auto fewer = spec("2");
  fewer.hosts.names = {"berlin-1"};
  const std::string rollout = deploy(fewer, at_once());
  for (int i = 0; i < 3; ++i) {
    server_.carry_out();
    server_.run_for(std::chrono::seconds(1));
    ASSERT_EQ(share().canaries.size(), 1U);
    EXPECT_EQ(share().canaries.front().server, "berlin-2");
    EXPECT_EQ(share().canaries.front().share_ppm, 0U);
    EXPECT_EQ(wanted("berlin-2").revision, 1U);
    EXPECT_EQ(server_.phase_of(rollout), "running");
    if (i == 1) restart();
  }
  const auto before = server_.control->desired("berlin-2").generation;
  server_.proxies_answer = true;
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(wanted("berlin-2").revision, fleet::kNoRevision);
  EXPECT_GT(server_.control->desired("berlin-2").generation, before);
  EXPECT_EQ(server_.end_of(rollout), "done");
  restart();
  EXPECT_EQ(share().canaries.front().server, "berlin-2") << "also after a reload of the proxy";
  roll_out(spec("3"));
  EXPECT_TRUE(share().canaries.empty());
  EXPECT_EQ(share().readied, std::vector<std::string>{"berlin-2"});
  restart();
  EXPECT_EQ(share().readied, std::vector<std::string>{"berlin-2"});
}

TEST_F(ProxiedRollouts, the_end_of_a_stable_slot_does_not_wait_for_a_proxy_of_which_nobody_speaks) {
  roll_out(spec("1"));
  auto fewer = spec("2");
  fewer.hosts.names = {"berlin-1"};
  server_.proxies_answer = false;
  const std::string rollout = deploy(fewer, at_once());
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  ASSERT_EQ(share().canaries.size(), 1U);
  EXPECT_EQ(wanted("berlin-2").revision, 1U);
  restart(false);
  ASSERT_EQ(server_.end_of(rollout), "done");
  EXPECT_EQ(wanted("berlin-2").revision, fleet::kNoRevision);
}

TEST_F(ProxiedRollouts, a_stable_slot_that_is_to_stay_after_all_stays) {
  roll_out(spec("1"));
  server_.proxies_answer = false;
  auto fewer = spec("2");
  fewer.hosts.names = {"berlin-1"};
  const std::string rollout = deploy(fewer, at_once());
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  ASSERT_EQ(share().canaries.size(), 1U);
  ASSERT_EQ(server_.ask("POST", "/v1/rollouts/" + rollout + "/undo").status, 200U);
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(wanted("berlin-2").revision, 1U);
  EXPECT_EQ(share().readied, std::vector<std::string>{"berlin-2"});
  EXPECT_EQ(server_.end_of(rollout), "undone");
}

TEST_F(ProxiedRollouts, nobody_new_is_sent_to_the_canary_of_a_host_that_was_removed) {
  roll_out(spec("1"));
  const std::string rollout = begin_canary(spec("2"));
  ASSERT_EQ(share().canaries.size(), 2U);
  EXPECT_EQ(share().canaries[1].share_ppm, fleet::kWholeShare / 2);
  const auto before = server_.control->desired("edge").generation;
  ASSERT_EQ(server_.ask("DELETE", "/v1/hosts/berlin-2?force=true").status, 200U);
  server_.run_for(std::chrono::seconds(1));
  for (int i = 0; i < 2; ++i) {
    ASSERT_EQ(share().canaries.size(), 2U);
    EXPECT_EQ(share().canaries[0].share_ppm, fleet::kWholeShare / 2);
    EXPECT_EQ(share().canaries[1].share_ppm, 0U);
    EXPECT_GT(server_.control->desired("edge").generation, before);
    server_.restart();
    server_.attach("berlin-1");
    server_.attach("edge");
  }
  ASSERT_EQ(server_.ask("POST", "/v1/rollouts/" + rollout + "/promote").status, 200U);
  EXPECT_TRUE(server_.run_until([&] {
    server_.carry_out();
    return server_.phase_of(rollout) == "watching";
  }));
}

TEST_F(ProxiedRollouts,
       a_restart_forgets_no_proxy_of_a_canary_that_has_gone_back_to_a_revision_without_one) {
  roll_out(spec("1", false));
  const std::string rollout = begin_canary(spec("2"));
  ASSERT_EQ(server_.ask("POST", "/v1/rollouts/" + rollout + "/undo").status, 200U);
  for (int i = 0; i < 10; ++i) {
    server_.carry_out();
    server_.run_for(std::chrono::seconds(5));
    restart();
  }
  ASSERT_EQ(server_.end_of(rollout), "undone");
  restart();
  EXPECT_EQ(wanted("berlin-1", Slot::canary).revision, 1U) << "it has connections";
  ASSERT_EQ(share().canaries.size(), 2U);
  EXPECT_EQ(share().canaries[0].server, "berlin-1.canary");
  EXPECT_EQ(share().canaries[0].share_ppm, 0U);
  server_.connections = 0;
  server_.proxies_answer = false;
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(wanted("berlin-1", Slot::canary).revision, 1U) << "somebody may be sent there";
  server_.proxies_answer = true;
  for (int i = 0; i < 3; ++i) {
    server_.carry_out();
    server_.run_for(std::chrono::seconds(1));
  }
  EXPECT_EQ(wanted("berlin-1", Slot::canary).revision, fleet::kNoRevision);
  EXPECT_TRUE(share().is_empty());
}

}  // namespace
}  // namespace segue::server
