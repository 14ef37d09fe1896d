// SPDX-License-Identifier: Apache-2.0
// Every key that a compose.yaml may have, those that the import takes and those that it does not,
// with what may be wrong there; and YAML that is odd.
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "service/compose_file.h"
#include "service/service_file.h"
#include "service/test_yaml_fields.h"

namespace segue::service {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// With every key that is taken.
constexpr const char* kWholeCompose = R"yaml(version: "3.8"
name: shop
services:
  web:
    image: nginx:1.27
    container_name: front
    command: [nginx, -g, "daemon off;"]
    env_file: [web.env]
    environment: {LEVEL: info}
    network_mode: bridge
    ports:
      - "8080:80"
      - {target: "81", published: "8081", host_ip: 127.0.0.1, protocol: tcp, mode: host, name: web}
    expose: ["80"]
    volumes:
      - ./pages:/pages:ro
      - {type: bind, source: /srv/a, target: /a, read_only: "true"}
    secrets:
      - token
      - {source: key, target: tls.key}
    cap_drop: [ALL]
    cap_add: [CHOWN]
    read_only: "true"
    mem_limit: 64m
    cpus: "0.5"
    pids_limit: "50"
    ulimits: {nofile: {soft: "1024", hard: "1024"}}
    deploy:
      replicas: "1"
      labels: {team: things}
      resources: {limits: {cpus: "0.5", memory: 64m, pids: "50"}}
    healthcheck:
      test: [CMD, "true"]
      interval: 10s
      timeout: 5s
      retries: "2"
      start_period: 1m
      disable: "false"
    restart: always
    stop_signal: SIGINT
    stop_grace_period: 30s
    depends_on:
      db: {condition: service_started, required: "true", restart: "false"}
    labels: {tier: front}
  db:
    image: postgres:16
secrets:
  token: {file: ./token}
  key: {file: /etc/key}
volumes:
  data: {}
)yaml";

ComposeReading read(const std::string& text) {
  ComposeOptions options;
  options.directory = "/srv/app";
  options.volumes = "/srv/volumes";
  options.read_file = [](const std::string& path) -> base::Result<std::string> {
    if (path == "/srv/app/web.env") return "ZONE=a\n";
    return base::fail(base::ErrorCode::not_found, "there is none");
  };
  ComposeReading reading = read_compose("c.yaml", text, options);
  EXPECT_NE(reading.service.has_value(), !reading.problems.empty()) << text;
  for (const auto& problem : reading.problems) {
    EXPECT_THAT(problem, testing::ContainsRegex("^c\\.yaml:([1-9][0-9]*)?")) << text;
  }
  return reading;
}

class EveryComposeKey : public testing::Test {
 protected:
  ComposeReading read_with(const Field& field, const std::string& put) {
    written_ = Writer(field.path, put).write(file_);
    return read(written_.text);
  }

  // That a problem stands at the line of `field`, and is said of it or of what it is in.
  void expect_refused(const Field& field, const std::string& put) {
    const auto reading = read_with(field, put);
    EXPECT_FALSE(reading.service) << name_of(field.path) << ": " << put.substr(0, 40);
    const std::string line = fmt::format("c.yaml:{}: ", written_.line);
    const std::string name = name_of(field.path);
    const bool is_said = std::ranges::any_of(reading.problems, [&](const std::string& problem) {
      if (!problem.starts_with(line)) return false;
      const std::string where =
          problem.substr(line.size(), problem.find(": ", line.size()) - line.size());
      return where.starts_with(name) || name.starts_with(where);
    });
    EXPECT_TRUE(is_said) << line << name
                         << " is not in: " << fmt::format("{}", fmt::join(reading.problems, "\n"))
                         << "\nwith " << put.substr(0, 40);
  }

  const YAML::Node file_ = YAML::Load(kWholeCompose);
  Written written_;
};

bool is_in(const std::set<std::string>& names, const Field& field) {
  return names.contains(name_of(field.path));
}

TEST_F(EveryComposeKey, is_taken) {
  EXPECT_THAT(read(kWholeCompose).problems, IsEmpty());
  EXPECT_THAT(read(Writer({}, "").write(file_).text).problems, IsEmpty());
}

TEST_F(EveryComposeKey, refuses_a_value_of_another_kind_at_its_line) {
  // They say nothing, to Compose either.
  const std::set<std::string> ignored = {"version", "services.web.ports[1].mode",
                                         "services.web.ports[1].name"};
  const std::set<std::string> may_be_null = {"volumes.data"};
  // Words where a list may be, too.
  const std::set<std::string> may_be_text = {"services.web.command",
                                             "services.web.healthcheck.test"};
  const std::set<std::string> may_be_map = {"services.web.command"};
  for (const Field& field : fields_of(file_)) {
    if (is_in(ignored, field)) continue;
    if (!is_in(may_be_null, field)) expect_refused(field, "~");
    if (field.kind != YAML::NodeType::Map) expect_refused(field, "{nonsense: [1]}");
    expect_refused(field, "[[nonsense]]");
    if (field.kind != YAML::NodeType::Scalar && !is_in(may_be_text, field)) {
      expect_refused(field, "nonsense");
    }
  }
}

TEST_F(EveryComposeKey, refuses_a_variable_and_a_nul_at_its_line) {
  const std::set<std::string> ignored = {"version", "services.web.ports[1].mode",
                                         "services.web.ports[1].name"};
  for (const Field& field : fields_of(file_)) {
    if (field.kind != YAML::NodeType::Scalar || is_in(ignored, field)) continue;
    expect_refused(field, "\"${NAME}\"");
    expect_refused(field, R"("a\0b")");
  }
}

TEST_F(EveryComposeKey, survives_what_it_cannot_mean) {
  const std::string long_text(5'000, 'a');
  for (const Field& field : fields_of(file_)) {
    if (field.kind != YAML::NodeType::Scalar) continue;
    for (const std::string& put : {std::string("\"\""), std::string("-1"), std::string("nonsense"),
                                   std::string("99999999999999999999999"), long_text}) {
      const auto reading = read_with(field, put);
      if (!reading.service) continue;
      const std::string text = service_text(*reading.service, reading.text);
      EXPECT_EQ(read_service("again", text).service, reading.service)
          << name_of(field.path) << ": " << put.substr(0, 40);
    }
  }
}

// ---- What is not taken: https://github.com/compose-spec/compose-spec, 2025

const std::vector<std::string>& keys_of_services() {
  static const std::vector<std::string> kKeys = {"annotations",
                                                 "attach",
                                                 "blkio_config",
                                                 "build",
                                                 "cgroup",
                                                 "cgroup_parent",
                                                 "configs",
                                                 "cpu_count",
                                                 "cpu_percent",
                                                 "cpu_period",
                                                 "cpu_quota",
                                                 "cpu_rt_period",
                                                 "cpu_rt_runtime",
                                                 "cpu_shares",
                                                 "cpuset",
                                                 "credential_spec",
                                                 "develop",
                                                 "device_cgroup_rules",
                                                 "devices",
                                                 "dns",
                                                 "dns_opt",
                                                 "dns_search",
                                                 "domainname",
                                                 "entrypoint",
                                                 "extends",
                                                 "external_links",
                                                 "extra_hosts",
                                                 "gpus",
                                                 "group_add",
                                                 "hostname",
                                                 "init",
                                                 "ipc",
                                                 "isolation",
                                                 "label_file",
                                                 "links",
                                                 "logging",
                                                 "mac_address",
                                                 "mem_reservation",
                                                 "mem_swappiness",
                                                 "memswap_limit",
                                                 "models",
                                                 "networks",
                                                 "oom_kill_disable",
                                                 "oom_score_adj",
                                                 "pid",
                                                 "platform",
                                                 "post_start",
                                                 "pre_stop",
                                                 "privileged",
                                                 "profiles",
                                                 "provider",
                                                 "pull_policy",
                                                 "runtime",
                                                 "scale",
                                                 "security_opt",
                                                 "shm_size",
                                                 "stdin_open",
                                                 "storage_opt",
                                                 "sysctls",
                                                 "tmpfs",
                                                 "tty",
                                                 "use_api_socket",
                                                 "user",
                                                 "userns_mode",
                                                 "uts",
                                                 "volumes_from",
                                                 "working_dir"};
  return kKeys;
}

TEST(ComposeKeys, that_are_not_taken_are_refused_each_at_its_line_and_with_why) {
  for (const auto& key : keys_of_services()) {
    const std::string begin = fmt::format("c.yaml:4: services.one.{}: not taken over: ", key);
    for (const char* value : {"a", "[a]", "{a: b}", "~"}) {
      EXPECT_THAT(
          read(fmt::format("services:\n  one:\n    image: x\n    {}: {}\n", key, value)).problems,
          ElementsAre(HasSubstr(begin)));
    }
  }
  for (const char* key : {"networks", "configs", "include", "models"}) {
    EXPECT_THAT(read(fmt::format("services: {{a: {{image: x}}}}\n{}: {{a: b}}\n", key)).problems,
                ElementsAre(HasSubstr(fmt::format("c.yaml:2: {}: not taken over: ", key))));
  }
}

TEST(ComposeKeys, deeper_down_are_refused_each_at_its_line) {
  const auto expect = [](const std::string& more, const std::string& where) {
    const auto problems = read("services:\n  one:\n    image: x\n    " + more).problems;
    EXPECT_THAT(problems, Contains(HasSubstr(where + ": "))) << more;
  };
  for (const char* key :
       {"driver", "driver_opts", "environment", "external", "labels", "name", "template_driver"}) {
    EXPECT_THAT(read(fmt::format("services: {{a: {{image: x}}}}\nsecrets:\n  s:\n    file: /s\n"
                                 "    {}: a\n",
                                 key))
                    .problems,
                ElementsAre(HasSubstr(fmt::format("c.yaml:5: secrets.s.{}: ", key))));
  }
  for (const char* key : {"driver", "driver_opts", "external", "labels", "name"}) {
    EXPECT_THAT(read(fmt::format("services: {{a: {{image: x}}}}\nvolumes:\n  v:\n    {}: a\n", key))
                    .problems,
                ElementsAre(HasSubstr(fmt::format("c.yaml:4: volumes.v.{}: ", key))));
  }
  for (const char* key : {"endpoint_mode", "mode", "placement", "restart_policy", "rollback_config",
                          "update_config"}) {
    expect(fmt::format("deploy:\n      {}: a\n", key),
           fmt::format("c.yaml:5: services.one.deploy.{}", key));
  }
  expect("healthcheck:\n      test: a\n      start_interval: 1s\n",
         "c.yaml:6: services.one.healthcheck.start_interval");
  expect("deploy:\n      resources:\n        reservations: {}\n",
         "c.yaml:6: services.one.deploy.resources.reservations");
  expect("ulimits:\n      core: 0\n", "c.yaml:5: services.one.ulimits.core");
  expect("env_file:\n      - {path: a, required: false}\n", "c.yaml:5: services.one.env_file[0]");
  expect("ports:\n      - target: 80\n        published: \"80\"\n        app_protocol: http\n",
         "c.yaml:7: services.one.ports[0].app_protocol");
  for (const char* key : {"bind", "volume", "tmpfs", "image", "consistency"}) {
    expect(fmt::format("volumes:\n      - type: bind\n        source: /a\n        target: /b\n"
                       "        {}: {{}}\n",
                       key),
           fmt::format("c.yaml:8: services.one.volumes[0].{}", key));
  }
}

// ---- YAML

const std::string kOne = "services:\n  one:\n    image: redis:7\n";

TEST(ComposeYaml, with_anchors_is_what_they_stand_for) {
  const auto reading = read(
      "x-env: &env {LEVEL: info}\nservices:\n  a: {image: x, environment: *env}\n"
      "  b: &b {image: x, environment: *env}\n  c: *b\n");
  ASSERT_THAT(reading.problems, IsEmpty());
  for (const auto& component : reading.service->components) {
    EXPECT_THAT(component.spec.environment, ElementsAre("LEVEL=info")) << component.spec.name;
  }
}

TEST(ComposeYaml, with_merges_is_refused_at_each) {
  EXPECT_THAT(
      read("x-a: &a {restart: always}\nservices:\n  one:\n    <<: *a\n    image: x\n"
           "    environment:\n      <<: {A: b}\n    labels: {<<: {A: b}}\n"
           "    healthcheck:\n      test: a\n      <<: {}\n    deploy: {<<: {}}\n<<: {}\n")
          .problems,
      ElementsAre(HasSubstr("c.yaml:4: services.one.<<: not taken over: merge keys"),
                  HasSubstr("c.yaml:7: services.one.environment.<<: "),
                  HasSubstr("c.yaml:8: services.one.labels.<<: "),
                  HasSubstr("c.yaml:11: services.one.healthcheck.<<: "),
                  HasSubstr("c.yaml:12: services.one.deploy.<<: "), HasSubstr("c.yaml:13: <<: ")));
}

TEST(ComposeYaml, with_a_key_twice_is_refused_at_the_second) {
  EXPECT_THAT(read(kOne + "    image: redis:8\n").problems,
              ElementsAre("c.yaml:4: services.one.image: there twice"));
  EXPECT_THAT(read(kOne + "  one: {image: x}\n").problems,
              ElementsAre("c.yaml:4: services.one: there twice"));
  EXPECT_THAT(read(kOne + "    environment:\n      A: 1\n      A: 2\n").problems,
              ElementsAre("c.yaml:6: services.one.environment.A: there twice"));
  EXPECT_THAT(read(kOne + "services: {}\n").problems,
              ElementsAre("c.yaml:4: services: there twice"));
}

TEST(ComposeYaml, with_windows_line_ends_or_a_byte_order_mark_is_the_same) {
  const auto plain = read(kOne);
  std::string windows;
  for (const char c : kOne) windows += c == '\n' ? std::string("\r\n") : std::string(1, c);
  for (const std::string& text : {windows, "\xEF\xBB\xBF" + kOne}) {
    const auto reading = read(text);
    EXPECT_THAT(reading.problems, IsEmpty());
    EXPECT_EQ(reading.service, plain.service);
  }
  EXPECT_THAT(read(windows + "    user: a\r\n").problems, ElementsAre(HasSubstr("c.yaml:4: ")));
}

TEST(ComposeYaml, that_is_no_utf8_is_refused_at_its_line) {
  for (const char* bytes : {"\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xc3"}) {
    EXPECT_THAT(read(kOne + "    environment:\n      A: \"" + bytes + "\"\n").problems,
                ElementsAre(HasSubstr("c.yaml:5: ")));
    EXPECT_THAT(read(kOne + "    # " + bytes + "\n").problems,
                ElementsAre(HasSubstr("c.yaml:4: ")));
  }
  std::string utf16;
  for (const char c : kOne) utf16 += std::string(1, c) + '\0';
  EXPECT_THAT(read("\xff\xfe" + utf16).problems, ElementsAre(HasSubstr("c.yaml:1: a byte")));
  EXPECT_THAT(read(utf16).problems, ElementsAre(HasSubstr("c.yaml:1: a byte")));
  EXPECT_THAT(read(kOne + std::string("    # \0\n", 7)).problems,
              ElementsAre(HasSubstr("c.yaml:4: ")));
}

TEST(ComposeYaml, that_is_odd_is_refused_or_right) {
  EXPECT_THAT(read("services:\n\tone:\n\t\timage: x\n").problems,
              ElementsAre(HasSubstr("c.yaml:2: ")));
  EXPECT_THAT(read(kOne + "---\n" + kOne).problems,
              ElementsAre(HasSubstr("c.yaml:4: a second document")));
  EXPECT_THAT(read("? [a, b]\n: c\n" + kOne).problems, ElementsAre(HasSubstr("c.yaml:1: ")));
  EXPECT_THAT(read("services: {one: {image: !!int redis}}\n").problems, IsEmpty());
  EXPECT_FALSE(read("services: &a [*a]\n").service);
  EXPECT_FALSE(read("x: *nowhere\n" + kOne).service);
  EXPECT_FALSE(read(std::string(100'000, '[')).service);
  EXPECT_FALSE(read(std::string(100'000, '{')).service);
  std::string deep = kOne + "    labels: ";
  for (int i = 0; i < 2'000; ++i) deep += "{a: ";
  EXPECT_FALSE(read(deep).service);
  EXPECT_FALSE(read(kOne + "    command: " + std::string(250'000, 'a') + "\n").service);
  EXPECT_THAT(read(std::string(kMaxComposeFileBytes + 1, ' ')).problems,
              ElementsAre(HasSubstr("c.yaml:1: the file has 262145 bytes; at most 262144")));
}

TEST(ComposeYaml, of_many_aliases_is_read_within_bounds) {
  // Each of a level is nine times the one before.
  std::string text = "x-a: &a0 [x]\n";
  for (int i = 1; i < 12; ++i) {
    text += fmt::format("x-{0}: &a{0} [", i);
    for (int j = 0; j < 9; ++j) text += fmt::format("{}*a{}", j == 0 ? "" : ", ", i - 1);
    text += "]\n";
  }
  EXPECT_FALSE(read(text + kOne + "    command: *a11\n").service);
  std::string wide = "x-a: &a [" + std::string("x, ");
  for (int i = 0; i < 5'000; ++i) wide += "x, ";
  wide += "x]\nservices:\n";
  for (int i = 0; i < 60; ++i) wide += fmt::format("  s{}: {{image: x, expose: *a}}\n", i);
  EXPECT_FALSE(read(wide).service);
}

}  // namespace
}  // namespace segue::service
