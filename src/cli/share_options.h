// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace segue::cli {

struct ShareOptions {
  std::string share;   // "10%"; empty: show
  std::string sticky;  // "source"; empty: by chance
  std::optional<std::uint64_t> salt;
  std::string listener;          // of several the only one; empty: all
  std::uint32_t probes = 1'000;  // of showing
  double keep_s = 0;             // look again so often; 0: once
  // HAProxy instead of the kernel
  std::string haproxy;  // its stats socket
  std::string backend;
  std::vector<std::string> canary_servers;  // NAME, or NAME=HOST:PORT to be added
  std::vector<std::string> drain_servers;
  std::vector<std::string> remove_servers;
  std::string map;
  std::vector<std::string> routes;  // KEY=VALUE: all entries of the map
  bool check = false;               // servers that are added have health checks
  bool forget = false;
};

}  // namespace segue::cli
