// SPDX-License-Identifier: Apache-2.0
#include "cli/component_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "config/segue_keys.h"

namespace segue::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string problem_of(const std::string& text) {
  const auto file = parse_component_file("segue.yaml", text);
  return file ? "" : file.error().message();
}

constexpr const char* kWhole = R"(
name: web
command: [nginx, -g, "daemon off;"]
directory: /srv
environment:
  NGINX: "{fd:web};"
listen:
  web: tcp:127.0.0.1:8080
nonblocking: true
upgrade: listeners
ready: accepting
start_s: 12
reconnect_per_second: 50
fd_store_max: 9
watchdog_s: 2.5
max_restarts: 3
on_crash: restart
stop:
  signal: QUIT
  drain_s: 60
  grace_s: 4
health:
  command: "true"
  timeout_s: 1
)";

TEST(ComponentFile, leaves_the_keys_of_a_build_alone) {
  EXPECT_EQ(problem_of("name: web\ncommand: [x]\nbuild: make\ntest: make check\noutput: out\n"
                       "version: '1'\nbuild_limits: {time_s: 1}\n"),
            "");
  std::string all = "name: web\n";
  for (const char* key : config::kComponentKeys) all += std::string(key) + ": {}\n";
  EXPECT_THAT(problem_of(all), Not(HasSubstr("there is no key")));
}

TEST(ComponentFile, is_not_a_services) {
  EXPECT_THAT(problem_of("service: chat\ncomponents: {hub: {command: [hub]}}\n"),
              HasSubstr("segue.yaml:1: this is a service's file"));
}

TEST(ComponentFile, every_key_arrives) {
  const auto file = parse_component_file("segue.yaml", kWhole);
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->name, "web");
  EXPECT_THAT(file->command, ElementsAre("nginx", "-g", "daemon off;"));
  EXPECT_EQ(file->directory, "/srv");
  EXPECT_THAT(file->env, ElementsAre("NGINX={fd:web};"));
  ASSERT_EQ(file->contract.listen.size(), 1U);
  EXPECT_EQ(control::to_string(file->contract.listen.front()), "web=tcp:127.0.0.1:8080");
  EXPECT_EQ(file->contract.upgrade, "listeners");
  EXPECT_TRUE(file->contract.nonblocking);
  EXPECT_EQ(file->contract.ready, "accepting");
  EXPECT_EQ(file->contract.stop_signal, "QUIT");
  EXPECT_EQ(file->contract.drain_ms, 60'000U);
  EXPECT_EQ(file->contract.reconnect_per_second, 50U);
  EXPECT_EQ(file->contract.fd_store_max, 9U);
  EXPECT_EQ(file->contract.watchdog_ms, 2'500U);
  EXPECT_EQ(file->run.start_ms, 12'000U);
  EXPECT_EQ(file->run.grace_ms, 4'000U);
  EXPECT_EQ(file->run.max_restarts, 3U);
  EXPECT_EQ(file->attempt.on_crash, "restart");
  EXPECT_EQ(file->attempt.health_cmd, "true");
  EXPECT_EQ(file->attempt.health_timeout_ms, 1'000U);
}

TEST(ComponentFile, the_keys_of_a_program_that_replaces_itself) {
  const auto file = parse_component_file("segue.yaml", R"({name: n, command: [nginx],
    upgrade: signal, signal: {upgrade: USR2, new_pid: /run/n.pid, retire: WINCH, resume: HUP,
    then: QUIT}})");
  ASSERT_TRUE(file) << file.error().message();
  EXPECT_EQ(file->contract.upgrade_signal, "USR2");
  EXPECT_EQ(file->contract.new_pid, "/run/n.pid");
  EXPECT_EQ(file->contract.retire_signal, "WINCH");
  EXPECT_EQ(file->contract.resume_signal, "HUP");
  EXPECT_EQ(file->contract.then_signal, "QUIT");
}

TEST(ComponentFile, an_unknown_key_is_refused_with_its_line_and_the_nearest) {
  EXPECT_EQ(problem_of("name: web\ncommand: [a]\nlisten_on: x\nupgrad: restart\n"),
            "segue.yaml:3: there is no key 'listen_on'; did you mean 'listen'?");
  EXPECT_EQ(problem_of("name: web\ncommand: [a]\nstop:\n  signl: TERM\n"),
            "segue.yaml:4: there is no key 'stop.signl'; did you mean 'signal'?");
}

TEST(ComponentFile, what_is_wrong_is_named_with_its_place) {
  EXPECT_THAT(problem_of(""), HasSubstr("nothing in it"));
  EXPECT_THAT(problem_of("- a\n"), HasSubstr("segue.yaml:1"));
  EXPECT_THAT(problem_of("name: web\n"), HasSubstr("'command' is missing"));
  EXPECT_THAT(problem_of("name: web\ncommand: nginx -g x\n"), HasSubstr("segue.yaml:2: command"));
  EXPECT_THAT(problem_of("name: a/b\ncommand: [x]\n"), HasSubstr("segue.yaml:1"));
  EXPECT_THAT(problem_of("name: a\nname: b\ncommand: [x]\n"), HasSubstr("segue.yaml:2: 'name'"));
  EXPECT_THAT(problem_of("name: a\ncommand: [x]\nnonblocking: 2\n"),
              HasSubstr("segue.yaml:3: nonblocking: '2' is neither true nor false"));
  EXPECT_THAT(problem_of("name: a\ncommand: [x]\nwatchdog_s: soon\n"),
              HasSubstr("segue.yaml:3: watchdog_s: 'soon'"));
  EXPECT_THAT(problem_of("name: a\ncommand: [x]\nfd_store_max: -1\n"), HasSubstr("segue.yaml:3"));
  EXPECT_THAT(problem_of("name: a\ncommand: [x]\nlisten: [web]\n"), HasSubstr("segue.yaml:3"));
  EXPECT_THAT(problem_of("name: a\ncommand: [x\n"), HasSubstr("segue.yaml:"));
  EXPECT_THAT(problem_of("name: a\ncommand: [x]\nupgrade: listeners\n"), HasSubstr("--listen"));
}

}  // namespace
}  // namespace segue::cli
