// SPDX-License-Identifier: Apache-2.0
#include "plan/place_state.h"

#include <algorithm>
#include <array>
#include <utility>

#include "plan/decider.h"
#include "plan/document_fields.h"
#include "plan/plan_document.h"
#include "tuf/json.h"
#include "tuf/metadata.h"

namespace segue::plan {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Fields;
using tuf::Json;

constexpr std::array<std::pair<Phase, std::string_view>, 9> kPhases = {
    {{Phase::waiting, "waiting"},
     {Phase::going_live, "going-live"},
     {Phase::undoing, "undoing"},
     {Phase::live, "live"},
     {Phase::undone, "undone"},
     {Phase::failed, "failed"},
     {Phase::missed, "missed"},
     {Phase::superseded, "superseded"},
     {Phase::cancelled, "cancelled"}}};

constexpr std::array<std::pair<Step, std::string_view>, 8> kSteps = {
    {{Step::stop_old, "stop-old"},
     {Step::switch_over, "switch-over"},
     {Step::start_new, "start-new"},
     {Step::check_new, "check-new"},
     {Step::stop_new, "stop-new"},
     {Step::switch_back, "switch-back"},
     {Step::start_old, "start-old"},
     {Step::check_old, "check-old"}}};

template <class Table, class Value>
std::string_view word_of(const Table& table, Value value) {
  for (const auto& [known, word] : table) {
    if (known == value) return word;
  }
  return "";
}

template <class Value, class Table>
Result<Value> take_word(Fields& fields, const std::string& name, const Table& table) {
  SEGUE_ASSIGN(const std::string text, fields.string(name));
  for (const auto& [value, word] : table) {
    if (word == text) return value;
  }
  return fail(ErrorCode::data_loss, "'{}' of {} is not a word that it may be", name, fields.what());
}

Result<StepRecord> read_record(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "a step"));
  StepRecord record;
  SEGUE_ASSIGN(record.step, take_word<Step>(fields, "step", kSteps));
  SEGUE_ASSIGN(record.ended, take_time(fields, "ended"));
  SEGUE_ASSIGN(record.good, take_truth(fields, "good"));
  SEGUE_ASSIGN(record.text, fields.string("text"));
  SEGUE_TRY(nothing_else(std::move(fields)));
  return record;
}

Result<std::vector<StepRecord>> take_records(Fields& fields) {
  SEGUE_ASSIGN(Json list, take_list(fields, "steps", Progress::kMaxRecords));
  std::vector<StepRecord> records;
  for (auto& json : list) {
    SEGUE_ASSIGN(StepRecord record, read_record(std::move(json)));
    records.push_back(std::move(record));
  }
  return records;
}

Result<Progress> read_progress(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "the progress of a plan"));
  Progress progress;
  SEGUE_ASSIGN(const Json plan, fields.take("plan"));
  SEGUE_ASSIGN(progress.plan, read_plan(line_of(plan)));
  SEGUE_ASSIGN(progress.planned, take_time(fields, "planned"));
  SEGUE_ASSIGN(progress.due, take_time(fields, "due"));
  SEGUE_ASSIGN(progress.phase, take_word<Phase>(fields, "phase", kPhases));
  SEGUE_ASSIGN(progress.staged, take_truth(fields, "staged"));
  SEGUE_ASSIGN(progress.alarmed, take_truth(fields, "alarmed"));
  SEGUE_ASSIGN(progress.step, take_word<Step>(fields, "step", kSteps));
  SEGUE_ASSIGN(progress.start_begun, take_truth(fields, "start_begun"));
  SEGUE_ASSIGN(progress.start_repeated, take_truth(fields, "start_repeated"));
  SEGUE_ASSIGN(progress.old_serves, take_truth(fields, "old_serves"));
  SEGUE_ASSIGN(progress.began, take_time(fields, "began"));
  SEGUE_ASSIGN(progress.ended, take_time(fields, "ended"));
  SEGUE_ASSIGN(progress.text, fields.string("text"));
  SEGUE_ASSIGN(progress.records, take_records(fields));
  SEGUE_ASSIGN(progress.report_due, take_truth(fields, "report_due"));
  SEGUE_TRY(nothing_else(std::move(fields)));
  if (progress.plan.sites.size() != 1) {
    return fail(ErrorCode::data_loss, "plan {} is not for one site", progress.plan.id);
  }
  return progress;
}

Json records_of(const Progress& progress) {
  Json records = Json::array();
  for (const auto& record : progress.records) {
    records.push_back(Json{{"step", to_string(record.step)},
                           {"ended", tuf::to_string(record.ended)},
                           {"good", record.good},
                           {"text", record.text}});
  }
  return records;
}

Json json_of(const Progress& progress) {
  return Json{{"plan", Json::parse(write_plan(progress.plan))},
              {"planned", tuf::to_string(progress.planned)},
              {"due", tuf::to_string(progress.due)},
              {"phase", to_string(progress.phase)},
              {"staged", progress.staged},
              {"alarmed", progress.alarmed},
              {"step", to_string(progress.step)},
              {"start_begun", progress.start_begun},
              {"start_repeated", progress.start_repeated},
              {"old_serves", progress.old_serves},
              {"began", tuf::to_string(progress.began)},
              {"ended", tuf::to_string(progress.ended)},
              {"text", progress.text},
              {"steps", records_of(progress)},
              {"report_due", progress.report_due}};
}

// At most one is under way, and what is written about the newest belongs together.
Result<void> check_whole(const PlaceState& state) {
  const auto under_way = std::count_if(state.plans.begin(), state.plans.end(), [](const auto& one) {
    return one.second.phase == Phase::going_live || one.second.phase == Phase::undoing;
  });
  if (under_way <= 1 && state.newest_planned.has_value() == state.newest_created.has_value()) {
    return {};
  }
  return fail(ErrorCode::data_loss, "the state of the place contradicts itself");
}

}  // namespace

std::string_view to_string(Phase phase) {
  return word_of(kPhases, phase);
}

std::string_view to_string(Step step) {
  return word_of(kSteps, step);
}

bool is_final(Phase phase) {
  return phase >= Phase::live;
}

Result<PlaceState> read_place_state(std::string_view bytes) {
  if (bytes.size() > kMaxPlaceStateBytes) {
    return fail(ErrorCode::data_loss, "the state has more than {} bytes", kMaxPlaceStateBytes);
  }
  SEGUE_ASSIGN(Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "the state of a place"));
  SEGUE_ASSIGN(const std::uint64_t format, fields.number("segue_place_state", 1));
  if (format != kPlaceStateFormat) {
    return fail(ErrorCode::failed_precondition,
                "the state is of format {}, and this program knows {}: upgrade it", format,
                kPlaceStateFormat);
  }
  PlaceState state;
  SEGUE_ASSIGN(Json list, take_list(fields, "plans", PlaceDecider::kMaxPlans));
  for (auto& one : list) {
    SEGUE_ASSIGN(Progress progress, read_progress(std::move(one)));
    const std::string id = progress.plan.id;
    if (!state.plans.try_emplace(id, std::move(progress)).second) {
      return fail(ErrorCode::data_loss, "plan {} stands twice in the state", id);
    }
  }
  for (const auto& [name, place] : {std::pair("newest_planned", &state.newest_planned),
                                    {"newest_created", &state.newest_created}}) {
    const Json text = fields.take_if_any(name);
    if (text.is_null()) continue;
    if (!text.is_string()) return fail(ErrorCode::data_loss, "'{}' is not a time", name);
    SEGUE_ASSIGN(*place, tuf::parse_time(text.get<std::string>()));
  }
  SEGUE_TRY(nothing_else(std::move(fields)));
  SEGUE_TRY(check_whole(state));
  return state;
}

std::string write_place_state(const PlaceState& state) {
  Json plans = Json::array();
  for (const auto& [id, progress] : state.plans) plans.push_back(json_of(progress));
  Json json{{"segue_place_state", kPlaceStateFormat}, {"plans", std::move(plans)}};
  if (state.newest_planned) json["newest_planned"] = tuf::to_string(*state.newest_planned);
  if (state.newest_created) json["newest_created"] = tuf::to_string(*state.newest_created);
  return line_of(json);
}

std::string write_report(const Progress& progress, const std::string& site,
                         const std::string& host) {
  return line_of(Json{{"segue_report", 1},
                      {"plan", progress.plan.id},
                      {"component", progress.plan.component},
                      {"version", progress.plan.version},
                      {"site", site},
                      {"host", host},
                      {"outcome", to_string(progress.phase)},
                      {"text", progress.text},
                      {"planned", tuf::to_string(progress.planned)},
                      {"began", tuf::to_string(progress.began)},
                      {"ended", tuf::to_string(progress.ended)},
                      {"steps", records_of(progress)}});
}

}  // namespace segue::plan
