// SPDX-License-Identifier: Apache-2.0
// The server's figures in Prometheus' text format 0.0.4. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>

#include "server/latency.h"
#include "server/webhooks.h"

namespace segue::server {

inline constexpr const char* kMetricsType = "text/plain; version=0.0.4; charset=utf-8";

struct FleetFigures {
  std::map<std::string, std::uint64_t> rollouts;  // by phase
  std::map<std::string, std::uint64_t> hosts;     // by state
  std::uint64_t agents_attached = 0;
  std::uint64_t hosts_drained = 0;
  // By component, slot and health.
  std::map<std::tuple<std::string, std::string, std::string>, std::uint64_t> instances;
  std::map<std::string, std::uint64_t> connections;  // by component
  bool is_stopped = false;
  bool has_trouble = false;
  Latency store;
  std::uint64_t store_waiting = 0;
  std::uint64_t audit_entries = 0;
  std::map<std::pair<std::string, unsigned>, std::uint64_t> requests;  // by route and status
  Webhooks::Figures webhooks;
  std::uint64_t webhooks_waiting = 0;
};

std::string write_metrics(const FleetFigures& figures);

}  // namespace segue::server
