// SPDX-License-Identifier: Apache-2.0
// Components for tests.
#pragma once

#include "fleet/component.h"

namespace segue::fleet {

inline ComponentSpec process_component() {
  ComponentSpec spec;
  spec.service = "chat";
  spec.name = "hub";
  spec.release.library = "https://releases.example/";
  spec.release.version = "1.4.2";
  spec.command = {"bin/hub", "--port", "7000"};
  return spec;
}

// With something said of everything.
inline ComponentSpec whole_component() {
  ComponentSpec spec;
  spec.service = "chat";
  spec.name = "hub";
  spec.driver = Driver::container;
  spec.release = {.library = "/srv/library",
                  .component = "chat-hub",
                  .version = "2.0.0-rc.1",
                  .root = "/etc/segue/root.json",
                  .registry = {}};
  spec.command = {"/bin/hub", "--greeting", "hello \"you\"\n", ""};
  spec.environment = {"LEVEL=info", "EMPTY=", "WORDS=a=b"};
  spec.secrets = {{"token", "/etc/chat/token"}, {"tls.key", "/etc/chat/tls.key"}};
  spec.volumes = {{"/srv/chat", "/data", false}, {"/etc/chat", "/etc/chat", true}};
  spec.network = Network::bridge;
  spec.ports = {{"127.0.0.1", 7000, 7000}, {"::1", 8443, 443}};
  spec.capabilities = {"NET_BIND_SERVICE"};
  spec.limits = {.memory_bytes = std::uint64_t{512} << 20U,
                 .cpu_thousandths = 1'500,
                 .processes = 200,
                 .descriptors = 16'384};
  spec.health = {.kind = HealthCheck::Kind::http,
                 .target = "http://127.0.0.1:7000/healthy",
                 .interval_ms = 1'000,
                 .timeout_ms = 500,
                 .good_in_row = 3,
                 .bad_in_row = 5};
  spec.sharing = {.kind = Sharing::Kind::haproxy,
                  .pick = Sharing::Pick::random,
                  .proxy_host = "edge-1",
                  .proxy_socket = "/run/haproxy/admin.sock",
                  .backend = "chat",
                  .stable_server = "{host}",
                  .canary_server = "{host}-canary"};
  spec.hosts = {.names = {"berlin-1"}, .sites = {"berlin", "oslo"}, .labels = {"tier=front"}};
  spec.contract.upgrade = "listeners";
  spec.contract.drain_ms = 30'000;
  spec.contract.listen = {{"web", control::Listen::Kind::tcp, "::1", 8080},
                          {"control", control::Listen::Kind::unix_stream, "/run/hub.sock", 0}};
  spec.run.max_restarts = 3;
  spec.run.start_ms = 10'000;
  spec.attempt.budget_us = 5'000;
  spec.attempt.start_ms = 20'000;
  spec.attempt.vote = true;
  spec.attempt.on_crash = "replay";
  return spec;
}

}  // namespace segue::fleet
