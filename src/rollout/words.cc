// SPDX-License-Identifier: Apache-2.0
#include "fleet/words.h"

#include "rollout/events.h"
#include "rollout/rollout.h"

namespace segue::rollout {
namespace {

using fleet::Words;

constexpr Words<Phase, 9> kPhases = {{{Phase::waiting, "waiting"},
                                      {Phase::preparing, "preparing"},
                                      {Phase::running, "running"},
                                      {Phase::watching, "watching"},
                                      {Phase::undoing, "undoing"},
                                      {Phase::done, "done"},
                                      {Phase::undone, "undone"},
                                      {Phase::failed, "failed"},
                                      {Phase::superseded, "superseded"}}};
constexpr Words<StepPhase, 7> kStepPhases = {{{StepPhase::approving, "approving"},
                                              {StepPhase::moving, "moving"},
                                              {StepPhase::renewing, "renewing"},
                                              {StepPhase::sharing, "sharing"},
                                              {StepPhase::baking, "baking"},
                                              {StepPhase::judging, "judging"},
                                              {StepPhase::settling, "settling"}}};
constexpr Words<StepKind, 3> kStepKinds = {
    {{StepKind::canary, "canary"}, {StepKind::wave, "wave"}, {StepKind::settle, "settle"}}};
constexpr Words<Verdict, 3> kVerdicts = {
    {{Verdict::wait, "wait"}, {Verdict::good, "good"}, {Verdict::bad, "bad"}}};
constexpr Words<Settled, 5> kSettled = {{{Settled::untouched, "untouched"},
                                         {Settled::ordered, "ordered"},
                                         {Settled::done, "done"},
                                         {Settled::refused, "refused"},
                                         {Settled::failed, "failed"}}};
constexpr Words<Severity, 3> kSeverities = {
    {{Severity::info, "info"}, {Severity::warning, "warning"}, {Severity::alarm, "alarm"}}};

}  // namespace

std::string_view to_string(Phase phase) {
  return fleet::word_of(kPhases, phase);
}
std::string_view to_string(StepPhase phase) {
  return fleet::word_of(kStepPhases, phase);
}
std::string_view to_string(StepKind kind) {
  return fleet::word_of(kStepKinds, kind);
}
std::string_view to_string(Verdict verdict) {
  return fleet::word_of(kVerdicts, verdict);
}
std::string_view to_string(Settled settled) {
  return fleet::word_of(kSettled, settled);
}
std::string_view to_string(Severity severity) {
  return fleet::word_of(kSeverities, severity);
}

bool is_final(Phase phase) {
  return phase >= Phase::done;
}

}  // namespace segue::rollout
