// SPDX-License-Identifier: Apache-2.0
#include "control/options.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <limits>

#include "control/option_rows.h"

namespace segue::control {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kDayMs = 86'400'000;

using AttemptRow = Row<AttemptOptions>;
using RunRow = Row<RunOptions>;

const std::array kAttemptRows = {
    AttemptRow{"budget-us", &AttemptOptions::budget_us, 10, 60'000'000},
    AttemptRow{"max-rounds", &AttemptOptions::max_rounds, 1, 10'000},
    AttemptRow{"max-attempts", &AttemptOptions::max_attempts, 1, 1'000},
    AttemptRow{"background-ms", &AttemptOptions::background_ms, 1, kDayMs},
    AttemptRow{"rehearsal-ms", &AttemptOptions::rehearsal_ms, 1, kDayMs},
    AttemptRow{"answer-ms", &AttemptOptions::answer_ms, 1, kDayMs},
    AttemptRow{"hang-ms", &AttemptOptions::hang_ms, 8, kDayMs},
    AttemptRow{"probation-ms", &AttemptOptions::probation_ms, 0, kDayMs},
    AttemptRow{"start-ms", &AttemptOptions::start_ms, 1, kDayMs},
    AttemptRow{"timeout-ms", &AttemptOptions::timeout_ms, 0, kDayMs},
    AttemptRow{"retries", &AttemptOptions::retries, 0, 100},
    AttemptRow{"vote", &AttemptOptions::vote},
    AttemptRow{"no-rehearsal", &AttemptOptions::no_rehearsal},
    AttemptRow{"refuse-loss", &AttemptOptions::refuse_loss},
    AttemptRow{"on-crash", &AttemptOptions::on_crash},
    AttemptRow{"queue", &AttemptOptions::queue},
    AttemptRow{"relay", &AttemptOptions::relay},
    AttemptRow{"health-cmd", &AttemptOptions::health_cmd},
    AttemptRow{"health-tcp", &AttemptOptions::health_tcp},
    AttemptRow{"health-timeout-ms", &AttemptOptions::health_timeout_ms, 1, 600'000},
    AttemptRow{"force", &AttemptOptions::force},
    AttemptRow{"max-parallel", &AttemptOptions::max_parallel, 1, 64},
    AttemptRow{"turn-ms", &AttemptOptions::turn_ms, 0, kDayMs},
    AttemptRow{"max-load-percent", &AttemptOptions::max_load_percent, 0, 1'000'000},
};

const std::array kRunRows = {
    RunRow{"start-ms", &RunOptions::start_ms, 1, kDayMs},
    RunRow{"max-restarts", &RunOptions::max_restarts, 0, 1'000'000},
    RunRow{"grace-ms", &RunOptions::grace_ms, 1, kDayMs},
    RunRow{"metrics-listen", &RunOptions::metrics_listen},
    RunRow{"unsafe-fault", &RunOptions::unsafe_fault},
};

Result<bool> assign_other(const Request::Option& option, ParsedRequest& parsed) {
  if (option.key == "cwd") {
    if (!option.value.starts_with('/')) {
      return fail(ErrorCode::invalid_argument, "cwd: '{}' is not an absolute path", option.value);
    }
    parsed.launch.cwd = option.value;
  } else if (option.key == "env") {
    if (option.value.find('=') == std::string::npos || option.value.starts_with('=')) {
      return fail(ErrorCode::invalid_argument, "env: '{}' is not NAME=value",
                  option.value.substr(0, 80));
    }
    parsed.launch.env.push_back(option.value);
  } else if (option.key == "after") {
    SEGUE_ASSIGN(parsed.after,
                 parse_number<std::uint64_t>("after", option.value, 0,
                                             std::numeric_limits<std::uint64_t>::max()));
  } else if (option.key == "follow") {
    SEGUE_ASSIGN(parsed.follow, parse_bool("follow", option.value));
  } else if (option.key == "dry-run") {
    SEGUE_ASSIGN(parsed.dry_run, parse_bool("dry-run", option.value));
  } else if (option.key == "keeper") {
    if (!option.value.starts_with('/')) {
      return fail(ErrorCode::invalid_argument, "keeper: '{}' is not an absolute path",
                  option.value.substr(0, 80));
    }
    parsed.keeper = option.value;
  } else {
    return false;
  }
  return true;
}

}  // namespace

void append_options(Request& request, const AttemptOptions& options) {
  append_rows(kAttemptRows, options, request);
}

void append_options(Request& request, const RunOptions& options) {
  append_rows(kRunRows, options, request);
}

void append_launch(Request& request, const Launch& launch) {
  request.options.push_back({"cwd", launch.cwd});
  for (const auto& variable : launch.env) request.options.push_back({"env", variable});
  request.program = launch.argv;
}

Result<bool> assign_option(const Request::Option& option, AttemptOptions& options) {
  return assign_known(kAttemptRows, option, options);
}

Result<bool> assign_option(const Request::Option& option, RunOptions& options) {
  return assign_known(kRunRows, option, options);
}

Result<void> check_options(const AttemptOptions& options) {
  if (!options.on_crash.empty() && !on_crash_of(options.on_crash)) {
    return fail(ErrorCode::invalid_argument, "on-crash: '{}' is not one of {}",
                options.on_crash.substr(0, 40), fmt::join(kOnCrashWords, ", "));
  }
  if (!options.health_tcp.empty()) SEGUE_TRY(parse_host_port(options.health_tcp));
  return {};
}

std::optional<std::uint32_t> on_crash_of(std::string_view word) {
  const auto* const found = std::find(kOnCrashWords.begin(), kOnCrashWords.end(), word);
  if (found == kOnCrashWords.end()) return std::nullopt;
  return static_cast<std::uint32_t>(found - kOnCrashWords.begin());
}

Result<ParsedRequest> parse_options(const Request& request) {
  ParsedRequest parsed;
  for (const auto& option : request.options) {
    // start-ms belongs to both.
    SEGUE_ASSIGN(const bool of_attempt, assign_option(option, parsed.attempt));
    SEGUE_ASSIGN(const bool of_run, assign_option(option, parsed.run));
    SEGUE_ASSIGN(const bool other, assign_other(option, parsed));
    SEGUE_ASSIGN(const bool of_contract, assign_contract_option(option, parsed.contract));
    if (!of_attempt && !of_run && !other && !of_contract) {
      return fail(ErrorCode::invalid_argument, "unknown option '{}'", option.key.substr(0, 80));
    }
  }
  SEGUE_TRY(check_contract(parsed.contract));
  SEGUE_TRY(check_options(parsed.attempt));
  parsed.launch.argv = request.program;
  if (!request.program.empty() && !request.program.front().starts_with('/')) {
    return fail(ErrorCode::invalid_argument, "the program '{}' is not an absolute path",
                request.program.front());
  }
  return parsed;
}

Result<HostPort> parse_host_port(const std::string& text) {
  const auto refuse = [&] {
    return fail(ErrorCode::invalid_argument, "health-tcp: '{}' is not HOST:PORT", text);
  };
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon == 0) return refuse();
  HostPort result{text.substr(0, colon), 0};
  if (result.host.starts_with('[') && result.host.ends_with(']') && result.host.size() > 2) {
    result.host = result.host.substr(1, result.host.size() - 2);
  } else if (result.host.find_first_of("[]:") != std::string::npos) {
    return refuse();
  }
  const auto port = parse_number<std::uint16_t>(
      "health-tcp", std::string_view(text).substr(colon + 1), 1, 65'535);
  if (!port) return refuse();
  result.port = *port;
  return result;
}

}  // namespace segue::control
