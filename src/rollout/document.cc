// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "fleet/strategy_layout.h"
#include "rollout/rollout.h"

namespace segue::fleet {

template <>
struct Layout<rollout::Step> {
  static void visit(auto& archive, auto& step) {
    archive("name", step.name);
    archive("kind", step.kind);
    archive("share_ppm", step.share_ppm);
    archive("limits", step.limits);
  }
};

template <>
struct Layout<rollout::GateState> {
  static void visit(auto& archive, auto& gate) {
    archive("verdict", gate.verdict);
    archive("text", gate.text);
  }
};

template <>
struct Layout<rollout::Rollout> {
  static void visit(auto& archive, auto& rollout) {
    archive("id", rollout.id);
    archive("component", rollout.component);
    archive("author", rollout.author);
    archive("title", rollout.title);
    archive("created_ms", rollout.created_ms);
    archive("base", rollout.base);
    archive("target", rollout.target);
    archive("checks_health", rollout.checks_health);
    archive("strategy", rollout.strategy);
    archive("behind", rollout.behind);
    archive("steps", rollout.steps, rollout::Rollout::kMaxSteps);
    archive("phase", rollout.phase);
    archive("step", rollout.step);
    archive("step_phase", rollout.step_phase);
    archive("since_ms", rollout.since_ms);
    archive("elapsed_ms", rollout.elapsed_ms);
    archive("share_ppm", rollout.share_ppm);
    archive.formerly("share_order", std::uint32_t{0});
    archive.formerly("share_set", true);
    archive("paused", rollout.paused);
    archive("stopped", rollout.stopped);
    archive("paused_text", rollout.paused_text);
    archive("promoted", rollout.promoted);
    archive("promoted_all", rollout.promoted_all);
    archive("accepted_failures", rollout.accepted_failures);
    archive("approved_by", rollout.approved_by, rollout::Rollout::kMaxPersons);
    archive("gates", rollout.gates, Strategy::kMaxGates);
    archive("text", rollout.text);
    archive("ended_ms", rollout.ended_ms);
  }
};

template <>
struct Layout<rollout::InstanceRecord> {
  static void visit(auto& archive, auto& record) {
    archive("host", record.host);
    archive("slot", record.slot);
    archive("step", record.step);
    archive("to", record.to);
    archive("back", record.back);
    archive("assignment", record.assignment);
    archive("orders", record.orders);
    archive("refusals", record.refusals);
    archive("settled", record.settled);
    archive("drained", record.drained);
    archive("left", record.left);
    archive("ended", record.ended);
    archive.unless(false, "renews", record.renews);
    archive("text", record.text);
  }
};

}  // namespace segue::fleet

namespace segue::rollout {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr const char* kHeadKey = "segue_rollout";
constexpr const char* kRecordKey = "segue_rollout_instance";
constexpr std::uint64_t kMaxTime = std::uint64_t{1} << 53;  // milliseconds, and exact anywhere

// What an engine takes for granted.
Result<void> check_whole(const Rollout& rollout) {
  const auto damaged = [](std::string_view what) {
    return fail(ErrorCode::data_loss, "the rollout contradicts itself: {}", what);
  };
  if (auto checked = fleet::check(rollout.strategy); !checked) {
    return damaged(checked.error().message());
  }
  if (rollout.id.empty() || rollout.id.size() > Rollout::kMaxIdBytes || rollout.component.empty() ||
      rollout.author.empty()) {
    return damaged("its names");
  }
  const bool planned = rollout.phase == Phase::running || rollout.phase == Phase::watching ||
                       rollout.phase == Phase::undoing || rollout.phase == Phase::done;
  if (planned && rollout.steps.empty()) return damaged("it has no steps");
  if (rollout.step > 0 && rollout.step >= rollout.steps.size()) return damaged("its step");
  for (const auto& step : rollout.steps) {
    if (step.share_ppm > fleet::kWholeShare) return damaged("a share above 1");
    fleet::Strategy of_step;
    of_step.limits = step.limits;
    if (!fleet::check(of_step)) return damaged("the limits of a step");
  }
  const bool settles = rollout.step_phase == StepPhase::settling;
  const bool judges =
      rollout.step_phase == StepPhase::baking || rollout.step_phase == StepPhase::judging ||
      rollout.step_phase == StepPhase::approving || rollout.step_phase == StepPhase::renewing;
  if ((rollout.phase == Phase::running && settles) || (rollout.phase == Phase::undoing && judges)) {
    return damaged("the phase within its step");
  }
  if (rollout.share_ppm > fleet::kWholeShare || rollout.elapsed_ms > kMaxTime ||
      rollout.since_ms > kMaxTime) {
    return damaged("its numbers");
  }
  return {};
}

}  // namespace

Result<Rollout> read_rollout(std::string_view bytes) {
  SEGUE_ASSIGN(Rollout rollout, fleet::read_document<Rollout>(kHeadKey, kRolloutFormat, bytes,
                                                              kMaxRolloutBytes, "the rollout"));
  SEGUE_TRY(check_whole(rollout));
  return rollout;
}

std::string write_rollout(const Rollout& rollout) {
  return fleet::write_document(kHeadKey, kRolloutFormat, rollout);
}

Result<InstanceRecord> read_record(std::string_view bytes) {
  SEGUE_ASSIGN(InstanceRecord record,
               fleet::read_document<InstanceRecord>(kRecordKey, kRolloutFormat, bytes,
                                                    kMaxRecordBytes, "the instance's record"));
  const bool is_order =
      record.settled == Settled::untouched ? record.orders == 0 : record.orders > 0;
  if (record.host.empty() || record.assignment.order.size() > fleet::kMaxOrderBytes ||
      record.assignment.share_ppm > fleet::kWholeShare || !is_order ||
      record.orders > std::numeric_limits<std::uint32_t>::max() / 2) {
    return fail(ErrorCode::data_loss, "the instance's record contradicts itself");
  }
  return record;
}

std::string write_record(const InstanceRecord& record) {
  return fleet::write_document(kRecordKey, kRolloutFormat, record);
}

}  // namespace segue::rollout
