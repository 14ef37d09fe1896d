// SPDX-License-Identifier: Apache-2.0
// A rollout as a person sees it: waves, hosts, phases, shares, gates, what it waits for. Values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fleet/proxy_share.h"
#include "rollout/rollout.h"

namespace segue::rollout {

struct InstanceProgress {
  std::string host;
  fleet::Slot slot = fleet::Slot::stable;
  std::uint32_t step = 0;
  std::string standing;  // one word: waiting, moving, retrying, checking, good, bad, …
  fleet::Revision revision = fleet::kNoRevision;     // that serves, as last seen
  fleet::Activity activity = fleet::Activity::idle;  // of its host, as last seen
  fleet::Health health = fleet::Health::unknown;
  std::uint64_t connections = 0;
  std::optional<fleet::HandoffFigures> handoff;  // of its last order
  std::uint64_t since_ms = 0;
  std::string text;
};

// Of all instances, as their agents told.
struct TrafficProgress {
  std::uint64_t stable = 0;    // connections, in the slots of that name
  std::uint64_t canary = 0;    // …
  std::uint64_t handoffs = 0;  // of this rollout, of each instance the last
  std::uint64_t moved = 0;     // connections, by them
  std::uint64_t lost = 0;
  std::uint64_t worst_blackout_us = 0;
};

struct StepProgress {
  std::string name;
  StepKind kind = StepKind::wave;
  std::string state;  // one word: done, current, to-come, undone, left-alone
  std::uint32_t share_ppm = 0;
  std::size_t instances = 0;
  std::size_t moved = 0;  // on the new revision, or back on the old one when it is undone
  std::size_t moving = 0;
  std::size_t failed = 0;
  std::size_t silent = 0;
  std::size_t skipped = 0;
};

struct GateProgress {
  std::string name;
  Verdict verdict = Verdict::wait;
  std::string text;
};

// What a proxy does, as the agent that speaks with it saw it last.
struct ShareProgress {
  std::string proxy_host;
  std::uint32_t share_ppm = 0;  // that it is to give
  fleet::SeenShare seen;
};

// Of those whose signatures let the target be deployed.
struct SignerProgress {
  std::string person;
  std::string key;  // its id
};

struct Progress {
  std::string id;
  std::string component;
  std::string title;
  std::string author;
  std::vector<SignerProgress> signed_by;  // of the server's; not known here
  Phase phase = Phase::preparing;
  std::uint32_t step = 0;
  StepPhase step_phase = StepPhase::approving;
  std::uint64_t since_ms = 0;
  std::uint32_t share_ppm = 0;
  bool paused = false;
  bool stopped = false;
  std::string why;                            // it is in this phase
  std::string waits_for;                      // on which host, since when
  std::string next;                           // what happens then
  std::optional<std::uint64_t> remaining_ms;  // an estimate, to its end
  std::vector<StepProgress> steps;
  std::vector<GateProgress> gates;
  std::vector<ShareProgress> shares;  // of proxies, those that do not stand first; at most 20
  TrafficProgress traffic;
  std::vector<InstanceProgress> noteworthy;  // of this step: not well, or under way; at most 20
  // As many as were asked for, those nearest to what goes on first chosen; by step and host.
  std::vector<InstanceProgress> instances;

  static constexpr std::size_t kMaxShares = 20;
  static constexpr std::size_t kMaxNoteworthy = 20;
  static constexpr std::size_t kMaxInstances = 1'000;
};

// {"segue_progress": 1, …}, one line.
std::string write_progress(const Progress& progress);
std::string write_instances(const std::vector<InstanceProgress>& instances);

}  // namespace segue::rollout
