// SPDX-License-Identifier: Apache-2.0
#include "cli/progress_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "control/text.h"

namespace segue::cli {
namespace {

using control::bytes_text;
using control::counted;
using control::milliseconds_text;
using control::with_thousands;

std::string text(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t number(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number_integer() ? found->get<std::uint64_t>() : 0;
}

double real(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : 0;
}

std::uint64_t ns_of_seconds(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e9);
}

// Where the attempt stands, in one word: the keeper's phase, or within it the instances' own.
std::string stage(const Json& attempt, const std::string& keeper_phase) {
  return keeper_phase == "attempting" ? text(attempt, "phase") : keeper_phase;
}

// A bar with as many steps as an upgrade has.
std::string bar(const std::string& stage) {
  static constexpr std::array<std::string_view, 7> kStages = {
      "preparing", "meeting", "background", "rehearsal", "foreground", "probation", "committing"};
  const auto* const found = std::find(kStages.begin(), kStages.end(), stage);
  const auto done =
      found == kStages.end() ? 0 : static_cast<std::size_t>(found - kStages.begin()) + 1;
  return "[" + std::string(done, '#') + std::string(kStages.size() - done, '.') + "]";
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  if (whole < 60) return fmt::format("{:.1f} s", seconds);
  if (whole < 3'600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86'400) return fmt::format("{} h {:02} min", whole / 3'600, whole / 60 % 60);
  return fmt::format("{} d {:02} h", whole / 86'400, whole / 3'600 % 24);
}

std::string or_dash(const std::string& value) {
  return value.empty() ? "-" : value;
}

std::string version(const Json& object, const char* key) {
  return or_dash(control::version_text(text(object, key)));
}

void attempt_lines(const Json& attempt, const std::string& keeper_phase,
                   std::vector<std::string>& lines) {
  lines.push_back(fmt::format("  {:12} {} {} → {}  {} {}", "attempt", text(attempt, "kind"),
                              version(attempt, "from"), version(attempt, "to"),
                              bar(stage(attempt, keeper_phase)), stage(attempt, keeper_phase)));
  lines.push_back(fmt::format(
      "  {:12} {}, {}, {}, {}", "moved", bytes_text(number(attempt, "bytes")),
      counted(number(attempt, "fds"), "descriptor"), counted(number(attempt, "records"), "record"),
      counted(number(attempt, "rounds"), "round")));
  lines.push_back(fmt::format(
      "  {:12} predicted {}, measured {}, longest freeze taken back {}", "blackout",
      milliseconds_text(number(attempt, "predicted_blackout_ns")),
      number(attempt, "blackout_ns") == 0 ? "-" : milliseconds_text(number(attempt, "blackout_ns")),
      milliseconds_text(number(attempt, "frozen_max_ns"))));
}

}  // namespace

std::string progress_line(const Json& attempt, const std::string& keeper_phase) {
  const std::string where = stage(attempt, keeper_phase);
  std::string line = fmt::format(
      "{} {:10} {} → {}  {}  {}  {}", bar(where), where, version(attempt, "from"),
      version(attempt, "to"), counted(number(attempt, "rounds"), "round"),
      bytes_text(number(attempt, "bytes")), counted(number(attempt, "fds"), "descriptor"));
  if (const auto blackout = number(attempt, "blackout_ns"); blackout != 0) {
    line += "  blackout " + milliseconds_text(blackout);
  } else if (const auto predicted = number(attempt, "predicted_blackout_ns"); predicted != 0) {
    line += "  blackout predicted " + milliseconds_text(predicted);
  }
  if (number(attempt, "tries") > 1) line += fmt::format("  try {}", number(attempt, "tries"));
  return line;
}

std::string progress_key(const Json& attempt, const std::string& keeper_phase) {
  return fmt::format("{} {} {}", stage(attempt, keeper_phase), text(attempt, "kind"),
                     number(attempt, "tries"));
}

std::vector<std::string> status_lines(const Json& status) {
  const std::string phase = text(status, "phase");
  std::vector<std::string> lines;
  const auto row = [&](const char* name, const std::string& value) {
    lines.push_back(fmt::format("  {:12} {}", name, value));
  };
  lines.push_back(fmt::format("{}: {}{}", text(status, "name"), phase,
                              status.value("hung", false) ? ", but it does not answer" : ""));
  row("version", fmt::format("{} of {}, generation {}, pid {}", version(status, "version"),
                             or_dash(text(status, "service")), number(status, "generation"),
                             real(status, "pid")));
  if (const auto container = status.find("container");
      container != status.end() && container->is_object()) {
    constexpr std::size_t kShortId = 12;  // as engines print it
    row("container", fmt::format("{} of {}", text(*container, "container").substr(0, kShortId),
                                 text(*container, "image")));
  }
  row("up", duration_text(real(status, "uptime_s")));
  row("connections", with_thousands(number(status, "connections")));
  std::string listeners;
  for (const auto& name : status.value("listeners", Json::array())) {
    listeners += (listeners.empty() ? "" : ", ") + name.get<std::string>();
  }
  row("listeners", or_dash(listeners));
  if (const std::string contract = text(status, "upgrade");
      !contract.empty() && contract != "libsegue") {
    row("upgrade", contract);
    row("stored", control::counted(status.value("stored", Json::array()).size(), "descriptor"));
  }
  row("previous", version(status, "previous"));
  row("old left", with_thousands(number(status, "old_processes")));
  const auto attempt = status.find("attempt");
  if (attempt != status.end() && attempt->is_object()) attempt_lines(*attempt, phase, lines);
  return lines;
}

std::string status_line(const Json& status) {
  std::string line = fmt::format(
      "{} {} {} generation {} pid {} connections {} old {}", text(status, "name"),
      text(status, "phase"), version(status, "version"), number(status, "generation"),
      real(status, "pid"), number(status, "connections"), number(status, "old_processes"));
  const auto attempt = status.find("attempt");
  if (attempt != status.end() && attempt->is_object()) {
    line += ": " + progress_line(*attempt, text(status, "phase"));
  }
  return line;
}

std::string history_line(const Json& attempt) {
  std::string line =
      fmt::format("{}  {:8} {:8} {} → {}  in {}", text(attempt, "began"), text(attempt, "kind"),
                  text(attempt, "outcome"), version(attempt, "from"), version(attempt, "to"),
                  control::seconds_text(ns_of_seconds(real(attempt, "duration_ms") / 1000)));
  if (attempt.contains("activated_ms") && !attempt.at("activated_ms").is_null()) {
    line +=
        fmt::format("  blackout {}, {}, {} lost", milliseconds_text(number(attempt, "blackout_ns")),
                    counted(number(attempt, "connections_moved"), "connection"),
                    number(attempt, "connections_lost"));
  }
  if (const std::string why = text(attempt, "why"); !why.empty()) line += "  " + why;
  return line;
}

std::string event_line(const Json& event) {
  std::string line = fmt::format("{}  {}", text(event, "at"), text(event, "event"));
  for (const auto& [key, value] : event.items()) {
    if (key == "at" || key == "event" || key == "n") continue;
    line +=
        fmt::format("  {}={}", key, value.is_string() ? value.get<std::string>() : value.dump());
  }
  return line;
}

}  // namespace segue::cli
