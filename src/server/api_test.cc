// SPDX-License-Identifier: Apache-2.0
#include "server/api.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "fleet/audit.h"
#include "server/openapi.h"
#include "server/test_server.h"

namespace segue::server {
namespace {

using testing::HasSubstr;
using Json = nlohmann::json;

TEST(ApiDescription, has_every_route_and_no_other) {
  const Json document = Json::parse(openapi_document());
  std::set<std::string> described;
  for (const auto& [path, operations] : document.at("paths").items()) {
    for (const auto& [method, operation] : operations.items()) {
      std::string name = method;
      std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::toupper(c); });
      described.insert(name + " " + path);
    }
  }
  std::set<std::string> served;
  for (const auto& route : Api::routes()) {
    served.insert(fmt::format("{} {}", route.method, route.path));
  }
  EXPECT_EQ(described, served);
}

TEST(ApiDescription, says_the_right_of_every_route_and_names_what_it_leaves_open) {
  const Json document = Json::parse(openapi_document());
  for (const auto& route : Api::routes()) {
    std::string method = route.method;
    std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
    const Json& operation = document.at("paths").at(route.path).at(method);
    const std::string right(to_string(route.right));
    EXPECT_THAT(operation.at("description").get<std::string>(),
                HasSubstr(route.right == Right::view ? "right to view"
                                                     : fmt::format("the right '{}'", right)))
        << route.method << " " << route.path;
    std::set<std::string> named;
    for (const auto& parameter : operation.value("parameters", Json::array())) {
      if (parameter.at("in") == "path") {
        named.insert(fmt::format("{{{}}}", parameter.at("name").get<std::string>()));
      }
    }
    const auto rest = match_route(route.path, route.path);
    EXPECT_EQ(named, std::set<std::string>(rest->begin(), rest->end())) << route.path;
  }
}

void collect_references(const Json& json, std::set<std::string>& references) {
  if (json.is_object() && json.contains("$ref")) references.insert(json.at("$ref"));
  if (!json.is_structured()) return;
  for (const auto& member : json) collect_references(member, references);
}

TEST(ApiDescription, names_nothing_that_is_not_there_and_leaves_no_schema_unused) {
  const Json document = Json::parse(openapi_document());
  std::set<std::string> references;
  collect_references(document, references);
  for (const auto& reference : references) {
    EXPECT_TRUE(document.contains(Json::json_pointer(reference.substr(1)))) << reference;
  }
  for (const auto& [name, schema] : document.at("components").at("schemas").items()) {
    EXPECT_TRUE(references.contains("#/components/schemas/" + name)) << name;
  }
}

TEST(Api, gives_each_right_what_it_is_for_and_no_more) {
  TestServer server;
  const std::string viewer = server.set_person("vera", {});
  const std::string deployer = server.set_person("dan", {Right::deploy});
  for (const auto& route : Api::routes()) {
    if (route.right == Right::view) continue;
    EXPECT_EQ(server.ask(route.method, route.path, "", viewer).status, 403U) << route.path;
    if (route.right == Right::administer) {
      EXPECT_EQ(server.ask(route.method, route.path, "", deployer).status, 403U) << route.path;
    }
  }
  EXPECT_EQ(server.ask("GET", "/v1/hosts", "", viewer).status, 200U);
  EXPECT_EQ(server.ask("GET", "/v1/hosts", "", "segue-person-1.guessed").status, 401U);
}

TEST(Api, lets_a_person_deploy_the_components_that_are_theirs_alone) {
  TestServer server;
  server.join("berlin-1");
  const std::string hub = server.set_person("ci-hub", {Right::deploy}, {"hub"});
  const std::string web = server.set_person("ci-web", {Right::deploy}, {"web"});
  const std::string body = TestServer::deployment("1").dump();
  const auto refused = server.ask("POST", "/v1/deployments", body, web);
  EXPECT_EQ(refused.status, 403U);
  EXPECT_THAT(refused.body, HasSubstr("'hub'"));
  const std::string rollout = server.deploy("1", 0, hub);
  EXPECT_EQ(server.ask("POST", "/v1/rollouts/" + rollout + "/pause", "", web).status, 403U);
  EXPECT_EQ(server.ask("POST", "/v1/rollouts/" + rollout + "/pause", "", hub).status, 200U);
  for (const char* path : {"/v1/stop", "/v1/hosts/berlin-1/drain"}) {
    EXPECT_EQ(server.ask("POST", path, "", hub).status, 403U) << path;
  }
  EXPECT_EQ(
      server.ask("PUT", "/v1/people/eve", R"({"rights": ["administer"], "components": ["hub"]})")
          .status,
      400U);
}

TEST(Api, carries_a_request_out_once_however_often_it_comes) {
  TestServer server;
  server.join("berlin-1");
  const std::map<std::string, std::string> key{{"idempotency-key", "build-17"}};
  const std::string body = TestServer::deployment("1").dump();
  const auto first = server.ask("POST", "/v1/deployments", body, "", key);
  EXPECT_EQ(first.status, 201U);
  const std::string rollout = first.json.at("rollout");
  ASSERT_EQ(server.end_of(rollout), "done");
  ASSERT_EQ(server.end_of(server.deploy("2")), "done");

  // Late, and after another server has taken over: it would go back to version 1.
  server.restart();
  const auto again = server.ask("POST", "/v1/deployments", body, "", key);
  EXPECT_EQ(again.status, 200U);
  EXPECT_EQ(again.json.at("rollout"), rollout);
  EXPECT_EQ(again.json.at("repeated"), true);
  EXPECT_EQ(server.ask("GET", "/v1/rollouts").json.at("rollouts").size(), 2U);

  const auto other =
      server.ask("POST", "/v1/deployments", TestServer::deployment("3").dump(), "", key);
  EXPECT_EQ(other.status, 422U) << other.body;
  const std::string somebody = server.set_person("dan", {Right::deploy});
  EXPECT_EQ(server.ask("POST", "/v1/deployments", body, somebody, key).status, 201U);
  EXPECT_EQ(server.ask("POST", "/v1/deployments", body, "", {{"idempotency-key", ""}}).status,
            400U);
}

TEST(Api, says_what_would_be_rolled_out_and_changes_nothing) {
  TestServer server;
  server.join("berlin-1");
  server.join("oslo-1");
  Json body = TestServer::deployment("1");
  body["dry_run"] = true;
  const auto first = server.ask("POST", "/v1/deployments", body.dump());
  EXPECT_EQ(first.status, 200U) << first.body;
  EXPECT_EQ(first.json.at("rollout"), "");
  EXPECT_EQ(first.json.at("plan").at("steps").at(0).at("instances"), 2);
  EXPECT_EQ(first.json.at("plan").at("instances").at(1).at("host"), "oslo-1");
  EXPECT_TRUE(server.ask("GET", "/v1/rollouts").json.at("rollouts").empty());
  EXPECT_TRUE(server.ask("GET", "/v1/components").json.at("components").empty());

  const std::string rollout = server.deploy("1");
  EXPECT_EQ(server.ask("POST", "/v1/deployments", body.dump()).json.at("rollout"), rollout)
      << "it is under way";
  ASSERT_EQ(server.end_of(rollout), "done");
  EXPECT_FALSE(server.ask("POST", "/v1/deployments", body.dump()).json.contains("plan"))
      << "it runs";
  const std::map<std::string, std::string> key{{"idempotency-key", "build-17"}};
  const std::string path = "/v1/components/hub/deployments";
  const std::string wanted = R"({"version": "2", "dry_run": )";
  EXPECT_EQ(server.ask("POST", path, wanted + "true}", "", key).json.at("revision"), 2);
  EXPECT_EQ(server.ask("POST", path, wanted + "false}", "", key).json.at("rollout"), "hub-2");
}

TEST(Api, rolls_out_another_version_of_what_is_deployed) {
  TestServer server;
  server.join("berlin-1");
  const std::string path = "/v1/components/hub/deployments";
  EXPECT_EQ(server.ask("POST", path, R"({"version": "2"})").status, 404U);
  ASSERT_EQ(server.end_of(server.deploy("1")), "done");
  for (const char* wrong : {"{}", R"({"version": ""})", R"({"version": "../x"})",
                            R"({"version": "2", "moon": 1})", R"({"version": 2})", "[", "[]"}) {
    EXPECT_EQ(server.ask("POST", path, wrong).status, 400U) << wrong;
  }
  const auto answer = server.ask("POST", path, R"({"version": "2", "title": "build 17"})");
  ASSERT_EQ(answer.status, 201U) << answer.body;
  ASSERT_EQ(server.end_of(answer.json.at("rollout")), "done");
  const Json components = server.ask("GET", "/v1/components").json.at("components");
  EXPECT_EQ(components.at(0).at("version"), "2");
  EXPECT_EQ(components.at(0).at("current"), 2);
  EXPECT_EQ(server.ask("POST", path, R"({"version": "2"})").json.at("rollout"), "");
}

TEST(Api, lets_a_second_person_approve_and_not_the_author) {
  TestServer server;
  server.join("berlin-1");
  ASSERT_EQ(server.end_of(server.deploy("1")), "done");
  const std::string ada = server.set_person("ada", {Right::deploy, Right::approve});
  const std::string bob = server.set_person("bob", {Right::approve});
  const std::string rollout = server.deploy("2", 1, ada);
  const std::string approve = "/v1/rollouts/" + rollout + "/approve";
  server.run_for(std::chrono::minutes(10));
  EXPECT_EQ(server.phase_of(rollout), "running");
  EXPECT_THAT(server.ask("GET", "/v1/rollouts/" + rollout).body, HasSubstr("approv"));
  const auto own = server.ask("POST", approve, "", ada);
  EXPECT_EQ(own.status, 403U);
  EXPECT_THAT(own.body, HasSubstr("somebody else"));
  EXPECT_EQ(server.control->desired("berlin-1").instances.begin()->second.revision, 1U);
  EXPECT_EQ(server.ask("POST", approve, "", bob).status, 200U);
  EXPECT_EQ(server.end_of(rollout), "done");
  EXPECT_EQ(server.control->desired("berlin-1").instances.begin()->second.revision, 2U);
}

TEST(Api, gives_the_audit_log_as_it_can_be_verified) {
  TestServer server;
  server.join("berlin-1");
  ASSERT_EQ(server.end_of(server.deploy("1")), "done");
  fleet::AuditVerifier verifier;
  while (true) {
    const auto page = server.ask("GET", fmt::format("/v1/audit?after={}", verifier.count()));
    ASSERT_EQ(page.status, 200U);
    for (const auto& line : page.json.at("lines")) {
      const auto taken = verifier.take(line.get<std::string>());
      ASSERT_TRUE(taken) << taken.error().to_string();
    }
    if (page.json.at("more") == false) break;
  }
  const Json status = server.ask("GET", "/v1/status").json;
  EXPECT_EQ(status.at("audit_entries"), verifier.count());
  EXPECT_EQ(status.at("audit_digest"), verifier.digest());
  EXPECT_GT(verifier.count(), 4U);
}

TEST(Api, says_that_something_is_done_when_it_is_stored) {
  TestServer server;
  server.join("berlin-1");
  ASSERT_EQ(server.ask("POST", "/v1/hosts/berlin-1/drain").status, 200U);
  server.restart();  // with no time in between
  EXPECT_EQ(server.ask("GET", "/v1/hosts").json.at("hosts").at(0).at("drained"), true);
  ASSERT_EQ(server.ask("POST", "/v1/stop").status, 200U);
  server.restart();
  EXPECT_EQ(server.ask("GET", "/v1/status").json.at("stopped"), true);
}

TEST(Api, counts_for_prometheus) {
  TestServer server;
  server.join("berlin-1");
  ASSERT_EQ(server.end_of(server.deploy("1")), "done");
  (void)server.ask("GET", "/v1/moon");
  const std::string text = server.ask("GET", "/metrics").body;
  for (const char* line :
       {"segue_server_rollouts{phase=\"done\"} 1\n", "segue_server_rollouts{phase=\"failed\"} 0\n",
        "segue_server_hosts{state=\"heard\"} 1\n", "segue_server_agents_attached 1\n",
        "segue_server_instances{component=\"hub\",slot=\"stable\",health=\"good\"} 1\n",
        "segue_server_connections{component=\"hub\"} 3\n", "segue_server_stopped 0\n",
        "segue_server_requests_total{route=\"POST /v1/deployments\",status=\"201\"} 1\n",
        "segue_server_requests_total{route=\"\",status=\"404\"} 1\n",
        "# TYPE segue_server_store_seconds histogram\n"}) {
    EXPECT_THAT(text, HasSubstr(line));
  }
}

TEST(Api, removes_no_host_on_which_components_run_unless_it_is_forced) {
  TestServer server;
  server.join("berlin-1");
  ASSERT_EQ(server.end_of(server.deploy("1")), "done");
  const auto refused = server.ask("DELETE", "/v1/hosts/berlin-1");
  EXPECT_EQ(refused.status, 409U);
  EXPECT_THAT(refused.body, HasSubstr("berlin-1 runs hub"));
  EXPECT_EQ(server.ask("DELETE", "/v1/hosts/berlin-1?force=perhaps").status, 400U);
  EXPECT_EQ(server.ask("GET", "/v1/hosts").json.at("hosts").size(), 1U);
  EXPECT_EQ(server.ask("DELETE", "/v1/hosts/berlin-1?force=true").status, 200U);
  EXPECT_TRUE(server.ask("GET", "/v1/hosts").json.at("hosts").empty());
  EXPECT_TRUE(server.ask("GET", "/v1/instances").json.at("instances").empty());
  EXPECT_EQ(server.ask("DELETE", "/v1/hosts/berlin-1").status, 404U);
}

TEST(Api, shows_events_that_go_on_where_somebody_stopped_reading) {
  TestServer server;
  server.join("berlin-1");
  const std::string rollout = server.deploy("1");
  const Json all = server.ask("GET", "/v1/events").json;
  ASSERT_FALSE(all.at("events").empty());
  const auto last = all.at("last").get<std::uint64_t>();
  EXPECT_TRUE(
      server.ask("GET", fmt::format("/v1/events?after={}", last)).json.at("events").empty());
  const Json of = server.ask("GET", "/v1/events?object=" + rollout).json.at("events");
  for (const auto& event : of) {
    EXPECT_EQ(event.at("object"), rollout);
  }
  // Numbers of the next process are greater, so that nothing that it says is passed over.
  server.run_for(std::chrono::seconds(1));
  server.restart();
  (void)server.ask("POST", "/v1/rollouts/" + rollout + "/pause");
  const Json more = server.ask("GET", fmt::format("/v1/events?after={}", last)).json.at("events");
  ASSERT_FALSE(more.empty());
  EXPECT_GT(more.at(0).at("number"), last);
}

}  // namespace
}  // namespace segue::server
