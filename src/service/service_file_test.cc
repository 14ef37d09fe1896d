// SPDX-License-Identifier: Apache-2.0
#include "service/service_file.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>

#include "service/test_services.h"

namespace segue::service {
namespace {

using namespace std::chrono_literals;  // NOLINT(google-build-using-namespace)
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

// One component with more said of it, from line 5 on.
std::string with(const std::string& more) {
  return "service: chat\ncomponents:\n  hub:\n    command: [bin/hub]\n" + more +
         "    release: {library: /srv/library, version: 1.2.0}\n";
}

std::vector<std::string> problems_of(const std::string& text) {
  return read_service("s.yaml", text).problems;
}

Service service_of(const std::string& text) {
  auto reading = read_service("s.yaml", text);
  for (const auto& problem : reading.problems) ADD_FAILURE() << problem;
  return reading.service ? *std::move(reading.service) : Service();
}

TEST(ServiceFile, says_what_each_component_is) {
  const Service service = service_of(kWholeFile);
  EXPECT_EQ(service.name, "chat");
  ASSERT_THAT(service.components, SizeIs(4));
  const auto& hub = service.components[0].spec;
  EXPECT_EQ(hub.service, "chat");
  EXPECT_EQ(hub.name, "hub");
  EXPECT_EQ(hub.driver, fleet::Driver::process);
  EXPECT_EQ(hub.release.component, "chat-hub");
  EXPECT_THAT(hub.command, ElementsAre("bin/hub", "--port", "7000", "${HOME}"));
  EXPECT_EQ(hub.limits.cpu_thousandths, 1'500U);
  EXPECT_EQ(hub.health.kind, fleet::HealthCheck::Kind::http);
  EXPECT_EQ(hub.health.timeout_ms, 500U);
  EXPECT_EQ(hub.sharing.pick, fleet::Sharing::Pick::source);
  EXPECT_THAT(hub.hosts.labels, ElementsAre("tier=front"));
  EXPECT_EQ(hub.contract.drain_ms, 60'000U);
  EXPECT_EQ(hub.contract.watchdog_ms, 2'500U);
  EXPECT_EQ(hub.run.start_ms, 10'000U);
  EXPECT_EQ(hub.run.max_restarts, 3U);
  EXPECT_EQ(hub.attempt.start_ms, 20'000U);
  EXPECT_EQ(hub.attempt.budget_us, 5'000U);
  EXPECT_EQ(hub.attempt.on_crash, "replay");
  EXPECT_TRUE(hub.attempt.vote);

  const auto& edge = service.components[1].spec;
  EXPECT_EQ(edge.release.registry, "registry.example:5000/edge:2.1");
  EXPECT_THAT(edge.ports, ElementsAre(fleet::PublishedPort{"127.0.0.1", 8443, 443},
                                      fleet::PublishedPort{"0.0.0.0", 80, 80},
                                      fleet::PublishedPort{"::1", 81, 81}));
  EXPECT_THAT(edge.volumes, ElementsAre(fleet::Volume{"/srv/edge", "/data", false},
                                        fleet::Volume{"/etc/edge", "/etc/edge", true},
                                        fleet::Volume{"/srv/a:b", "/ab", true}));
  EXPECT_THAT(edge.sharing.routed, ElementsAre("alice", "bob"));
  EXPECT_EQ(edge.sharing.map_value, "edge_canary");
  EXPECT_EQ(edge.contract.upgrade, "restart");
  const auto& worker = service.components[2].spec;
  EXPECT_EQ(worker.contract.then_signal, "QUIT");
  EXPECT_THAT(worker.contract.listen, SizeIs(2));
}

TEST(ServiceFile, says_how_each_component_is_rolled_out) {
  const Service service = service_of(kWholeFile);
  ASSERT_THAT(service.components, SizeIs(4));
  const fleet::Strategy& hub = service.components[0].strategy;
  EXPECT_EQ(hub.kind, fleet::StrategyKind::canary);
  EXPECT_EQ(hub.limits.max_unavailable, fleet::hosts(1));
  EXPECT_EQ(hub.limits.max_failures, fleet::percent(5));
  EXPECT_EQ(hub.limits.bake, 90s);
  EXPECT_EQ(hub.approvals, 2U);
  EXPECT_EQ(hub.limits.approvals, 1U);
  ASSERT_THAT(hub.waves, SizeIs(2));
  EXPECT_FALSE(hub.waves[0].limits);
  ASSERT_TRUE(hub.waves[1].limits);
  EXPECT_EQ(hub.waves[1].limits->bake, 5min);
  EXPECT_EQ(hub.waves[1].limits->max_failures, fleet::percent(5));
  ASSERT_THAT(hub.canary.steps, SizeIs(2));
  EXPECT_EQ(hub.canary.steps[0].share_ppm, 5'000U);
  EXPECT_EQ(hub.canary.steps[0].limits, hub.limits);
  EXPECT_EQ(hub.canary.steps[1].limits.bake, 10min);
  EXPECT_EQ(hub.canary.baseline, fleet::Baseline::renewed);
  EXPECT_EQ(hub.on_bad, fleet::OnBad::pause);
  EXPECT_EQ(hub.meanwhile, fleet::MeanwhilePolicy::supersede);
  EXPECT_EQ(service.components[2].strategy.kind, fleet::StrategyKind::all_at_once);
}

TEST(ServiceFile, puts_a_components_words_over_those_of_the_defaults) {
  const Service service = service_of(kWholeFile);
  ASSERT_THAT(service.components, SizeIs(4));
  const auto& hub = service.components[0];
  // Maps go one over the other …
  EXPECT_EQ(hub.spec.release.library, "https://releases.example/");
  EXPECT_THAT(hub.spec.environment, ElementsAre("LEVEL=info", "ZONE=b", "EMPTY="));
  EXPECT_EQ(hub.spec.limits.memory_bytes, std::uint64_t{256} << 20U);
  // … but for a check, of which there is one.
  EXPECT_EQ(hub.spec.health.interval_ms, fleet::HealthCheck{}.interval_ms);
  const auto& edge = service.components[1];
  EXPECT_EQ(edge.spec.release.library, "");
  EXPECT_EQ(edge.strategy.limits.bake, 2min);
  EXPECT_EQ(edge.strategy.limits.max_failures, fleet::hosts(1));
  EXPECT_EQ(service.components[2].spec.health.kind, fleet::HealthCheck::Kind::tcp);
  EXPECT_EQ(service.components[2].strategy.limits.bake, 2min);
}

TEST(ServiceFile, refuses_unknown_keys_with_their_lines_and_the_nearest_key) {
  EXPECT_THAT(problems_of(with("    comand: [x]\n    limits: {memroy: 1GiB}\n")),
              ElementsAre("s.yaml:5: components.hub.comand: there is no such key; did you mean "
                          "'command'?",
                          "s.yaml:6: components.hub.limits.memroy: there is no such key; did you "
                          "mean 'memory'?"));
  EXPECT_THAT(problems_of(with("    restart_policy: x\n")),
              ElementsAre(HasSubstr("s.yaml:5: components.hub.restart_policy")));
  EXPECT_THAT(problems_of(with("    rollout: {waves: [{hosts: 1, wait: 3s}]}\n")),
              ElementsAre("s.yaml:5: components.hub.rollout.waves[0].wait: there is no such key"));
  EXPECT_THAT(problems_of("servce: chat\ncomponents: {}\n"),
              ElementsAre(HasSubstr("s.yaml:1: 'service' is missing"),
                          HasSubstr("s.yaml:1: servce: there is no such key")));
}

TEST(ServiceFile, refuses_what_stands_twice) {
  EXPECT_THAT(problems_of(with("    command: [bin/other]\n")),
              ElementsAre("s.yaml:5: components.hub.command: there twice"));
  EXPECT_THAT(problems_of(with("") + "  hub:\n    command: [x]\n"),
              ElementsAre("s.yaml:6: components.hub: there twice"));
  EXPECT_THAT(problems_of(with("    secrets:\n      token: /a\n      token: /b\n")),
              ElementsAre("s.yaml:7: components.hub.secrets.token: there twice"));
}

TEST(ServiceFile, says_everything_that_is_wrong_by_line) {
  EXPECT_THAT(problems_of(with("    driver: vm\n"
                               "    limits: {memory: 512M, cpus: lots, processes: -1}\n"
                               "    health: {http: localhost, interval: 5}\n"
                               "    network: none\n"
                               "    rollout:\n"
                               "      bake: 1.5s\n"
                               "      waves: [0%]\n")),
              ElementsAre("s.yaml:5: components.hub.driver: 'vm' is none of process, container",
                          HasSubstr("s.yaml:6: components.hub.limits.cpus: 'lots'"),
                          HasSubstr("s.yaml:6: components.hub.limits.memory: '512M'"),
                          HasSubstr("s.yaml:6: components.hub.limits.processes: '-1'"),
                          HasSubstr("s.yaml:7: components.hub.health.http: 'localhost' is not"),
                          HasSubstr("s.yaml:7: components.hub.health.interval: '5' is not a time"),
                          HasSubstr("s.yaml:8: components.hub.network: 'none' is a container's"),
                          HasSubstr("s.yaml:10: components.hub.rollout.bake: '1.5s'"),
                          HasSubstr("s.yaml:11: components.hub.rollout.waves[0]: ")));
}

TEST(ServiceFile, says_not_more_than_a_person_reads) {
  std::string many;
  for (int i = 0; i < 300; ++i) many += fmt::format("    key_{}: 1\n", i);
  const auto problems = problems_of(with(many));
  ASSERT_THAT(problems, SizeIs(21));
  EXPECT_THAT(problems.back(), HasSubstr("more"));
}

TEST(ServiceFile, names_the_line_of_what_does_not_fit_together) {
  EXPECT_THAT(problems_of(with("    volumes: [\"/a:/b\"]\n")),
              ElementsAre(HasSubstr("s.yaml:5: components.hub.volumes: only a container")));
  EXPECT_THAT(problems_of(with("    upgrade: listeners\n")),
              ElementsAre(HasSubstr("s.yaml:5: components.hub.upgrade: ")));
  EXPECT_THAT(problems_of(with("    upgrade: signal\n    signal: {upgrade: USR2, new_pid: x}\n")),
              ElementsAre(HasSubstr("s.yaml:6: components.hub.signal.new_pid: ")));
  EXPECT_THAT(problems_of(with("    on_crash: panic\n")),
              ElementsAre(HasSubstr("s.yaml:5: components.hub.on_crash: 'panic'")));
  EXPECT_THAT(problems_of(with("    rollout:\n      strategy: canary\n      canary:\n"
                               "        steps:\n          - 10%\n          - 5%\n")),
              ElementsAre(HasSubstr("s.yaml:10: components.hub.rollout.canary.steps[1].share: ")));
  EXPECT_THAT(problems_of(with("    rollout:\n      strategy: canary\n      canary:\n"
                               "        split: hosts\n        baseline: renewed\n")),
              ElementsAre(HasSubstr("s.yaml:9: components.hub.rollout.canary.baseline: where the "
                                    "canary's hosts have no second slot")));
  EXPECT_THAT(problems_of(with("    rollout:\n      strategy: blue-green\n      canary:\n"
                               "        baseline: renewed\n")),
              ElementsAre(HasSubstr("canary.baseline: blue-green compares nothing")));
  EXPECT_THAT(problems_of("service: s\ndefaults:\n  limits: {memory: 1KiB}\ncomponents:\n  a:\n"
                          "    image: redis\n    driver: container\n"),
              ElementsAre(HasSubstr("s.yaml:3: components.a.limits.memory: ")));
}

TEST(ServiceFile, refuses_contracts_that_no_container_can_keep) {
  const std::string container =
      "service: s\ncomponents:\n  a:\n    image: redis\n    driver: container\n";
  EXPECT_THAT(
      problems_of(container + "    upgrade: listeners\n    listen: {web: \"tcp:0.0.0.0:80\"}\n"),
      ElementsAre(HasSubstr("s.yaml:6: components.a.upgrade: 'listeners' is a process's")));
  EXPECT_THAT(
      problems_of(container + "    listen: {web: \"tcp:0.0.0.0:80\"}\n    upgrade: restart\n"),
      ElementsAre(HasSubstr("s.yaml:6: components.a.listen: only programs that link libsegue")));
  for (const char* upgrade : {"fdstore", "signal\n    signal: {upgrade: USR2, new_pid: MAINPID}"}) {
    EXPECT_THAT(problems_of(container + "    upgrade: " + upgrade + "\n"),
                ElementsAre(HasSubstr("s.yaml:6: components.a.upgrade: ")));
  }
  for (const char* upgrade : {"auto", "libsegue", "restart"}) {
    EXPECT_THAT(problems_of(container + "    upgrade: " + upgrade + "\n"), IsEmpty());
  }
}

TEST(ServiceFile, says_a_defaults_problem_once) {
  EXPECT_THAT(problems_of("service: s\ndefaults: {driver: container, image: redis, start: soon}\n"
                          "components:\n  a: {}\n  b: {}\n"),
              ElementsAre(HasSubstr("s.yaml:2: defaults.start: 'soon'")));
}

TEST(ServiceFile, puts_in_no_variables_and_says_so) {
  EXPECT_THAT(problems_of(with("    start: ${START}\n")),
              ElementsAre(HasSubstr("nothing puts a value in place of ${…}")));
  EXPECT_THAT(problems_of("service: ${NAME}\ncomponents: {a: {image: redis, driver: container}}\n"),
              ElementsAre(HasSubstr("nothing puts a value in place of ${…}")));
}

TEST(ServiceFile, takes_one_health_check_and_one_choice_of_hosts) {
  EXPECT_THAT(problems_of(with("    health: {tcp: \"[::1]:1\", exec: \"true\"}\n")),
              ElementsAre(HasSubstr("one check is enough")));
  EXPECT_THAT(problems_of(with("    rollout: {waves: [{hosts: 1, site: x}]}\n")),
              ElementsAre(HasSubstr("waves[0]: which hosts?")));
  EXPECT_THAT(problems_of(with("    rollout: {waves: [{bake: 1s}]}\n")),
              ElementsAre(HasSubstr("waves[0]: which hosts?")));
}

TEST(ServiceFile, is_one_document_of_bounded_size_and_depth) {
  EXPECT_THAT(problems_of(""), ElementsAre("s.yaml:1: there is nothing in it"));
  EXPECT_THAT(problems_of(", a: b"), ElementsAre("s.yaml:1: there is nothing in it"));
  EXPECT_THAT(problems_of(with("") + "...\n# the end\n"), IsEmpty());
  EXPECT_THAT(problems_of("just words\n"), ElementsAre(HasSubstr("s.yaml:1: the file is not")));
  EXPECT_THAT(problems_of(with("") + "---\nservice: b\n"),
              ElementsAre(HasSubstr("a second document")));
  EXPECT_THAT(problems_of(with("    command: [x\n")), ElementsAre(HasSubstr("s.yaml:")));
  EXPECT_THAT(problems_of(std::string(kMaxServiceFileBytes + 1, ' ')),
              ElementsAre(HasSubstr("at most")));
  for (const char* piece : {"[", "{", "- ", "? ", "{a: ", "[{", "? ["}) {
    std::string deep;
    while (deep.size() + 4 < kMaxServiceFileBytes) deep += piece;
    EXPECT_THAT(problems_of(deep), ElementsAre("s.yaml:1: nested too deep")) << piece;
  }
  std::string indented = "service: s\n";
  for (int i = 0; i < 700; ++i) indented += std::string(static_cast<std::size_t>(i), ' ') + "k:\n";
  EXPECT_THAT(problems_of(indented), ElementsAre(HasSubstr("nested too deep")));
}

TEST(ServiceFile, reads_no_more_through_aliases_than_a_bound) {
  // Each alias stands for a list of 1,000, and each component for all of them.
  std::string text = "service: s\ncomponents:\n  a: &a\n    command: &c [";
  for (int i = 0; i < 1'000; ++i) text += "x,";
  text += "]\n    capabilities: *c\n";
  for (int i = 0; i < 150; ++i) text += fmt::format("  a{}: *a\n", i);
  EXPECT_THAT(problems_of(text), testing::Contains(HasSubstr("more than 100000 values")));
  EXPECT_THAT(problems_of("service: s\ncomponents: &a\n  a: *a\n"), testing::Not(IsEmpty()));
  EXPECT_THAT(problems_of("&a [*a]\n"), testing::Not(IsEmpty()));
}

TEST(ServiceFile, is_told_from_a_components_own) {
  EXPECT_FALSE(is_component_file(kWholeFile));
  EXPECT_TRUE(is_component_file("name: web\ncommand: [nginx]\n"));
  EXPECT_FALSE(is_component_file("[1"));
}

TEST(ServiceFile, of_the_tests_has_every_key) {
  const std::string file = kWholeFile;
  for (const auto& key : service_file_keys()) {
    const std::string last = key.substr(key.find_last_of('.') + 1);
    if (last == "each_site") continue;  // says nothing beside each_label
    EXPECT_TRUE(file.find(last + ":") != std::string::npos) << key;
  }
}

}  // namespace
}  // namespace segue::service
