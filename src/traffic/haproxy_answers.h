// SPDX-License-Identifier: Apache-2.0
// What HAProxy answers on its runtime API (HAProxy Management Guide, section 9.3). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::traffic {

inline constexpr std::size_t kMaxProxyServers = 4'096;      // of one backend
inline constexpr std::size_t kMaxProxyMapEntries = 65'536;  // of one map

// Of `show info`. A reload or a restart is another process, which has the state of its
// configuration and counts from 0.
struct ProxyProcess {
  std::uint32_t major = 0;
  std::uint32_t minor = 0;
  std::string version;
  std::uint64_t pid = 0;
  std::uint64_t start_s = 0;  // since 1970

  [[nodiscard]] bool is_same_as(const ProxyProcess& other) const {
    return pid == other.pid && start_s == other.start_s;
  }
};
base::Result<ProxyProcess> parse_process(std::string_view answer);

// What an operator or the runtime API has made of a server; bits of srv_admin_state.
inline constexpr std::uint32_t kForcedMaintenance = 0x01;
inline constexpr std::uint32_t kAnyMaintenance = 0x01 | 0x02 | 0x04 | 0x20 | 0x40;
inline constexpr std::uint32_t kForcedDrain = 0x08;
inline constexpr std::uint32_t kAnyDrain = 0x08 | 0x10;

// A server of a backend.
struct ProxyServer {
  std::uint32_t backend_id = 0;  // a frontend may have the backend's name
  std::string name;
  std::string address;  // numeric
  std::uint16_t port = 0;
  std::uint32_t weight = 0;
  std::uint32_t configured_weight = 0;  // in its configuration, or as it was added
  std::uint32_t admin_state = 0;
  bool is_running = false;             // its health checks are good, or it has none
  bool is_backup = false;              // gets nothing while another one runs
  std::uint64_t sessions = 0;          // since the process started; of mode http: requests
  std::uint64_t current_sessions = 0;  // … that have not ended
};
// Of `show servers state BACKEND`: all but what is counted.
base::Result<std::vector<ProxyServer>> parse_servers(std::string_view answer);

struct ProxyFigures {
  struct Server {
    std::uint64_t sessions = 0;
    std::uint64_t current_sessions = 0;
    bool is_backup = false;
  };
  std::map<std::string, Server, std::less<>> servers;
  std::string mode;       // tcp, http
  std::string algorithm;  // roundrobin, leastconn, …
};
// Of `show stat BACKEND_ID 6 -1`: servers (4) and the backend itself (2).
base::Result<ProxyFigures> parse_figures(std::string_view answer);

// Of `show map FILE`: keys and values.
using ProxyMap = std::map<std::string, std::string, std::less<>>;
base::Result<ProxyMap> parse_map(std::string_view answer);
// Of `prepare map FILE`.
base::Result<std::uint32_t> parse_map_version(std::string_view answer);

// An answer that is one of HAProxy's refusals; the error says what to do. `command` is what was
// sent.
base::Result<void> check_refusal(std::string_view command, std::string_view answer);
// Of a command that has nothing to say when it is done, or begins with one of `done`.
base::Result<void> check_done(std::string_view command, std::string_view answer,
                              const std::vector<std::string>& done = {});

// A word that may stand in a command: not empty, no blanks, control characters, ';', '\' or '#'.
base::Result<void> check_proxy_word(std::string_view what, std::string_view word);

}  // namespace segue::traffic
