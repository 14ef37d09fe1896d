// SPDX-License-Identifier: Apache-2.0
// Files of services for tests.
#pragma once

namespace segue::service {

// With every key there is.
inline constexpr const char* kWholeFile = R"(service: chat
defaults:
  driver: process
  release:
    library: https://releases.example/
    root: /etc/segue/root.json
  environment: {LEVEL: info, ZONE: a}
  limits: {memory: 256MiB, cpus: 1}
  health: {tcp: "127.0.0.1:1", interval: 1s}
  rollout:
    bake: 2m
    max_failures: 1
components:
  hub:
    release: {component: chat-hub, version: 1.4.2}
    command: [bin/hub, --port, "7000", "${HOME}"]
    environment: {ZONE: b, EMPTY: ""}
    secrets: {token: /etc/chat/token}
    limits: {cpus: 1.5, processes: 200, descriptors: 16384}
    health: {http: "http://127.0.0.1:7000/ok", timeout: 500ms, good: 3, bad: 5}
    sharing: {kind: kernel, pick: source}
    hosts: {names: [berlin-1], sites: [berlin, oslo], labels: {tier: front}}
    upgrade: libsegue
    ready: notify
    start: 10s
    nonblocking: true
    reconnect_per_second: 50
    fd_store_max: 9
    watchdog: 2500ms
    max_restarts: 3
    metrics: 127.0.0.1:9100
    on_crash: replay
    stop: {signal: QUIT, drain: 1m, grace: 4s}
    handoff:
      budget: 5ms
      max_rounds: 20
      max_attempts: 4
      background: 5m
      rehearsal: 30s
      answer: 2s
      hang: 1s
      probation: 10s
      start: 20s
      timeout: 10m
      retries: 2
      vote: true
      no_rehearsal: true
      refuse_loss: true
      relay: true
      max_parallel: 1
      turn: 1h
      max_load_percent: 500
    rollout:
      strategy: canary
      max_unavailable: 1
      max_failures: 5%
      max_silent: 2
      bake: 90s
      step_approvals: 1
      gates: [handoff, errors]
      waves:
        - 1
        - {hosts: 10%, repeat: true, name: most, bake: 5m}
      canary:
        split: kernel
        on: 50%
        steps:
          - 0.5%
          - {share: 10%, bake: 10m, approvals: 0, gates: [errors]}
        salt: 7
        ends_when_idle: false
      undo_window: 15m
      approvals: 2
      late_watch: 1h
      late_gates: [errors]
      on_bad: pause
      meanwhile: supersede
      retries: 1
      first_retry: 5s
      order_limit: 20m
      gate_limit: 2h
  edge:
    driver: container
    image: registry.example:5000/edge:2.1
    network: bridge
    ports: ["8443:443", "0.0.0.0:80:80", "[::1]:81:81"]
    volumes:
      - /srv/edge:/data
      - /etc/edge:/etc/edge:ro
      - {source: "/srv/a:b", target: /ab, read_only: true}
    capabilities: [NET_BIND_SERVICE]
    health: {grpc: "127.0.0.1:50051/edge.Health"}
    sharing:
      kind: haproxy
      proxy_host: edge-1
      proxy_socket: /run/haproxy/admin.sock
      backend: edge
      stable_server: "{host}"
      canary_server: "{host}-canary"
    upgrade: signal
    signal: {upgrade: USR2, new_pid: MAINPID, retire: WINCH, resume: HUP, then: QUIT}
    listen: {web: "tcp:127.0.0.1:8080", local: "unix:/run/edge.sock"}
    rollout:
      waves:
        - {site: berlin, max_unavailable: 50%}
        - {label: tier=front}
        - {each_label: zone}
  worker:
    release: {version: "7"}
    command: [bin/worker]
    rollout: {strategy: all-at-once}
  probe:
    release: {version: "7"}
    command: [bin/probe]
    health: {exec: "test -e /run/probe"}
    rollout: {strategy: blue-green}
)";

}  // namespace segue::service
