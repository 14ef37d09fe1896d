// SPDX-License-Identifier: Apache-2.0
#include "service/compose_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "service/compose_values.h"
#include "service/service_file.h"

namespace segue::service {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

constexpr const char* kBroker = R"(version: "3.8"
services:
  mosquitto:
    image: eclipse-mosquitto:2.0
    container_name: mqtt
    restart: unless-stopped
    ports:
      - "1883:1883"
      - "127.0.0.1:9001:9001/tcp"
    volumes:
      - ./config:/mosquitto/config:ro
      - data:/mosquitto/data
    healthcheck:
      test: ["CMD", "mosquitto_sub", "-t", "$$SYS/#", "-C", "1", "-i", "health check"]
      interval: 10s
      timeout: 5s
      retries: 2
      start_period: 1m
    ulimits:
      nofile: {soft: 65536, hard: 65536}
    cap_drop: [ALL]
    cap_add: [CAP_SETUID, SETGID]
    read_only: true
    labels:
      team: things
volumes:
  data:
)";

constexpr const char* kRedis = R"(
name: cache
services:
  redis:
    image: redis:7.2-alpine
    command: redis-server --appendonly yes --save ''
    network_mode: host
    environment:
      - TZ=Europe/Berlin
      - EMPTY=
    deploy:
      replicas: 1
      resources:
        limits: {cpus: "0.5", memory: 256M, pids: 100}
    healthcheck:
      test: redis-cli ping | grep PONG
    stop_signal: SIGINT
    stop_grace_period: 1m30s
)";

constexpr const char* kWebAndDatabase = R"(
x-common: &common
  restart: always
services:
  web:
    image: registry.example/web@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
    restart: on-failure:5
    depends_on:
      db: {condition: service_healthy}
      cache: {condition: service_started, required: true}
    env_file: [web.env]
    environment: {LEVEL: debug, "PRICE": "5$$"}
    ports:
      - {target: 8080, published: "80", protocol: tcp, mode: host}
    expose: ["8080"]
    secrets: [password, {source: key, target: tls.key}]
    mem_limit: 1g
    cpus: 1.5
    pids_limit: 200
  cache:
    image: memcached
    x-note: {anything: [at, all]}
  db:
    image: postgres:16
    volumes:
      - type: bind
        source: /srv/db
        target: /var/lib/postgresql/data
      - {type: volume, source: backups, target: /backups, read_only: true}
    healthcheck: {disable: true}
secrets:
  password: {file: ./secrets/password}
  key: {file: /etc/ssl/key.pem}
volumes:
  backups: {}
)";

ComposeOptions options() {
  ComposeOptions options;
  options.directory = "/srv/app";
  options.volumes = "/srv/volumes";
  options.read_file = [](const std::string& path) -> base::Result<std::string> {
    if (path == "/srv/app/web.env") return "LEVEL=info\nURL='http://db/?a=$1'\n";
    return base::fail(base::ErrorCode::not_found, "there is none");
  };
  return options;
}

// The service, which is also written and read as the same.
Service imported(const std::string& text, ComposeReading* reading_out = nullptr) {
  ComposeReading reading = read_compose("compose.yaml", text, options());
  for (const auto& problem : reading.problems) ADD_FAILURE() << problem;
  if (!reading.service) return {};
  const std::string written = service_text(*reading.service, reading.text);
  const ServiceReading again = read_service("segue.yaml", written);
  for (const auto& problem : again.problems) ADD_FAILURE() << problem << "\n" << written;
  EXPECT_EQ(again.service, reading.service) << written;
  if (reading_out != nullptr) *reading_out = reading;
  return *reading.service;
}

std::vector<std::string> problems_of(const std::string& text) {
  const ComposeReading reading = read_compose("c.yaml", text, options());
  EXPECT_EQ(reading.problems.empty(), reading.service.has_value());
  return reading.problems;
}

// What is wrong with a service that has more said of it, from line 4 on.
std::vector<std::string> problems_with(const std::string& more) {
  return problems_of("services:\n  one:\n    image: redis\n" + more);
}

TEST(ComposeFile, of_a_broker_is_a_service) {
  ComposeReading reading;
  const Service service = imported(kBroker, &reading);
  EXPECT_EQ(service.name, "app");
  ASSERT_THAT(service.components, SizeIs(1));
  const auto& spec = service.components[0].spec;
  EXPECT_EQ(spec.name, "mosquitto");
  EXPECT_EQ(spec.driver, fleet::Driver::container);
  EXPECT_EQ(spec.release.registry, "eclipse-mosquitto:2.0");
  EXPECT_EQ(spec.network, fleet::Network::bridge);
  EXPECT_THAT(spec.ports, ElementsAre(fleet::PublishedPort{"0.0.0.0", 1883, 1883},
                                      fleet::PublishedPort{"127.0.0.1", 9001, 9001}));
  EXPECT_THAT(spec.volumes,
              ElementsAre(fleet::Volume{"/srv/app/config", "/mosquitto/config", true},
                          fleet::Volume{"/srv/volumes/data", "/mosquitto/data", false}));
  EXPECT_THAT(spec.capabilities, ElementsAre("SETGID", "SETUID"));
  EXPECT_EQ(spec.limits.descriptors, 65'536U);
  EXPECT_EQ(spec.health.kind, fleet::HealthCheck::Kind::exec);
  EXPECT_EQ(spec.health.target, "mosquitto_sub -t '$SYS/#' -C 1 -i 'health check'");
  EXPECT_EQ(spec.health.interval_ms, 10'000U);
  EXPECT_EQ(spec.health.bad_in_row, 2U);
  EXPECT_EQ(spec.run.start_ms, 60'000U);
  EXPECT_EQ(spec.run.max_restarts, 1'000'000U);
  EXPECT_THAT(reading.text.comments.at("mosquitto"),
              ElementsAre("was the container 'mqtt'",
                          "/srv/volumes/data has to be there, with what the volume 'data' holds",
                          "label team=things"));
}

TEST(ComposeFile, of_a_cache_is_a_service) {
  const Service service = imported(kRedis);
  EXPECT_EQ(service.name, "cache");
  ASSERT_THAT(service.components, SizeIs(1));
  const auto& spec = service.components[0].spec;
  EXPECT_THAT(spec.command, ElementsAre("redis-server", "--appendonly", "yes", "--save", ""));
  EXPECT_THAT(spec.environment, ElementsAre("TZ=Europe/Berlin", "EMPTY="));
  EXPECT_EQ(spec.network, fleet::Network::host);
  EXPECT_EQ(spec.limits.memory_bytes, std::uint64_t{256} << 20U);
  EXPECT_EQ(spec.limits.cpu_thousandths, 500U);
  EXPECT_EQ(spec.limits.processes, 100U);
  EXPECT_EQ(spec.health.target, "redis-cli ping | grep PONG");
  EXPECT_EQ(spec.health.interval_ms, 30'000U);  // as Compose has it
  EXPECT_EQ(spec.contract.stop_signal, "SIGINT");
  EXPECT_EQ(spec.contract.upgrade, "restart");
  EXPECT_EQ(spec.run.grace_ms, 90'000U);
  EXPECT_EQ(spec.run.max_restarts, 0U);
  EXPECT_EQ(spec.capabilities, usual_capabilities());
}

TEST(ComposeFile, of_several_is_a_service_in_the_order_of_their_needs) {
  ComposeReading reading;
  const Service service = imported(kWebAndDatabase, &reading);
  ASSERT_THAT(service.components, SizeIs(3));
  EXPECT_EQ(service.components[0].spec.name, "cache");
  EXPECT_EQ(service.components[1].spec.name, "db");
  const auto& web = service.components[2].spec;
  EXPECT_EQ(web.name, "web");
  EXPECT_THAT(web.environment, ElementsAre("URL=http://db/?a=$1", "LEVEL=debug", "PRICE=5$"));
  EXPECT_THAT(web.ports, ElementsAre(fleet::PublishedPort{"0.0.0.0", 80, 8080}));
  EXPECT_THAT(web.secrets, ElementsAre(fleet::Secret{"password", "/srv/app/secrets/password"},
                                       fleet::Secret{"tls.key", "/etc/ssl/key.pem"}));
  EXPECT_EQ(web.run.max_restarts, 5U);
  EXPECT_EQ(web.limits.cpu_thousandths, 1'500U);
  EXPECT_EQ(service.components[1].spec.health.kind, fleet::HealthCheck::Kind::none);
  EXPECT_THAT(service.components[1].spec.volumes, SizeIs(2));
  EXPECT_THAT(reading.text.comments.at("web"), Contains("after db, cache"));
  EXPECT_THAT(reading.text.heading, Contains(HasSubstr("do not find each other by their names")));
}

TEST(ComposeFile, is_refused_for_every_key_that_has_no_equal_at_once) {
  EXPECT_THAT(
      problems_with("    build: .\n    user: root\n    networks: [front]\n    imagee: x\n"
                    "    deploy: {replicas: 3, update_config: {parallelism: 1}}\n"
                    "    entrypoint: /bin/sh\nnetworks: {front: {}}\n"),
      ElementsAre(HasSubstr("c.yaml:4: services.one.build: not taken over: nothing is built"),
                  HasSubstr("c.yaml:5: services.one.user: not taken over"),
                  HasSubstr("c.yaml:6: services.one.networks: not taken over"),
                  "c.yaml:7: services.one.imagee: there is no such key; did you mean 'image'?",
                  HasSubstr("c.yaml:8: services.one.deploy.replicas: one instance"),
                  HasSubstr("c.yaml:8: services.one.deploy.update_config: not taken over"),
                  HasSubstr("c.yaml:9: services.one.entrypoint: not taken over"),
                  HasSubstr("c.yaml:10: networks: not taken over")));
}

TEST(ComposeFile, is_refused_where_a_value_has_no_equal) {
  const auto one = [](const std::string& more, const std::string& problem) {
    EXPECT_THAT(problems_with("    " + more + "\n"), ElementsAre(HasSubstr(problem))) << more;
  };
  one("command: echo $HOME", "services.one.command: '$HOME': Compose would put a variable");
  one("ports: [\"80\"]", "services.one.ports[0]: '80': Compose would pick a port");
  one("ports: [\"53:53/udp\"]", "only TCP");
  one("ports: [{target: 80}]", "services.one.ports[0]: ");
  one("volumes: [/data]", "services.one.volumes[0]: '/data' is not SOURCE:TARGET");
  one("volumes: [\"data:/data\"]", "the volume 'data' is not among");
  one("volumes: [\"~/data:/data\"]", "whose home?");
  one("volumes: [{type: tmpfs, target: /x}]", "'type: tmpfs' is neither");
  one("volumes: [{type: bind, source: /a, target: /b, bind: {}}]", "volumes[0].bind: not taken");
  one("secrets: [token]", "the secret 'token' is not among");
  one("environment: [HOME]", "Compose would take it from whoever runs it");
  one("environment: {HOME: }", "Compose would take it from whoever runs it");
  one("env_file: nowhere.env", "nowhere.env: there is none");
  one("network_mode: \"service:web\"", "'service:web' is none of");
  one("restart: sometimes", "'sometimes' is none of");
  one("ulimits: {nproc: 100}", "services.one.ulimits.nproc: there is no such key");
  one("ulimits: {nofile: {soft: 1024, hard: 2048}}", "the same here");
  one("healthcheck: {interval: 5s}", "'test' is missing");
  one("healthcheck: {test: [CMD]}", "neither [CMD, PROGRAM");
  one("cap_add: [ALL]", "name the capabilities");
  one("mem_limit: lots", "'lots' is not a size");
  one("depends_on: [two]", "there is no service 'two'");
  one("depends_on: [one]", "it depends on itself");
  one("stop_signal: LATER", "'LATER' is not a signal");
  EXPECT_THAT(problems_with("    depends_on: {one: {condition: service_completed_successfully}}\n"),
              Contains(HasSubstr("services.one.depends_on.one.condition: a component serves")));
  one("<<: {restart: always}", "merge keys are not followed");
}

TEST(ComposeFile, is_refused_where_the_component_would_be_wrong) {
  EXPECT_THAT(problems_of("services:\n  one:\n    image: Not An Image\n"),
              ElementsAre(HasSubstr("c.yaml:3: services.one.image: 'Not An Image'")));
  EXPECT_THAT(
      problems_with("    network_mode: host\n    ports: [\"80:80\"]\n"),
      ElementsAre(HasSubstr("services.one.ports: only a container with 'network: bridge'")));
  EXPECT_THAT(problems_with("    cap_add: [FLY]\n"), ElementsAre(HasSubstr("'FLY' is none of")));
  EXPECT_THAT(problems_of("services: {one: {restart: always}}\n"),
              ElementsAre(HasSubstr("'image' is missing")));
}

TEST(ComposeFile, is_refused_for_a_circle_of_needs) {
  EXPECT_THAT(problems_of("services:\n  a: {image: x, depends_on: [b]}\n"
                          "  b: {image: x, depends_on: [a]}\n  c: {image: x}\n"),
              ElementsAre(HasSubstr("c.yaml:2: services.a: it depends on itself"),
                          HasSubstr("c.yaml:3: services.b: it depends on itself")));
}

TEST(ComposeFile, needs_a_directory_for_volumes_of_the_engine) {
  ComposeOptions without = options();
  without.volumes.clear();
  EXPECT_THAT(read_compose("c.yaml", kBroker, without).problems,
              ElementsAre(HasSubstr("say with --volumes")));
}

TEST(ComposeFile, that_is_none_is_refused) {
  EXPECT_THAT(problems_of(""), Not(IsEmpty()));
  EXPECT_THAT(problems_of("services: {}\n"), ElementsAre(HasSubstr("there are no 'services'")));
  EXPECT_THAT(problems_of("services: &a {b: *a}\n"), Not(IsEmpty()));
  EXPECT_THAT(problems_of("[[[[\n"), Not(IsEmpty()));
  ComposeOptions rooted = options();
  rooted.directory = "/";
  EXPECT_THAT(read_compose("c.yaml", "services: {a: {image: x}}\n", rooted).problems,
              ElementsAre(HasSubstr("name one with --name")));
}

}  // namespace
}  // namespace segue::service
