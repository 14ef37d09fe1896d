// SPDX-License-Identifier: Apache-2.0
// What the keeper knows about a component: its instances and its attempts to hand over.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/time.h"
#include "control/options.h"
#include "keeper/losses.h"

namespace segue::keeper {

using base::MonotonicTime;

using Generation = std::uint32_t;  // names an instance; the first is 1; 0 is none
using AttemptId = std::uint32_t;   // names one attempt on the wire; a retry is another one
using RequestId = std::uint32_t;   // names who waits for an answer; 0 is nobody

// What the component is doing. Exactly one at a time.
enum class Phase {
  idle,        // nothing was started yet
  starting,    // an instance was spawned and is to be the first owner
  backoff,     // the owner crashed; waiting to start it again
  serving,     // one owner, no attempt
  preparing,   // a successor was spawned; it has not said hello yet
  attempting,  // both sides were told; nobody else is active yet
  aborting,    // both sides were told to end the attempt
  retrying,    // the attempt failed for a reason that may pass; waiting to try again
  probation,   // the successor is active, the predecessor waits frozen
  committing,  // the successor was told to commit
  recovering,  // the owner is dead and another instance may come forward
  stopping,    // the operator stops the component
  stopped,     // nothing runs any more; the keeper ends
};
inline constexpr int kPhaseCount = 13;
std::string_view to_string(Phase phase);

enum class Role {
  starting,   // spawned; has not said hello
  standby,    // said hello; told to be the first owner
  successor,  // said hello; told to take over
  serving,    // the owner
  frozen,     // was the owner; kept until the end of probation
  ending,     // was told to end, or ends by itself
};
inline constexpr int kRoleCount = 6;
std::string_view to_string(Role role);

// What to do when an instance that was told to end does not.
enum class EndPolicy {
  committed,  // a predecessor: reported after 1 s, raised after 10 s, killed after 60 s
  refused,    // never owned anything: killed after 2 s
  stopped,    // by the operator: SIGTERM, then SIGKILL
};
inline constexpr int kEndPolicyCount = 3;

struct Instance {
  Generation generation = 0;
  Role role = Role::starting;
  control::Launch launch;
  std::string service;
  std::string version;  // empty before hello
  std::int32_t pid = 0;
  bool channel_open = true;
  bool said_hello = false;
  MonotonicTime spawned{};
  MonotonicTime active_since{};
  std::optional<MonotonicTime> last_pong;
  MonotonicTime first_ping{};  // of those not answered yet
  bool awaits_pong = false;
  bool hung = false;
  std::uint64_t connections = 0;
  std::uint64_t abilities = 0;  // kAbility… of handoff/frame.h
  std::string forms;            // what it declares, as in HELLO; empty: it has not said it

  EndPolicy end_policy = EndPolicy::refused;
  MonotonicTime ending_since{};
  std::size_t end_step = 0;  // how much of its policy was carried out
  int signal = 0;            // that ended it

  // The version; before it is known, the program.
  [[nodiscard]] std::string label() const;
};

// As K_PROGRESS reports it.
struct Progress {
  std::uint32_t phase = 0;  // segue_phase
  std::uint32_t rounds = 0;
  std::uint32_t freezes = 0;
  std::uint64_t records = 0;
  std::uint64_t bytes = 0;
  std::uint64_t fds = 0;
  std::uint64_t connections = 0;
  std::uint64_t predicted_ns = 0;
  std::uint64_t blackout_ns = 0;
  std::uint64_t frozen_max_ns = 0;
  std::uint64_t replayed = 0;
  std::uint64_t repaired = 0;
  std::uint64_t closed_on_reclaim = 0;
};
std::string_view attempt_phase_name(std::uint32_t segue_phase);

enum class Kind { upgrade, rehearse, undo };
inline constexpr int kKindCount = 3;
std::string_view to_string(Kind kind);

enum class Outcome {
  running,
  done,
  failed,   // not activated, or activated against the keeper's will; `why` says which
  undone,   // activated, then taken back
  refused,  // nothing was touched
};
inline constexpr int kOutcomeCount = 5;
std::string_view to_string(Outcome outcome);

enum class Verdict { none, good, bad };

// One upgrade, rehearsal or undo, over all its retries.
struct Attempt {
  AttemptId id = 0;
  Kind kind = Kind::upgrade;
  RequestId request = 0;
  RequestId undo_request = 0;  // of an undo that came meanwhile
  control::Launch launch;
  control::AttemptOptions options;
  Generation predecessor = 0;
  Generation successor = 0;
  Generation carried = 0;  // the frozen instance of the attempt that this one undoes
  std::string from;        // labels of instances
  std::string to;
  std::string from_forms;  // what the predecessor declares
  LossReport losses;       // in the successor's forms
  std::uint32_t tries = 1;

  MonotonicTime began{};
  std::optional<MonotonicTime> sent;  // of the last try
  std::optional<MonotonicTime> activated;
  std::optional<MonotonicTime> committed;
  std::optional<MonotonicTime> ended;
  std::optional<base::Duration> predecessor_gone;  // after the commit

  std::uint32_t reported_phase = 0;  // segue_phase, by the predecessor
  std::uint32_t furthest_phase = 0;  // … by either side, before it ended
  Progress from_progress;
  Progress to_progress;
  std::uint64_t blackout_ns = 0;
  std::uint64_t frozen_max_ns = 0;

  bool predecessor_over = false;  // it has said that the attempt is over
  bool successor_over = false;
  bool rehearsed = false;
  bool may_pass = false;  // the failure: trying again makes sense
  bool refused = false;   // … or it was a refusal: nothing was touched
  bool late = false;      // it was taken back once because it was over budget
  bool timed_out = false;
  bool successor_killed = false;
  bool commit_repeated = false;
  bool hand_back_failed = false;
  bool committed_unasked = false;
  Verdict vote = Verdict::none;
  Verdict health = Verdict::none;
  std::uint32_t health_failures = 0;  // in a row
  bool health_running = false;
  MonotonicTime next_health{};

  Outcome outcome = Outcome::running;
  std::string why;
  std::string aftermath;  // "v1 goes on"

  // Where the program does not link libsegue.
  control::Contract contract = control::Contract::libsegue;
  std::uint64_t drained = 0;  // connections of the predecessor that ended by themselves
  std::uint64_t cut = 0;      // … that were still there when it was ended
  std::uint64_t kept = 0;     // … that it had stored with the keeper
  bool at_limit = false;      // it was ended at the drain limit
  base::Duration drain_limit{};
  bool holds_sockets = false;  // the keeper holds what the program listens on
};

// The ownership page, with names turned into generations.
struct Ownership {
  std::uint32_t epoch = 0;
  bool vacant = true;
  Generation owner = 0;  // 0 also where the name is none of ours
};

}  // namespace segue::keeper
