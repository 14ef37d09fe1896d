// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <fmt/format.h>

#include <limits>
#include <string_view>
#include <utility>

#include "number.h"
#include "version.h"

namespace respkv {
namespace {

constexpr std::pair<std::string_view, Break> kBreaks[] = {
    {"start", Break::start},
    {"never-ready", Break::never_ready},
    {"other-service", Break::other_service},
    {"form", Break::form},
    {"invariant", Break::invariant},
    {"rehearsal", Break::rehearsal},
    {"vote", Break::vote},
    {"crash-in-probation", Break::crash_in_probation},
    {"hang-in-probation", Break::hang_in_probation},
};

std::string break_names() {
  std::string names;
  for (const auto& [name, kind] : kBreaks)
    names += fmt::format("{}{}", names.empty() ? "" : ", ", name);
  return names;
}

std::string set_break(std::string_view value, Options& options) {
  if (kVersion != 2) return "--break is for tests, and only version 2 has it";
  for (const auto& [name, kind] : kBreaks) {
    if (name != value) continue;
    options.breaks = kind;
    return {};
  }
  return fmt::format("--break '{}' is unknown; use one of {}", value, break_names());
}

std::string set_number(std::string_view option, std::string_view value, std::uint32_t& number,
                       std::uint32_t most = std::numeric_limits<std::uint32_t>::max()) {
  const auto parsed = parse_integer(value);
  if (!parsed || *parsed < 1 || *parsed > most) {
    return fmt::format("{} '{}' is not a number from 1 to {}", option, value, most);
  }
  number = static_cast<std::uint32_t>(*parsed);
  return {};
}

std::string set_on_crash(std::string_view value, Options& options) {
  if (value == "replay") {
    options.on_crash = OnCrash::replay;
  } else if (value == "resume") {
    options.on_crash = OnCrash::resume;
  } else if (value == "restart") {
    options.on_crash = OnCrash::restart;
  } else {
    return fmt::format("--on-crash '{}' is not one of replay, resume, restart", value);
  }
  return {};
}

std::string set_option(std::string_view option, std::string_view value, Options& options) {
  if (option == "--listen") {
    if (!value.starts_with("tcp:") && !value.starts_with("unix:")) {
      return fmt::format("--listen '{}' is neither tcp:ADDRESS:PORT nor unix:PATH", value);
    }
    options.listen.emplace_back(value);
    return {};
  }
  if (option == "--directory") {
    options.directory = value;
    return value.empty() ? "--directory is empty" : "";
  }
  if (option == "--budget-us") return set_number(option, value, options.budget_us);
  if (option == "--probation-ms") return set_number(option, value, options.probation_ms);
  if (option == "--threads") return set_number(option, value, options.threads, kMaxThreads);
  if (option == "--journal-bytes") return set_number(option, value, options.journal_bytes);
  if (option == "--on-crash") return set_on_crash(value, options);
  if (option == "--break") return set_break(value, options);
  return fmt::format("unknown option '{}'; try --help", option);
}

}  // namespace

std::string parse_options(int argc, const char* const* argv, Options& options) {
  for (int i = 1; i < argc; i += 2) {
    const std::string_view option = argv[i];
    if (option == "--help" || option == "-h") {
      options.help = true;
      return {};
    }
    if (i + 1 == argc && option.starts_with("--")) return fmt::format("{} needs a value", option);
    const std::string_view value = i + 1 < argc ? argv[i + 1] : "";
    if (std::string why = set_option(option, value, options); !why.empty()) return why;
  }
  if (options.listen.empty()) return "--listen is missing, as in --listen tcp:127.0.0.1:6379";
  return {};
}

std::string usage() {
  return fmt::format(
      "usage: respkv-v{} --listen ADDRESS [--listen ADDRESS] [--directory DIRECTORY]\n"
      "                 [--budget-us N] [--probation-ms N] [--threads N]\n"
      "                 [--on-crash replay|resume|restart] [--journal-bytes N] [--break KIND]\n"
      "  --listen        tcp:127.0.0.1:6379 or unix:/path\n"
      "  --directory     where the next version finds this one; default: SEGUE_DIRECTORY\n"
      "  --budget-us     the longest pause of a handoff\n"
      "  --probation-ms  how long the predecessor waits, frozen, until it ends\n"
      "  --threads       event loops, each on a thread of its own; default: 1\n"
      "  --on-crash      if the next version crashes in probation: do again what it did (replay,\n"
      "                  the default), go on from before and close what it used (resume), or\n"
      "                  start again (restart)\n"
      "  --journal-bytes for the former, how much of it can be recorded\n"
      "  --break         for tests, version 2 only: fail on purpose: {}\n",
      kVersion, break_names());
}

}  // namespace respkv
