// SPDX-License-Identifier: Apache-2.0
// Files of services for tests.
#pragma once

namespace segue::service {

// With every key there is.
inline constexpr const char* kWholeFile = R"yaml(service: chat
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
    listen: {clients: "tcp:127.0.0.1:7000,group"}
    gates:
      handoff: {kind: handoff, every: 2s, lost: 1, blackout: 10ms}
      well: {kind: health, bad: 2, good: 5}
      memory:
        kind: query
        prometheus: http://127.0.0.1:9090
        query: 'max(memory_bytes{version="{{version}}"})'
        above: 2.5e9
      free: {kind: query, prometheus: "https://m.example/p", query: "min(free)", below: 0.1, bad: 1}
      errors:
        kind: compare
        prometheus: http://127.0.0.1:9090
        every: 2m
        canary:
          requests: 'sum by (host) (increase(requests_total{version="{{version}}"}[2m]))'
          failures: 'sum by (host) (increase(failures_total{version="{{version}}"}[2m]))'
        baseline:
          requests: 'sum by (host) (increase(requests_total{version="{{baseline_version}}"}[2m]))'
          failures: 'sum by (host) (increase(failures_total{version="{{baseline_version}}"}[2m]))'
        tolerance: 20%
        margin: 100%
        absolute_tolerance: 0.1%
        absolute_margin: 1%
        alpha: 0.5%
        good_alpha: 1%
        pass: unrefuted
        minimum_clusters: 10
        minimum_requests: 100
        minimum_time: 10m
        cluster_cap: 100
        warm_up: 3m
      speed:
        kind: latency
        prometheus: http://127.0.0.1:9090
        canary: {buckets: 'sum by (host, le) (increase(s_bucket{version="{{version}}"}[1m]))'}
        baseline: {buckets: 'sum by (host, le) (increase(s_bucket{version="{{baseline_version}}"}[1m]))'}
        quantile: 99.9%
        margin: 150%
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
        baseline: renewed
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
      map: /etc/haproxy/users.map
      routed: [alice, bob]
      map_value: edge_canary
    upgrade: restart
    rollout:
      waves:
        - {site: berlin, max_unavailable: 50%}
        - {label: tier=front}
        - {each_label: zone}
  worker:
    release: {version: "7"}
    command: [bin/worker]
    upgrade: signal
    signal: {upgrade: USR2, new_pid: MAINPID, retire: WINCH, resume: HUP, then: QUIT}
    listen: {web: "tcp:127.0.0.1:8080", local: "unix:/run/worker.sock"}
    rollout: {strategy: all-at-once}
  probe:
    release: {version: "7"}
    command: [bin/probe]
    health: {exec: "test -e /run/probe"}
    upgrade: listeners
    listen: {web: "tcp:127.0.0.1:8081,group"}
    sharing: {kind: kernel}
    rollout: {strategy: blue-green}
)yaml";

}  // namespace segue::service
