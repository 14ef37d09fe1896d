// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "control/contract.h"
#include "control/request.h"

namespace segue::control {

// How to start a program. The environment is the keeper's own, changed by `env`.
struct Launch {
  std::vector<std::string> argv;  // argv[0] is an absolute path
  std::string cwd = "/";
  std::vector<std::string> env;  // NAME=value

  bool operator==(const Launch&) const = default;
};

// What may be asked of a handoff. An unset number means the service's own option.
struct AttemptOptions {
  std::optional<std::uint32_t> budget_us;
  std::optional<std::uint32_t> max_rounds;
  std::optional<std::uint32_t> max_attempts;  // freezes
  std::optional<std::uint32_t> background_ms;
  std::optional<std::uint32_t> rehearsal_ms;
  std::optional<std::uint32_t> answer_ms;
  std::optional<std::uint32_t> hang_ms;
  std::uint32_t probation_ms = 2'000;
  std::uint32_t start_ms = 30'000;  // how long the program may take to be ready
  std::uint32_t timeout_ms = 0;     // from the request until it is active; 0: no limit of its own
  std::uint32_t retries = 0;        // from the beginning, where the failure may pass
  bool vote = false;                // the service itself has to say that all is well
  bool no_rehearsal = false;
  bool refuse_loss = false;  // where the other version cannot hold all of the state
  std::string on_crash;      // one of kOnCrashWords; empty: the service's own option
  bool queue = false;        // wait for an upgrade under way instead of being refused
  bool relay = false;        // the state goes through the keeper
  std::string health_cmd;    // a shell command; good when it exits with 0
  std::string health_tcp;    // HOST:PORT that has to accept
  std::uint32_t health_timeout_ms = 5'000;  // of one check
  // On this host
  bool force = false;                      // also where there seems to be no room for both
  std::uint32_t max_parallel = 2;          // attempts of all components of this user at once
  std::uint32_t turn_ms = 600'000;         // how long it waits for its turn
  std::uint32_t max_load_percent = 2'000;  // runnable processes per hundred CPUs

  bool operator==(const AttemptOptions&) const = default;
};

struct RunOptions {
  std::uint32_t start_ms = 30'000;
  std::uint32_t max_restarts = 10;  // in a row, after crashes
  std::uint32_t grace_ms = 5'000;   // `stop`: asked, then SIGTERM, and after as long again SIGKILL
  std::string metrics_listen;       // HOST:PORT of this host alone, besides the Unix socket
  std::string unsafe_fault;         // POINT:ACTION, for tests

  bool operator==(const RunOptions&) const = default;
};

// If the successor dies or hangs in probation; in the order of segue_on_crash.
inline constexpr std::array<std::string_view, 4> kOnCrashWords = {"resume", "replay", "arenas",
                                                                  "restart"};
std::optional<std::uint32_t> on_crash_of(std::string_view word);

// To and from KEY=VALUE; the keys are those of the command line. Reading checks bounds and refuses
// keys that it does not know, by name.
void append_options(Request& request, const AttemptOptions& options);
void append_options(Request& request, const RunOptions& options);
void append_launch(Request& request, const Launch& launch);
// One option; false: the key is none of them.
base::Result<bool> assign_option(const Request::Option& option, AttemptOptions& options);
base::Result<bool> assign_option(const Request::Option& option, RunOptions& options);
// Whether the options are each well formed; numbers are in bounds once they were assigned.
base::Result<void> check_options(const AttemptOptions& options);

struct ParsedRequest {
  AttemptOptions attempt;
  RunOptions run;
  ContractOptions contract;
  Launch launch;
  std::uint64_t after = 0;  // `events`: the number of the last one that is known
  bool follow = false;      // `events`: go on
  std::string keeper;       // `keeper-upgrade`: the keeper's next program
  bool dry_run = false;     // check, say what would be done, do nothing
};
base::Result<ParsedRequest> parse_options(const Request& request);

// HOST:PORT or [HOST]:PORT
struct HostPort {
  std::string host;
  std::uint16_t port = 0;
};
base::Result<HostPort> parse_host_port(const std::string& text);

}  // namespace segue::control
