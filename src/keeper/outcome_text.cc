// SPDX-License-Identifier: Apache-2.0
#include "keeper/outcome_text.h"

#include <fmt/format.h>

#include "base/assert.h"
#include "control/text.h"

namespace segue::keeper {
namespace {

using control::ExitCode;

// "upgraded", "not upgraded"
std::string_view participle(Kind kind) {
  switch (kind) {
    case Kind::upgrade:
      return "upgraded";
    case Kind::rehearse:
      return "rehearsed";
    case Kind::undo:
      return "handed back";
  }
  SEGUE_ASSERT(false && "a Kind outside its enumeration");
}

// What the contract of a program that does not link libsegue has kept, and what it has cut.
std::string contract_text(const Attempt& attempt) {
  const bool side_by_side = attempt.contract == control::Contract::listeners ||
                            attempt.contract == control::Contract::signal;
  std::string text = side_by_side ? "old and new ran side by side, nobody was refused"
                                  : fmt::format("nothing served for {}",
                                                control::milliseconds_text(attempt.blackout_ns));
  if (!side_by_side) {
    text += attempt.holds_sockets ? ", new connections waited and were not refused"
                                  : ", connections were refused meanwhile";
  }
  const auto ns = [](base::Duration duration) {
    return control::seconds_text(static_cast<std::uint64_t>(duration.count()));
  };
  if (side_by_side && !attempt.predecessor_gone && attempt.committed) {
    return fmt::format("{}; connections of the old process drain for up to {}", text,
                       ns(attempt.drain_limit));
  }
  text += fmt::format(
      "; of {} of the old process {} ended by themselves and {}{} cut{}",
      control::counted(attempt.drained + attempt.cut, "connection"),
      control::with_thousands(attempt.drained),
      attempt.cut == 0 || attempt.at_limit ? "" : "at most ",
      attempt.cut == 0 ? "none was" : control::with_thousands(attempt.cut) + " were",
      attempt.at_limit ? fmt::format(" at the limit of {}", ns(attempt.drain_limit)) : "");
  if (attempt.kept != 0) {
    text += fmt::format("; {} that it had stored went on",
                        control::counted(attempt.kept, "connection"));
  }
  if (side_by_side && attempt.predecessor_gone) {
    text += "; predecessor gone after " + ns(*attempt.predecessor_gone);
  }
  return text;
}

std::string figures_text(const Attempt& attempt) {
  if (attempt.contract != control::Contract::libsegue) return contract_text(attempt);
  std::string gone = "predecessor not gone yet";
  if (attempt.predecessor_gone) {
    const auto ns = static_cast<std::uint64_t>(attempt.predecessor_gone->count());
    gone = "predecessor gone after " + control::seconds_text(ns);
  }
  return fmt::format("blackout {}, {} moved, {} lost, {}, {}",
                     control::milliseconds_text(attempt.blackout_ns),
                     control::counted(attempt.to_progress.connections, "connection"),
                     control::with_thousands(connections_lost(attempt)),
                     control::counted(attempt.from_progress.rounds, "round"), gone);
}

std::string done_text(std::string_view name, const Attempt& attempt) {
  const std::string head =
      fmt::format("{} {} {}", participle(attempt.kind), name, from_to_text(attempt));
  if (attempt.kind == Kind::rehearse) {
    return fmt::format("{}: {} and {} read alike on both sides; nothing was changed", head,
                       control::counted(attempt.from_progress.records, "record"),
                       control::counted(attempt.from_progress.fds, "descriptor"));
  }
  if (!attempt.activated) return fmt::format("{}: {}; {}", head, attempt.why, attempt.aftermath);
  return fmt::format("{}: {}", head, figures_text(attempt));
}

}  // namespace

std::string from_to_text(const Attempt& attempt) {
  return control::version_text(attempt.from) + " → " +
         (attempt.to.empty() ? "?" : control::version_text(attempt.to));
}

std::uint64_t connections_lost(const Attempt& attempt) {
  const std::uint64_t before = attempt.from_progress.connections;
  const std::uint64_t after = attempt.to_progress.connections;
  return before > after ? before - after : 0;
}

std::string outcome_text(std::string_view name, const Attempt& attempt) {
  const std::string from_to = from_to_text(attempt);
  switch (attempt.outcome) {
    case Outcome::running:
      return fmt::format("{} {} is under way", name, from_to);
    case Outcome::done:
      return done_text(name, attempt);
    case Outcome::undone:
      return fmt::format("{} {} was undone: {}; {}", name, from_to, attempt.why, attempt.aftermath);
    case Outcome::refused:
      return fmt::format("{} was not {} {}: {}; nothing was touched", name,
                         participle(attempt.kind), from_to, attempt.why);
    case Outcome::failed:
      if (attempt.hand_back_failed) {
        return fmt::format("{} {} is bad and stays: {}; {}", name, from_to, attempt.why,
                           attempt.aftermath);
      }
      return fmt::format("{} was not {} {}{}: {}; {}", name, participle(attempt.kind), from_to,
                         attempt.tries > 1 ? fmt::format(" in {} tries", attempt.tries) : "",
                         attempt.why, attempt.aftermath);
  }
  SEGUE_ASSERT(false && "an Outcome outside its enumeration");
}

ExitCode exit_code_of(const Attempt& attempt) {
  switch (attempt.outcome) {
    case Outcome::done:
      return ExitCode::done;
    case Outcome::failed:
      return attempt.timed_out ? ExitCode::unknown : ExitCode::failed;
    case Outcome::undone:
      return ExitCode::undone;
    case Outcome::refused:
      return ExitCode::refused;
    case Outcome::running:
      return ExitCode::unknown;
  }
  SEGUE_ASSERT(false && "an Outcome outside its enumeration");
}

}  // namespace segue::keeper
