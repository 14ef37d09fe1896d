// SPDX-License-Identifier: Apache-2.0
// What an engine is told, and what it answers. Values only.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/time.h"
#include "rollout/rollout.h"

namespace segue::rollout {

struct Now {
  base::RealTime real{};
  base::MonotonicTime monotonic{};  // of this server's process
};

struct NewRollout {
  std::string id;  // 1 to 40 of [a-z0-9-]
  std::string component;
  std::string author;
  std::string title;
  fleet::Revision target = fleet::kNoRevision;
  bool checks_health = false;
  fleet::Strategy strategy;
  std::string behind;  // see admit()
};

// A host of the component, and what is stored for it.
struct HostFacts {
  std::string host;
  std::string site;
  std::map<std::string, std::string> labels;
  bool silent = false;  // the server has decided so by its lease
  bool drained = false;
  fleet::Revision to = fleet::kNoRevision;    // the target; none: does not belong there
  fleet::Revision back = fleet::kNoRevision;  // the base; none: does not belong there
  fleet::Assignment stable;
  std::optional<fleet::Assignment> canary;  // if there is such a slot
};

// ---- Events
struct Observed {
  std::string host;
  fleet::Slot slot = fleet::Slot::stable;
  fleet::Observation observation;
  bool may_be_sent_to = false;  // whoever splits might still send somebody new: it may not end
};
struct HostSilent {
  std::string host;
  bool silent = true;
};
struct HostDrained {
  std::string host;
  bool drained = true;
};
struct HostJoined {
  HostFacts facts;
};
struct HostLeft {
  std::string host;
};
struct Judged {
  std::uint32_t step = 0;  // as in GateWanted
  std::string gate;
  Verdict verdict = Verdict::wait;
  std::string text;
};
struct PredecessorEnded {  // the rollout named in `behind`
  std::string next;        // that it waits for instead: one that is older yet; empty: none
};
struct TimePassed {};

// By persons; each can be refused.
struct Pause {
  std::string by;
  std::string why;
};
struct Resume {
  std::string by;
};
struct Promote {
  std::string by;
  bool all = false;  // through all steps
};
struct Undo {  // of one that runs (abort), is watched, or is done
  std::string by;
  std::string why;
};
struct Approve {
  std::string by;
};
struct EmergencyStop {
  std::string by;
  bool on = true;
};
struct Supersede {
  std::string by;
  std::string rollout;  // the newer one
};
using Event =
    std::variant<Observed, HostSilent, HostDrained, HostJoined, HostLeft, Judged, PredecessorEnded,
                 TimePassed, Pause, Resume, Promote, Undo, Approve, EmergencyStop, Supersede>;

// ---- Answers
struct InstanceChange {
  InstanceRecord record;
  bool assigns = false;  // its assignment changed: it is to be stored for the agent as well
};
// To be stored in one transaction: at most 1 + 2 * kMaxInstances documents.
struct Batch {
  static constexpr std::size_t kMaxInstances = 60;
  std::optional<Rollout> head;
  std::vector<InstanceChange> instances;
};

enum class Severity { info, warning, alarm };
std::string_view to_string(Severity severity);
// For the audit log and for events.
struct Notice {
  Severity severity = Severity::info;
  std::string by;    // a person, or "engine"
  std::string host;  // empty: it is about the rollout
  std::string text;
};

// Batches are stored in order; whoever is killed between two of them loses nothing: an engine made
// from what is stored decides the rest again. If a batch cannot be stored, or nobody knows whether
// it was, the engine is thrown away and made again from what is stored.
struct Changes {
  std::vector<Batch> batches;
  std::vector<Notice> notices;
};

// A gate whose verdict is asked for now; Judged of any other is passed over.
struct GateWanted {
  std::uint32_t step = 0;
  std::string gate;
};

// What a new change does about the rollout of its component that is under way, if there is one.
struct Admission {
  enum class Kind { starts, queues, supersedes } kind = Kind::starts;
  std::string behind;      // for NewRollout
  std::string supersedes;  // it gets a Supersede event once the new one is stored
  std::string text;        // which it is, and why, for whoever asked
};
// `under_way`: the heads of the component that are not final, oldest first.
// resource_exhausted: kMaxQueued wait already.
inline constexpr std::size_t kMaxQueued = 10;
base::Result<Admission> admit(fleet::MeanwhilePolicy policy, const std::vector<Rollout>& under_way);

}  // namespace segue::rollout
