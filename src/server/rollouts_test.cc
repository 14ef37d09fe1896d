// SPDX-License-Identifier: Apache-2.0
#include "server/rollouts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "server/test_server.h"

namespace segue::server {
namespace {

using fleet::Slot;
using testing::HasSubstr;

class RolloutsTest : public testing::Test {
 protected:
  void SetUp() override {
    server_.join("berlin-1");
    server_.join("berlin-2");
    ASSERT_EQ(server_.end_of(server_.deploy("1")), "done");
  }
  fleet::Revision wanted(const std::string& host) {
    const auto desired = server_.control->desired(host);
    const auto found = desired.instances.find({"hub", Slot::stable});
    return found == desired.instances.end() ? fleet::kNoRevision : found->second.revision;
  }
  unsigned tell(const std::string& rollout, const std::string& action) {
    return server_.ask("POST", fmt::format("/v1/rollouts/{}/{}", rollout, action)).status;
  }

  TestServer server_;
};

TEST_F(RolloutsTest, hosts_are_told_what_is_stored_with_its_specification) {
  (void)server_.deploy("2");
  server_.run_for(std::chrono::seconds(1));
  const auto desired = server_.control->desired("berlin-1");
  EXPECT_EQ(wanted("berlin-1"), 2U);
  EXPECT_THAT(desired.specs.at({"hub", 2}), HasSubstr("\"version\":\"2\""));
  EXPECT_GT(desired.generation, 0U);
}

TEST_F(RolloutsTest, the_same_again_is_no_rollout) {
  const auto answer = server_.ask("POST", "/v1/deployments", TestServer::deployment("1").dump());
  EXPECT_EQ(answer.status, 200U);
  EXPECT_EQ(answer.json.at("rollout"), "");
  const std::string rollout = server_.deploy("2");
  const auto again = server_.ask("POST", "/v1/deployments", TestServer::deployment("2").dump());
  EXPECT_EQ(again.status, 201U);
  EXPECT_EQ(again.json.at("rollout"), rollout);
}

TEST_F(RolloutsTest, what_is_being_undone_can_be_deployed_anew) {
  const std::string first = server_.deploy("2");
  server_.carry_out();
  ASSERT_EQ(tell(first, "undo"), 200U);
  ASSERT_EQ(server_.phase_of(first), "undoing");
  const std::string again = server_.deploy("2");
  EXPECT_NE(again, first);
  EXPECT_EQ(server_.phase_of(again), "waiting");
  EXPECT_EQ(server_.end_of(first), "undone");
  EXPECT_EQ(server_.end_of(again), "done");
  EXPECT_EQ(wanted("berlin-1"), 3U);
}

TEST_F(RolloutsTest, one_that_is_over_says_what_came_of_it) {
  const std::string rollout = server_.deploy("2");
  ASSERT_EQ(server_.end_of(rollout), "done");
  server_.restart();
  const auto shown = server_.ask("GET", "/v1/rollouts/" + rollout).json;
  const auto& step = shown.at("steps").at(0);
  EXPECT_EQ(step.at("moved"), 2) << shown;
  EXPECT_EQ(step.at("moving"), 0) << shown;
  EXPECT_EQ(step.at("state"), "done") << shown;
  EXPECT_TRUE(shown.at("noteworthy").empty()) << shown;
}

TEST_F(RolloutsTest, a_canary_slot_ends_with_its_last_connection_also_after_the_rollout) {
  const auto slot = [&] {
    const auto desired = server_.control->desired("berlin-1");
    return desired.instances.at({"hub", Slot::canary}).revision;
  };
  const auto attach = [&] {
    server_.restart();
    server_.attach("berlin-1");
    server_.attach("berlin-2");
  };
  const std::string rollout = server_.deploy_canary("2");
  ASSERT_TRUE(server_.run_until([&] {
    server_.carry_out();
    return server_.ask("GET", "/v1/rollouts/" + rollout).json.at("step_phase") == "baking";
  }));
  ASSERT_EQ(tell(rollout, "undo"), 200U);
  ASSERT_EQ(server_.end_of(rollout), "undone");
  server_.carry_out();
  EXPECT_EQ(slot(), 1U) << "it has connections";
  attach();
  server_.carry_out();
  server_.run_for(std::chrono::hours(1));
  EXPECT_EQ(slot(), 1U);
  server_.connections = 0;
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(slot(), fleet::kNoRevision);
  EXPECT_EQ(server_.phase_of(rollout), "undone");
  // Somebody connected before it could: it stays, until they have gone, too.
  server_.connections = 3;
  server_.carry_out(fleet::OrderResult::refused);
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(slot(), 1U);
  server_.connections = 0;
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(slot(), fleet::kNoRevision);
  // The next rollout begins while nobody has heard of that end.
  const std::string next = server_.deploy("3");
  EXPECT_EQ(server_.end_of(next), "done");
  for (int i = 0; i < 3; ++i) {
    server_.carry_out();
    server_.run_for(std::chrono::seconds(1));
  }
  EXPECT_EQ(slot(), fleet::kNoRevision);
  attach();
  EXPECT_EQ(server_.end_of(server_.deploy("4")), "done");
}

TEST_F(RolloutsTest, a_second_change_waits_for_the_first) {
  const std::string first = server_.deploy("2");
  const std::string second = server_.deploy("3");
  EXPECT_EQ(server_.phase_of(second), "waiting");
  server_.restart();
  server_.attach("berlin-1");
  server_.attach("berlin-2");
  EXPECT_EQ(server_.phase_of(second), "waiting");
  EXPECT_EQ(server_.end_of(first), "done");
  EXPECT_EQ(server_.end_of(second), "done");
  EXPECT_EQ(wanted("berlin-2"), 3U);
}

TEST_F(RolloutsTest, one_that_waits_is_undone_at_once_and_nothing_else_changes) {
  const std::string first = server_.deploy("2");
  const std::string second = server_.deploy("3");
  const std::string third = server_.deploy("4");
  server_.run_for(std::chrono::seconds(1));
  const auto before = server_.control->desired("berlin-1").generation;
  ASSERT_EQ(tell(second, "undo"), 200U);
  EXPECT_EQ(server_.phase_of(second), "undone");
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(server_.control->desired("berlin-1").generation, before);
  EXPECT_EQ(wanted("berlin-1"), 2U);
  // The first one is still under way: nobody begins beside it, also not in the next process.
  EXPECT_EQ(server_.phase_of(first), "running");
  EXPECT_EQ(server_.phase_of(third), "waiting");
  const auto current = [&] {
    return server_.ask("GET", "/v1/components").json.at("components").at(0).at("current");
  };
  EXPECT_EQ(current(), 1);
  for (int i = 0; i < 2; ++i) {
    const auto shown = server_.ask("GET", "/v1/rollouts/" + third).json;
    EXPECT_THAT(shown.at("waits_for").get<std::string>(), HasSubstr(first));
    server_.restart();
    server_.attach("berlin-1");
    server_.attach("berlin-2");
  }
  EXPECT_EQ(server_.phase_of(third), "waiting");
  ASSERT_EQ(tell(first, "undo"), 200U);
  EXPECT_EQ(server_.end_of(first), "undone");
  EXPECT_EQ(current(), 1);
  EXPECT_EQ(server_.end_of(third), "done");
  EXPECT_EQ(wanted("berlin-2"), 4U);
}

TEST_F(RolloutsTest, one_that_takes_the_place_of_one_that_waits_waits_for_what_that_waited_for) {
  const std::string first = server_.deploy("2");
  const std::string second = server_.deploy("3");
  auto body = TestServer::deployment("4");
  body["strategy"]["meanwhile"] = "supersede";
  const auto answer = server_.ask("POST", "/v1/deployments", body.dump());
  ASSERT_EQ(answer.status, 201U) << answer.json;
  const auto third = answer.json.at("rollout").get<std::string>();
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(server_.phase_of(second), "superseded");
  EXPECT_EQ(server_.phase_of(third), "waiting");
  EXPECT_EQ(wanted("berlin-1"), 2U);
  EXPECT_EQ(server_.end_of(first), "done");
  EXPECT_EQ(server_.end_of(third), "done");
}

TEST_F(RolloutsTest, a_process_that_ends_at_any_moment_is_followed_by_one_that_goes_on) {
  const std::string rollout = server_.deploy("2");
  for (int i = 0; i < 20; ++i) {
    server_.restart();
    server_.attach("berlin-1");
    server_.attach("berlin-2");
    server_.run_for(std::chrono::milliseconds(300 * i));
    if (i % 3 == 0) server_.carry_out();
  }
  EXPECT_EQ(server_.end_of(rollout), "done");
  EXPECT_EQ(server_.ask("GET", "/v1/components").json.at("components").at(0).at("current"), 2);
}

TEST_F(RolloutsTest, what_fails_is_taken_back) {
  const std::string rollout = server_.deploy("2");
  server_.carry_out(fleet::OrderResult::failed);
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(server_.end_of(rollout), "undone");
  EXPECT_EQ(wanted("berlin-1"), 1U);
  EXPECT_EQ(server_.ask("GET", "/v1/components").json.at("components").at(0).at("current"), 1);
}

TEST_F(RolloutsTest, one_that_is_over_can_be_undone_also_by_the_next_process) {
  const std::string rollout = server_.deploy("2");
  ASSERT_EQ(server_.end_of(rollout), "done");
  server_.restart();
  server_.attach("berlin-1");
  server_.attach("berlin-2");
  EXPECT_EQ(tell(rollout, "undo"), 200U);
  EXPECT_EQ(server_.phase_of(rollout), "undoing");
  EXPECT_EQ(server_.end_of(rollout), "undone");
  EXPECT_EQ(wanted("berlin-1"), 1U);
  EXPECT_EQ(tell(rollout, "undo"), 409U);
}

TEST_F(RolloutsTest, one_that_is_over_is_undone_after_what_came_after_it_and_never_beside_it) {
  const auto refusal = [&](const std::string& rollout) {
    const auto answer = server_.ask("POST", fmt::format("/v1/rollouts/{}/undo", rollout));
    EXPECT_EQ(answer.status, 409U) << answer.json;
    return answer.body;
  };
  const std::string second = server_.deploy("2");
  ASSERT_EQ(server_.end_of(second), "done");
  const std::string third = server_.deploy("3");
  EXPECT_THAT(refusal(second), HasSubstr(third + " of hub is running: undo that one first"));
  ASSERT_EQ(server_.end_of(third), "done");
  EXPECT_THAT(refusal(second), HasSubstr("come to revision 3 since"));
  EXPECT_EQ(wanted("berlin-1"), 3U);
  for (const auto& [rollout, revision] : {std::pair(third, 2U), std::pair(second, 1U)}) {
    ASSERT_EQ(tell(rollout, "undo"), 200U);
    ASSERT_EQ(server_.end_of(rollout), "undone");
    EXPECT_EQ(wanted("berlin-1"), revision);
  }
}

TEST_F(RolloutsTest, where_a_way_back_has_failed_what_it_led_to_is_wanted_and_people_go_on) {
  const auto current = [&] {
    return server_.ask("GET", "/v1/components").json.at("components").at(0).at("current");
  };
  const auto until_failed = [&](const std::string& rollout) {
    for (int i = 0; i < 100 && server_.phase_of(rollout) != "failed"; ++i) {
      server_.carry_out(fleet::OrderResult::failed);
      server_.run_for(std::chrono::seconds(5));
    }
    EXPECT_EQ(server_.phase_of(rollout), "failed");
    EXPECT_EQ(current(), 2);
  };
  const std::string second = server_.deploy("2");
  ASSERT_EQ(server_.end_of(second), "done");
  const std::string third = server_.deploy("3");
  ASSERT_EQ(server_.end_of(third), "done");
  ASSERT_EQ(current(), 3);
  ASSERT_EQ(tell(third, "undo"), 200U);
  until_failed(third);
  EXPECT_EQ(tell(third, "pause"), 409U);
  ASSERT_EQ(server_.ask("POST", "/v1/stop").status, 200U);
  ASSERT_EQ(tell(third, "undo"), 200U);
  EXPECT_EQ(server_.ask("GET", "/v1/rollouts/" + third).json.at("stopped"), true);
  ASSERT_EQ(server_.ask("POST", "/v1/stop", R"({"on": false})").status, 200U);
  until_failed(third);
  ASSERT_EQ(tell(second, "undo"), 200U);
  EXPECT_EQ(server_.end_of(second), "undone");
  EXPECT_EQ(wanted("berlin-1"), 1U);
  EXPECT_EQ(tell(third, "undo"), 409U) << "it would go forward";
}

TEST_F(RolloutsTest, an_undo_takes_along_what_others_have_brought_since) {
  const auto slot = [&](const std::string& host, Slot which) {
    const auto desired = server_.control->desired(host);
    const auto found = desired.instances.find({"hub", which});
    return found == desired.instances.end() ? fleet::kNoRevision : found->second.revision;
  };
  const std::string second = server_.deploy("2");
  ASSERT_EQ(server_.end_of(second), "done");
  // A host that joins, and a canary whose connections keep its slot there.
  server_.join("berlin-3");
  ASSERT_EQ(server_.end_of(server_.deploy("2")), "done");
  ASSERT_EQ(slot("berlin-3", Slot::stable), 2U);
  const std::string third = server_.deploy_canary("3");
  ASSERT_TRUE(server_.run_until([&] {
    server_.carry_out();
    return server_.ask("GET", "/v1/rollouts/" + third).json.at("step_phase") == "baking";
  }));
  ASSERT_EQ(tell(third, "undo"), 200U);
  ASSERT_EQ(server_.end_of(third), "undone");
  ASSERT_EQ(slot("berlin-1", Slot::canary), 2U);
  ASSERT_EQ(tell(second, "undo"), 200U);
  ASSERT_EQ(server_.end_of(second), "undone");
  for (const char* host : {"berlin-1", "berlin-2", "berlin-3"}) {
    EXPECT_EQ(slot(host, Slot::stable), 1U) << host;
    EXPECT_EQ(slot(host, Slot::canary), 1U) << host << ", with connections";
  }
  server_.connections = 0;
  server_.carry_out();
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(slot("berlin-1", Slot::canary), fleet::kNoRevision);
}

TEST_F(RolloutsTest, an_emergency_stop_holds_also_what_is_begun_during_it) {
  ASSERT_EQ(server_.ask("POST", "/v1/stop").status, 200U);
  const std::string rollout = server_.deploy("2");
  EXPECT_TRUE(server_.control->desired("berlin-1").stopped);
  server_.run_for(std::chrono::hours(2));
  const auto progress = server_.ask("GET", "/v1/rollouts/" + rollout).json;
  EXPECT_EQ(progress.at("stopped"), true);
  EXPECT_NE(progress.at("phase"), "undoing") << "no time counts";
  ASSERT_EQ(server_.ask("POST", "/v1/stop", R"({"on": false})").status, 200U);
  EXPECT_EQ(server_.end_of(rollout), "done");
}

TEST_F(RolloutsTest, a_host_that_joins_gets_what_the_others_have) {
  const std::string rollout = server_.deploy("2");
  server_.join("berlin-3");
  EXPECT_EQ(server_.end_of(rollout), "done");
  EXPECT_EQ(wanted("berlin-3"), 2U);
}

TEST_F(RolloutsTest, the_same_again_reaches_the_hosts_that_lack_it) {
  server_.join("berlin-3");
  ASSERT_EQ(server_.ask("POST", "/v1/hosts/berlin-2/drain", R"({"on": true})").status, 200U);
  EXPECT_EQ(server_.end_of(server_.deploy("2")), "done");
  EXPECT_EQ(wanted("berlin-2"), 1U);
  ASSERT_EQ(server_.ask("POST", "/v1/hosts/berlin-2/drain", R"({"on": false})").status, 200U);
  server_.join("berlin-4");
  const auto order = [&](const std::string& host) {
    const auto desired = server_.control->desired(host);
    return desired.instances.at({"hub", fleet::Slot::stable}).order;
  };
  const std::string before = order("berlin-1");

  const std::string rollout = server_.deploy("2");
  EXPECT_EQ(server_.end_of(rollout), "done");
  for (const auto* host : {"berlin-1", "berlin-2", "berlin-3", "berlin-4"}) {
    EXPECT_EQ(wanted(host), 2U) << host;
  }
  EXPECT_NE(order("berlin-1"), before) << "it is asked for what it has";
  ASSERT_EQ(tell(rollout, "undo"), 200U);
  EXPECT_EQ(server_.end_of(rollout), "undone");
  EXPECT_EQ(wanted("berlin-4"), 2U) << "nothing ran before";
  EXPECT_EQ(
      server_.ask("POST", "/v1/deployments", TestServer::deployment("2").dump()).json.at("rollout"),
      "");
}

TEST_F(RolloutsTest, tells_of_as_many_instances_as_it_is_asked_for_also_when_it_is_over) {
  const std::string rollout = server_.deploy("2");
  const std::string path = "/v1/rollouts/" + rollout;
  server_.run_for(std::chrono::seconds(1));
  auto progress = server_.ask("GET", path + "?instances=1").json;
  ASSERT_EQ(progress.at("instances").size(), 1U);
  EXPECT_EQ(progress.at("instances").at(0).at("standing"), "moving");
  EXPECT_EQ(progress.at("instances").at(0).at("activity"), "idle");
  EXPECT_EQ(progress.at("traffic").at("stable"), 6);
  EXPECT_TRUE(server_.ask("GET", path).json.at("instances").empty());
  EXPECT_EQ(server_.ask("GET", path + "?instances=x").status, 400U);
  ASSERT_EQ(server_.end_of(rollout), "done");
  server_.run_for(std::chrono::seconds(1));
  progress = server_.ask("GET", path + "?instances=1000000").json;
  ASSERT_EQ(progress.at("instances").size(), 2U);
  EXPECT_EQ(progress.at("instances").at(1).at("host"), "berlin-2");
  EXPECT_EQ(progress.at("instances").at(1).at("standing"), "good");
  EXPECT_EQ(progress.at("instances").at(1).at("revision"), 2);

  const auto of_step = [&](const std::string& more) {
    return server_.ask("GET", path + "/instances" + more).json;
  };
  ASSERT_EQ(of_step("?step=0").size(), 2U) << "as seen last";
  EXPECT_EQ(of_step("?step=0").at(1).at("revision"), 2);
  EXPECT_EQ(of_step("?step=0&first=1").size(), 1U);
  EXPECT_TRUE(of_step("?step=7").empty());
  server_.restart();
  EXPECT_EQ(of_step("").size(), 2U);
}

TEST_F(RolloutsTest, says_which_waves_have_no_hosts_also_of_a_dry_run) {
  const auto text_of = [&](TestServer::Json wanted, bool dry_run) {
    fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::rolling);
    strategy.waves = {{.selection = fleet::Selection::site, .word = "oslo"},
                      {.selection = fleet::Selection::site, .word = "berlin"}};
    wanted["strategy"] = TestServer::Json::parse(fleet::write_strategy(strategy));
    wanted["dry_run"] = dry_run;
    return server_.ask("POST", "/v1/deployments", wanted.dump()).json.at("text").get<std::string>();
  };
  const std::string missing = "no host of the component is of site 'oslo': that wave is left out";
  EXPECT_THAT(text_of(TestServer::deployment("2"), true), testing::HasSubstr(missing));
  EXPECT_THAT(text_of(TestServer::deployment("2"), false), testing::HasSubstr(missing));
  server_.join("oslo-1", "oslo");
  EXPECT_THAT(text_of(TestServer::deployment("3"), true), testing::Not(testing::HasSubstr("oslo")));
}

TEST_F(RolloutsTest, refuses_what_cannot_be) {
  EXPECT_EQ(tell("none-1", "pause"), 404U);
  EXPECT_EQ(tell("hub-1", "dance"), 404U);
  EXPECT_EQ(tell("hub-1", "resume"), 409U);
  EXPECT_EQ(server_.ask("GET", "/v1/rollouts/none-1").status, 404U);
  server_.run_for(std::chrono::seconds(1));
  EXPECT_EQ(server_.ask("GET", "/v1/rollouts/none-1/instances").status, 404U);
}

}  // namespace
}  // namespace segue::server
