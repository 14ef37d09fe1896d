// SPDX-License-Identifier: Apache-2.0
// What a program can do about its own upgrade, and what the keeper therefore does for it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/request.h"

namespace segue::control {

enum class Contract {
  automatic,  // the keeper finds out which of the others it is, or says what it needs to be told
  libsegue,   // links libsegue: connections and state move
  listeners,  // takes listening sockets: old and new run side by side, the old one drains
  fdstore,    // leaves descriptors with the keeper (sd_notify) and gets them back after a restart
  signal,     // replaces its own binary when it is signalled
  restart,    // none of these: stopped and started while the keeper holds its listening sockets
};
std::string_view to_string(Contract contract);
base::Result<Contract> parse_contract(std::string_view text);

// How a program shows that it serves.
enum class Ready {
  automatic,  // the first of notify and accepting; started if there is no listening socket
  notify,     // READY=1 on $NOTIFY_SOCKET
  accepting,  // it waits for connections on every listening socket that it was given
  health,     // the health check is good
  started,    // it has run for a second
};
std::string_view to_string(Ready ready);
base::Result<Ready> parse_ready(std::string_view text);

// A socket that the keeper binds and holds.
struct Listen {
  enum class Kind { tcp, udp, unix_stream };
  std::string name;  // as in LISTEN_FDNAMES: no ':' and no '='
  Kind kind = Kind::tcp;
  std::string host;  // numeric; of unix_stream the absolute path
  std::uint16_t port = 0;
  bool group = false;  // of tcp: shared with the component's other slot (docs/grayscale.md)

  bool operator==(const Listen&) const = default;
};
// NAME=tcp:HOST:PORT, NAME=tcp:HOST:PORT,group, NAME=udp:HOST:PORT, NAME=unix:/PATH
base::Result<Listen> parse_listen(const std::string& text);
std::string to_string(const Listen& listen);

// TERM, SIGTERM or 15.
base::Result<int> parse_signal(std::string_view text);

struct ContractOptions {
  std::string upgrade = "libsegue";  // a Contract
  std::string ready = "auto";        // a Ready
  std::string stop_signal = "TERM";
  std::optional<std::uint32_t> drain_ms;   // how long the old process may take to end
  std::uint32_t reconnect_per_second = 0;  // at the drain limit; 0: all that are left at once
  std::uint32_t fd_store_max = 128;
  std::uint32_t watchdog_ms = 0;  // 0: none is asked for
  bool nonblocking = false;       // accept(2) on the sockets below never waits
  std::string upgrade_signal;     // Contract::signal: starts the new binary
  std::string new_pid;            // … where the new main process shows: MAINPID, or a file
  std::string retire_signal;      // … the old one is to accept nothing more
  std::string resume_signal;      // … it is to accept again
  std::string then_signal;        // … it is to end; empty: stop_signal
  std::vector<Listen> listen;

  bool operator==(const ContractOptions&) const = default;
};

void append_options(Request& request, const ContractOptions& options);
// False: the key is none of them.
base::Result<bool> assign_contract_option(const Request::Option& option, ContractOptions& options);
// Whether the options are each well formed and fit together.
base::Result<void> check_contract(const ContractOptions& options);

}  // namespace segue::control
