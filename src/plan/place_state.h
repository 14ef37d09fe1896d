// SPDX-License-Identifier: Apache-2.0
// How far the plans of one place on a host have come. It is written down before anything is done,
// so that whoever finds it after a kill knows what may have been done.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "plan/plan.h"

namespace segue::plan {

enum class Phase {
  waiting,     // for its time, or for its version
  going_live,  // a step of going live has begun
  undoing,     // … of the way back
  live,        // and all phases from here on are final
  undone,      // the version before it is live again
  failed,      // somebody has to look
  missed,
  superseded,  // a plan for a later time went live first
  cancelled,
};

enum class Step {
  stop_old,
  switch_over,
  start_new,
  check_new,
  stop_new,  // and from here on those of the way back
  switch_back,
  start_old,
  check_old,
};

std::string_view to_string(Phase phase);
std::string_view to_string(Step step);
bool is_final(Phase phase);

struct StepRecord {
  Step step = Step::stop_old;
  Instant ended{};
  bool good = false;
  std::string text;

  friend bool operator==(const StepRecord&, const StepRecord&) = default;
};

struct Progress {
  static constexpr std::size_t kMaxRecords = 32;
  static constexpr std::size_t kMaxRecordTextBytes = 500;

  Plan plan;          // as it was read, with this host's site alone
  Instant planned{};  // the time in it
  Instant due{};      // the same until that was missed
  Phase phase = Phase::waiting;
  bool staged = false;
  bool alarmed = false;        // that it will be late
  Step step = Step::stop_old;  // the one that has begun
  bool start_begun = false;
  bool start_repeated = false;  // after a kill: what it says holds for the last time only
  bool old_serves = false;      // starting the new one failed without touching the old one
  Instant began{};
  Instant ended{};
  std::string text;  // why it is in this phase, for a person
  std::vector<StepRecord> records;
  bool report_due = false;

  friend bool operator==(const Progress&, const Progress&) = default;
};

struct PlaceState {
  std::map<std::string, Progress> plans;  // by their ids
  // Of the plan that last began to go live.
  std::optional<Instant> newest_planned;
  std::optional<Instant> newest_created;

  friend bool operator==(const PlaceState&, const PlaceState&) = default;
};

inline constexpr std::uint64_t kPlaceStateFormat = 1;
inline constexpr std::size_t kMaxPlaceStateBytes = std::size_t{32} << 20;

// data_loss: damaged. failed_precondition: of a newer format.
base::Result<PlaceState> read_place_state(std::string_view bytes);
std::string write_place_state(const PlaceState& state);

// What is told about a plan on a host, as JSON: {"segue_report": 1, …}, one line.
std::string write_report(const Progress& progress, const std::string& site,
                         const std::string& host);

}  // namespace segue::plan
