// SPDX-License-Identifier: Apache-2.0
// What is kept of a rollout: one head, and one record per instance that it moves. Values only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/instance.h"
#include "fleet/strategy.h"

namespace segue::rollout {

enum class Phase {
  waiting,    // for the end of the rollout named in `behind`
  preparing,  // its records are being written; nothing has been ordered
  running,    // step by step to the new revision
  watching,   // every step is done; it is watched for a while
  undoing,    // step by step back
  done,       // and from here on all are final
  undone,
  failed,      // undoing did not succeed everywhere: somebody has to look
  superseded,  // by a newer change, which takes over the hosts as they are
};
std::string_view to_string(Phase phase);
bool is_final(Phase phase);

// Within a step. Undoing goes through sharing once, through moving for each step, then settling.
enum class StepPhase {
  approving,  // waits for persons
  moving,     // its instances are ordered, and looked at
  renewing,   // of a canary that has started: the stable slots beside it are handed to themselves
  sharing,    // the share of new connections is being set
  baking,     // time passes
  judging,    // waits for gates
  settling,   // undoing: canary slots without connections end, and whoever was silent is awaited
};
std::string_view to_string(StepPhase phase);

enum class StepKind {
  canary,  // canary slots and their share
  wave,    // stable slots
  settle,  // the canary's share goes to 0
};
std::string_view to_string(StepKind kind);

struct Step {
  std::string name;
  StepKind kind = StepKind::wave;
  std::uint32_t share_ppm = 0;  // of new connections, from this step on
  fleet::StepLimits limits;

  bool operator==(const Step&) const = default;
};

enum class Verdict {
  wait,  // not enough data so far
  good,
  bad,
};
std::string_view to_string(Verdict verdict);

struct GateState {
  Verdict verdict = Verdict::wait;
  std::string text;

  bool operator==(const GateState&) const = default;
};

// The head. Its documents stay below 1 MiB.
struct Rollout {
  static constexpr std::size_t kMaxIdBytes = 40;
  static constexpr std::size_t kMaxSteps = 1'000;
  static constexpr std::size_t kMaxTextBytes = 1'000;  // of what a person wrote, or reads
  static constexpr std::size_t kMaxPersons = 100;

  // ---- What was asked for
  std::string id;
  std::string component;
  std::string author;
  std::string title;  // for people: "chat 1.4"
  std::uint64_t created_ms = 0;
  fleet::Revision base = fleet::kNoRevision;    // the last one that was good; undo goes there
  fleet::Revision target = fleet::kNoRevision;  // none: the component is removed
  bool checks_health = false;                   // has a health check, which then has to say good
  fleet::Strategy strategy;
  std::string behind;  // waits for the end of this rollout

  // ---- How far it is
  std::vector<Step> steps;  // none before `running`
  Phase phase = Phase::preparing;
  std::uint32_t step = 0;
  StepPhase step_phase = StepPhase::approving;
  std::uint64_t since_ms = 0;    // since when it is in these phases; for people
  std::uint64_t elapsed_ms = 0;  // of the bake, of judging or of the watch, as far as it was seen
  std::uint32_t share_ppm = 0;   // that the canary is to have now
  bool paused = false;
  bool stopped = false;     // by an emergency stop
  std::string paused_text;  // who and why, of both
  bool promoted = false;    // this step neither bakes nor waits for gates
  bool promoted_all = false;
  std::uint32_t accepted_failures = 0;     // somebody resumed in spite of them
  std::vector<std::string> approved_by;    // of this step
  std::map<std::string, GateState> gates;  // of this step
  std::string text;                        // why it is in its phase
  std::uint64_t ended_ms = 0;

  bool operator==(const Rollout&) const = default;
};

// What the last order of this rollout to an instance came to.
enum class Settled {
  untouched,  // there was none
  ordered,    // no outcome so far
  done,
  refused,  // nothing was touched; another order follows
  failed,   // and no other order follows in this direction
};
std::string_view to_string(Settled settled);

struct InstanceRecord {
  std::string host;
  fleet::Slot slot = fleet::Slot::stable;
  std::uint32_t step = 0;
  fleet::Revision to = fleet::kNoRevision;    // in the end
  fleet::Revision back = fleet::kNoRevision;  // when the rollout is undone
  fleet::Assignment assignment;               // as it is stored for the agent
  std::uint32_t orders = 0;                   // given by this rollout
  std::uint32_t refusals = 0;                 // since the direction was chosen
  Settled settled = Settled::untouched;
  bool drained = false;
  bool left = false;    // the host is no part of the fleet any more
  bool ended = false;   // a canary slot whose connections were gone
  bool renews = false;  // a stable slot beside a canary, which is renewed before its wave
  std::string text;     // of the last outcome

  bool operator==(const InstanceRecord&) const = default;
};

// ---- Documents: versioned, strict, bounded. data_loss: damaged; failed_precondition: of another
// format.
inline constexpr std::uint64_t kRolloutFormat = 1;
inline constexpr std::size_t kMaxRolloutBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxRecordBytes = std::size_t{16} << 10;
base::Result<Rollout> read_rollout(std::string_view bytes);
std::string write_rollout(const Rollout& rollout);
base::Result<InstanceRecord> read_record(std::string_view bytes);
std::string write_record(const InstanceRecord& record);

}  // namespace segue::rollout
