// SPDX-License-Identifier: Apache-2.0
#include "fleet/component_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "fleet/image_name.h"
#include "fleet/test_components.h"

namespace segue::fleet {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

using Change = std::function<void(ComponentSpec&)>;

std::vector<std::string> fields_of(const ComponentSpec& spec) {
  std::vector<std::string> fields;
  for (const auto& problem : problems_of(spec)) {
    EXPECT_FALSE(problem.text.empty());
    fields.push_back(problem.field);
  }
  return fields;
}

std::vector<std::string> of_process(const Change& change) {
  ComponentSpec spec = process_component();
  change(spec);
  return fields_of(spec);
}

std::vector<std::string> of_container(const Change& change) {
  ComponentSpec spec = whole_component();
  change(spec);
  return fields_of(spec);
}

TEST(ComponentCheck, finds_nothing_wrong_with_what_is_right) {
  EXPECT_THAT(fields_of(process_component()), IsEmpty());
  EXPECT_THAT(fields_of(whole_component()), IsEmpty());
  EXPECT_TRUE(check_component(whole_component()));
}

TEST(ComponentCheck, names_the_field_of_each_problem_in_order) {
  ComponentSpec spec = whole_component();
  spec.name = "a/b";
  spec.volumes[1].target = "relative";
  spec.limits.cpu_thousandths = 1;
  EXPECT_THAT(fields_of(spec), ElementsAre("name", "volumes[1].target", "limits.cpu_thousandths"));
  const auto checked = check_component(spec);
  ASSERT_FALSE(checked);
  EXPECT_EQ(checked.error().code(), base::ErrorCode::invalid_argument);
  EXPECT_TRUE(checked.error().message().starts_with("name: ")) << checked.error().message();
}

TEST(ComponentCheck, wants_a_release_from_one_place) {
  EXPECT_THAT(of_process([](auto& spec) { spec.release.library.clear(); }),
              ElementsAre("release.library"));
  EXPECT_THAT(of_process([](auto& spec) { spec.release.library = "ftp://host/"; }),
              ElementsAre("release.library"));
  EXPECT_THAT(of_process([](auto& spec) { spec.release.library = "https:///path"; }),
              ElementsAre("release.library"));
  EXPECT_THAT(of_process([](auto& spec) { spec.release.version = ""; }),
              ElementsAre("release.version"));
  EXPECT_THAT(of_process([](auto& spec) { spec.release.root = "root.json"; }),
              ElementsAre("release.root"));
  EXPECT_THAT(of_process([](auto& spec) { spec.release = {.registry = "redis"}; }),
              ElementsAre("release.registry"));
  EXPECT_THAT(of_container([](auto& spec) { spec.release.registry = "redis"; }),
              ElementsAre("release"));
  EXPECT_THAT(of_container([](auto& spec) { spec.release = {.registry = "redis:7"}; }), IsEmpty());
}

TEST(ComponentCheck, keeps_a_process_to_what_a_process_can_have) {
  EXPECT_THAT(of_process([](auto& spec) { spec.command.clear(); }), ElementsAre("command"));
  EXPECT_THAT(of_process([](auto& spec) { spec.command = {"/bin/sh"}; }),
              ElementsAre("command[0]"));
  EXPECT_THAT(of_process([](auto& spec) { spec.command = {"bin/../../sh"}; }),
              ElementsAre("command[0]"));
  EXPECT_THAT(of_process([](auto& spec) { spec.volumes = {{"/a", "/b"}}; }),
              ElementsAre("volumes"));
  EXPECT_THAT(of_process([](auto& spec) { spec.network = Network::none; }), ElementsAre("network"));
  EXPECT_THAT(of_process([](auto& spec) { spec.ports = {{"::1", 1, 1}}; }), ElementsAre("ports"));
  EXPECT_THAT(of_process([](auto& spec) { spec.capabilities = {"KILL"}; }),
              ElementsAre("capabilities"));
}

TEST(ComponentCheck, knows_what_stands_twice) {
  EXPECT_THAT(of_process([](auto& spec) { spec.environment = {"A=1", "A=2"}; }),
              ElementsAre("environment[1]"));
  EXPECT_THAT(of_container([](auto& spec) { spec.secrets[1].name = "token"; }),
              ElementsAre("secrets[1].name"));
  EXPECT_THAT(of_container([](auto& spec) { spec.volumes[1].target = "/data"; }),
              ElementsAre("volumes[1].target"));
  EXPECT_THAT(of_container([](auto& spec) { spec.ports.push_back(spec.ports[0]); }),
              ElementsAre("ports[2].host_port"));
  EXPECT_THAT(of_container([](auto& spec) { spec.capabilities.push_back("NET_BIND_SERVICE"); }),
              ElementsAre("capabilities[1]"));
  EXPECT_THAT(of_container([](auto& spec) { spec.hosts.sites = {"oslo", "oslo"}; }),
              ElementsAre("hosts.sites[1]"));
}

TEST(ComponentCheck, bounds_numbers_and_lists) {
  EXPECT_THAT(of_process([](auto& spec) { spec.limits.memory_bytes = 1'000; }),
              ElementsAre("limits.memory_bytes"));
  EXPECT_THAT(of_process([](auto& spec) { spec.limits.descriptors = 2'000'000; }),
              ElementsAre("limits.descriptors"));
  EXPECT_THAT(of_process([](auto& spec) { spec.health.bad_in_row = 0; }),
              ElementsAre("health.bad_in_row"));
  EXPECT_THAT(of_process([](auto& spec) { spec.command.resize(kMaxWords + 1, "x"); }),
              ElementsAre("command"));
  EXPECT_THAT(
      of_process([](auto& spec) { spec.command.push_back(std::string(kMaxLaunchBytes, 'x')); }),
      ElementsAre("environment"));
  EXPECT_THAT(
      of_container([](auto& spec) { spec.secrets.assign(kMaxPlaces + 1, {"token", "/token"}); }),
      ElementsAre("secrets"));
  EXPECT_THAT(of_process([](auto& spec) {
                // Each word is within its bound; written as JSON they are six times as long.
                spec.command.push_back(std::string(kMaxLaunchBytes - 100, '\x01'));
              }),
              ElementsAre(""));
}

TEST(ComponentCheck, wants_text_that_can_be_written_down) {
  EXPECT_THAT(of_process([](auto& spec) { spec.command.emplace_back("\xff"); }),
              ElementsAre(StartsWith("command[")));
  EXPECT_THAT(of_process([](auto& spec) { spec.environment = {std::string("A=\0", 3)}; }),
              ElementsAre("environment[0]"));
  EXPECT_THAT(of_process([](auto& spec) { spec.environment = {"SEGUE_FD=1"}; }),
              ElementsAre("environment[0]"));
}

TEST(ComponentCheck, wants_a_health_check_of_its_kind) {
  const auto checked = [](HealthCheck::Kind kind, const char* target) {
    return of_process([&](auto& spec) {
      spec.health.kind = kind;
      spec.health.target = target;
    });
  };
  using Kind = HealthCheck::Kind;
  EXPECT_THAT(checked(Kind::none, "x"), ElementsAre("health.target"));
  EXPECT_THAT(checked(Kind::http, "http://127.0.0.1:80/ok"), IsEmpty());
  EXPECT_THAT(checked(Kind::http, "127.0.0.1:80"), ElementsAre("health.target"));
  EXPECT_THAT(checked(Kind::http, "http://[::1]/ok"), IsEmpty());
  for (const char* never_asked :
       {"https://127.0.0.1:80/", "http://localhost:80/", "http://127.0.0.1:x/"}) {
    EXPECT_THAT(checked(Kind::http, never_asked), ElementsAre("health.target"));
  }
  EXPECT_THAT(checked(Kind::tcp, "127.0.0.1:80"), IsEmpty());
  EXPECT_THAT(checked(Kind::tcp, "localhost:80"), ElementsAre("health.target"));
  EXPECT_THAT(checked(Kind::tcp, "127.0.0.1"), ElementsAre("health.target"));
  EXPECT_THAT(checked(Kind::grpc, "[::1]:50051/chat.Hub"), IsEmpty());
  EXPECT_THAT(checked(Kind::grpc, "/chat.Hub"), ElementsAre("health.target"));
  EXPECT_THAT(checked(Kind::exec, "test -e /run/ok"), IsEmpty());
  EXPECT_THAT(checked(Kind::exec, ""), ElementsAre("health.target"));
}

TEST(ComponentCheck, wants_a_proxy_named_as_a_whole) {
  EXPECT_THAT(of_container([](auto& spec) { spec.sharing.kind = Sharing::Kind::kernel; }),
              ElementsAre("sharing"));
  EXPECT_THAT(of_container([](auto& spec) { spec.sharing.canary_server = "{host}"; }),
              ElementsAre("sharing.canary_server"));
  EXPECT_THAT(of_container([](auto& spec) { spec.sharing.backend = "a b"; }),
              ElementsAre("sharing.backend"));
  EXPECT_THAT(of_container([](auto& spec) { spec.sharing.proxy_socket = "admin.sock"; }),
              ElementsAre("sharing.proxy_socket"));
  EXPECT_THAT(of_container([](auto& spec) { spec.sharing.pick = Sharing::Pick::source; }),
              ElementsAre("sharing.pick"));
}

TEST(ComponentCheck, names_what_a_proxy_lacks_or_cannot_be_told) {
  const auto checked = [](const auto& change) {
    return of_container([&change](auto& spec) {
      spec.sharing.stable_server.clear();
      spec.sharing.canary_server.clear();
      change(spec.sharing);
      spec.hosts.names.clear();
    });
  };
  EXPECT_THAT(checked([](auto&) {}), IsEmpty()) << "names have defaults";
  EXPECT_THAT(checked([](auto& sharing) { sharing.proxy_socket.clear(); }),
              ElementsAre("sharing.proxy_socket"));
  EXPECT_THAT(checked([](auto& sharing) { sharing.proxy_socket = "localhost:9999"; }),
              ElementsAre("sharing.proxy_socket"));
  EXPECT_THAT(checked([](auto& sharing) { sharing.proxy_socket = "[::1]:9999"; }), IsEmpty());
  EXPECT_THAT(checked([](auto& sharing) { sharing.backend.clear(); }),
              ElementsAre("sharing.backend"));
  EXPECT_THAT(checked([](auto& sharing) { sharing.canary_server = "one-for-all"; }),
              ElementsAre("sharing.canary_server"));
  EXPECT_THAT(checked([](auto& sharing) {
                sharing.canary_server = "one-for-all";
                sharing.proxy_host.clear();
              }),
              IsEmpty());
  EXPECT_THAT(checked([](auto& sharing) { sharing.canary_server = "{name}"; }),
              ElementsAre("sharing.canary_server"));
  EXPECT_THAT(checked([](auto& sharing) { sharing.routed = {"alice"}; }),
              ElementsAre("sharing.map"));
  const auto mapped = [&](const auto& change) {
    return checked([&change](auto& sharing) {
      sharing.map = "/etc/haproxy/users.map";
      sharing.routed = {"alice", "bob"};
      change(sharing);
    });
  };
  EXPECT_THAT(mapped([](auto&) {}), IsEmpty());
  EXPECT_THAT(mapped([](auto& sharing) { sharing.map = "users.map"; }), ElementsAre("sharing.map"));
  EXPECT_THAT(mapped([](auto& sharing) { sharing.routed.clear(); }), ElementsAre("sharing.routed"));
  EXPECT_THAT(mapped([](auto& sharing) { sharing.routed = {"a b"}; }),
              ElementsAre("sharing.routed[0]"));
  EXPECT_THAT(mapped([](auto& sharing) { sharing.routed = {"a", "a"}; }),
              ElementsAre("sharing.routed[1]"));
  EXPECT_THAT(mapped([](auto& sharing) { sharing.map_value = "a;b"; }),
              ElementsAre("sharing.map_value"));
}

TEST(ComponentCheck, wants_hosts_that_can_be_and_options_that_fit) {
  EXPECT_THAT(of_process([](auto& spec) { spec.hosts.labels = {"tier"}; }),
              ElementsAre("hosts.labels[0]"));
  EXPECT_THAT(of_process([](auto& spec) { spec.hosts.names = {"-a"}; }),
              ElementsAre("hosts.names[0]"));
  EXPECT_THAT(of_process([](auto& spec) { spec.contract.upgrade = "listeners"; }),
              ElementsAre("contract"));
  EXPECT_THAT(of_process([](auto& spec) { spec.attempt.on_crash = "panic"; }),
              ElementsAre("attempt"));
  EXPECT_THAT(of_process([](auto& spec) { spec.run.unsafe_fault = "commit:kill"; }),
              ElementsAre("run"));
}

TEST(ImageName, takes_what_registries_take) {
  for (const char* name :
       {"redis", "redis:7.2-alpine", "library/redis", "registry.example:5000/a/b__c/d-e.f:Tag_1",
        "localhost/x", "localhost:5000/x", "eclipse-mosquitto:2",
        "a@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "a:1@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"}) {
    const auto fine = check_image_name(name);
    EXPECT_TRUE(fine) << fine.error().message();
  }
}

TEST(ImageName, refuses_anything_else) {
  for (const char* name : {"", "Redis", "redis:", "redis:-x", "/redis", "redis/", "a//b", "a..b",
                           "-a", "a_-b", "host:x/a", "a@sha256:12", "a@md5:1", "a b", "${IMAGE}"}) {
    EXPECT_FALSE(check_image_name(name)) << name;
  }
}

}  // namespace
}  // namespace segue::fleet
