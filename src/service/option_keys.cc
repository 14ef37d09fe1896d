// SPDX-License-Identifier: Apache-2.0
#include "service/option_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <utility>

#include "config/quantities.h"
#include "control/options.h"

namespace segue::service {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using config::Findings;
using config::Key;
using config::Keys;
using config::Layers;
using config::Place;
using Of = OptionKey::Of;
using Unit = OptionKey::Unit;

constexpr std::array kOfComponent = {
    OptionKey{"upgrade", "upgrade"},
    OptionKey{"ready", "ready"},
    OptionKey{"start", "start-ms", Of::run_and_attempt, Unit::time_ms},
    OptionKey{"nonblocking", "nonblocking", Of::contract, Unit::truth},
    OptionKey{"reconnect_per_second", "reconnect-per-second", Of::contract, Unit::number},
    OptionKey{"fd_store_max", "fd-store-max", Of::contract, Unit::number},
    OptionKey{"watchdog", "watchdog-ms", Of::contract, Unit::time_ms},
    OptionKey{"max_restarts", "max-restarts", Of::run, Unit::number},
    OptionKey{"metrics", "metrics-listen", Of::run},
    OptionKey{"on_crash", "on-crash", Of::attempt},
};

constexpr std::array kStop = {
    OptionKey{"signal", "stop-signal"},
    OptionKey{"drain", "drain-ms", Of::contract, Unit::time_ms},
    OptionKey{"grace", "grace-ms", Of::run, Unit::time_ms},
};

constexpr std::array kSignal = {
    OptionKey{"upgrade", "upgrade-signal"}, OptionKey{"new_pid", "new-pid"},
    OptionKey{"retire", "retire-signal"},   OptionKey{"resume", "resume-signal"},
    OptionKey{"then", "then-signal"},
};

constexpr std::array kHandoff = {
    OptionKey{"budget", "budget-us", Of::attempt, Unit::time_us},
    OptionKey{"max_rounds", "max-rounds", Of::attempt, Unit::number},
    OptionKey{"max_attempts", "max-attempts", Of::attempt, Unit::number},
    OptionKey{"background", "background-ms", Of::attempt, Unit::time_ms},
    OptionKey{"rehearsal", "rehearsal-ms", Of::attempt, Unit::time_ms},
    OptionKey{"answer", "answer-ms", Of::attempt, Unit::time_ms},
    OptionKey{"hang", "hang-ms", Of::attempt, Unit::time_ms},
    OptionKey{"probation", "probation-ms", Of::attempt, Unit::time_ms},
    OptionKey{"start", "start-ms", Of::attempt, Unit::time_ms},
    OptionKey{"timeout", "timeout-ms", Of::attempt, Unit::time_ms},
    OptionKey{"retries", "retries", Of::attempt, Unit::number},
    OptionKey{"vote", "vote", Of::attempt, Unit::truth},
    OptionKey{"no_rehearsal", "no-rehearsal", Of::attempt, Unit::truth},
    OptionKey{"refuse_loss", "refuse-loss", Of::attempt, Unit::truth},
    OptionKey{"relay", "relay", Of::attempt, Unit::truth},
    OptionKey{"max_parallel", "max-parallel", Of::attempt, Unit::number},
    OptionKey{"turn", "turn-ms", Of::attempt, Unit::time_ms},
    OptionKey{"max_load_percent", "max-load-percent", Of::attempt, Unit::number},
};

constexpr std::array kSections = {OptionSection{"", kOfComponent}, OptionSection{"stop", kStop},
                                  OptionSection{"signal", kSignal},
                                  OptionSection{"handoff", kHandoff}};

Result<std::string> option_value(Unit unit, const std::string& text) {
  switch (unit) {
    case Unit::text:
    case Unit::number:
      return text;
    case Unit::truth:
      if (text == "true" || text == "false") return std::string(text == "true" ? "1" : "0");
      return fail(ErrorCode::invalid_argument, "'{}' is neither true nor false",
                  text.substr(0, 40));
    case Unit::time_ms:
    case Unit::time_us:
      break;
  }
  SEGUE_ASSIGN(const std::uint64_t time_us, config::parse_time_span_us(text));
  if (unit == Unit::time_us) return fmt::to_string(time_us);
  if (time_us % 1'000 == 0) return fmt::to_string(time_us / 1'000);
  return fail(ErrorCode::invalid_argument, "'{}' is not a whole number of milliseconds", text);
}

Result<bool> assign(const OptionKey& key, const control::Request::Option& option,
                    fleet::ComponentSpec& spec) {
  switch (key.of) {
    case Of::contract:
      return control::assign_contract_option(option, spec.contract);
    case Of::run:
      return control::assign_option(option, spec.run);
    case Of::run_and_attempt:
      SEGUE_TRY(control::assign_option(option, spec.run));
      [[fallthrough]];
    case Of::attempt:
      return control::assign_option(option, spec.attempt);
  }
  return false;
}

}  // namespace

std::span<const OptionSection> option_sections() {
  return kSections;
}

std::span<const OptionKey> option_keys(std::string_view section) {
  const auto* const found = std::ranges::find(kSections, section, &OptionSection::section);
  return found == kSections.end() ? std::span<const OptionKey>() : found->keys;
}

Keys option_readers(std::string_view section, fleet::ComponentSpec& spec, Findings& findings) {
  Keys keys;
  for (const OptionKey& key : option_keys(section)) {
    keys.push_back({std::string(key.key), [&key, &spec, &findings](const Layers& layers) {
                      config::read_parsed(
                          layers.back(), findings, [&](const std::string& text) -> Result<bool> {
                            SEGUE_ASSIGN(std::string value, option_value(key.unit, text));
                            return assign(key, {std::string(key.option), std::move(value)}, spec);
                          });
                    }});
  }
  return keys;
}

std::string key_of_option(std::string_view option) {
  for (const auto& section : kSections) {
    for (const auto& key : section.keys) {
      if (key.option != option) continue;
      return section.section.empty() ? std::string(key.key)
                                     : fmt::format("{}.{}", section.section, key.key);
    }
  }
  return std::string(option);
}

}  // namespace segue::service
