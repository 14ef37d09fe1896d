// SPDX-License-Identifier: Apache-2.0
#include "agent/place_agent.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "agent/answer_text.h"
#include "control/exit_code.h"
#include "os/files.h"
#include "plans/plan_folder.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::Result;
using control::ExitCode;
using plan::Step;
using plan::StepResult;

plan::PlaceDecider::Settings settings_of(const control::PlaceOptions& place) {
  const bool hands_over = !place.upgrade.empty();
  return {.component = place.component,
          .site = place.site,
          .stops = !place.stop.empty(),
          .starts = hands_over || !place.start.empty(),
          .hands_over = hands_over,
          .checks = !place.health_command.empty() || !place.health_tcp.empty() ||
                    !place.health_http.empty(),
          .undoes = place.undoes};
}

Result<plan::PlaceState> load_state(const std::string& path) {
  const auto bytes = os::read_file(path, plan::kMaxPlaceStateBytes);
  if (!bytes && bytes.error().code() == ErrorCode::not_found) return plan::PlaceState{};
  if (!bytes) return base::fail(bytes.error());
  auto state = plan::read_place_state(*bytes);
  if (state) return state;
  return base::fail(std::move(state).error().with(
      fmt::format("cannot go on with {}: restore it, or move it away to begin anew", path)));
}

}  // namespace

Result<std::unique_ptr<PlaceAgent>> PlaceAgent::open(const AgentParts& parts,
                                                     control::PlaceOptions place,
                                                     std::string directory) {
  SEGUE_TRY(os::ensure_private_directory(directory));
  SEGUE_ASSIGN(plan::PlaceState state, load_state(directory + "/state.json"));
  return std::unique_ptr<PlaceAgent>(
      new PlaceAgent(parts, std::move(place), std::move(directory), std::move(state)));
}

PlaceAgent::PlaceAgent(const AgentParts& parts, control::PlaceOptions place, std::string directory,
                       plan::PlaceState state)
    : parts_(parts),
      place_(std::move(place)),
      directory_(std::move(directory)),
      trees_(parts_.segue, place_),
      decider_(settings_of(place_), parts_.zones, std::move(state)) {}

PlaceAgent::~PlaceAgent() {
  if (timer_) parts_.loop.cancel(*timer_);
}

plan::Now PlaceAgent::now() const {
  return {parts_.clock.realtime_now(), parts_.clock.monotonic_now()};
}

void PlaceAgent::start() {
  work();
}

void PlaceAgent::give(plan::Event event) {
  const auto same_kind = [&](const plan::Event& other) { return other.index() == event.index(); };
  const bool repeats = std::holds_alternative<plan::TimePassed>(event) ||
                       std::holds_alternative<plan::PlansRead>(event) ||
                       std::holds_alternative<plan::StagingEstimated>(event);
  if (repeats) std::erase_if(events_, same_kind);
  events_.push_back(std::move(event));
  work();
}

// Not while commands are carried out, some of which have their outcome at once.
void PlaceAgent::work() {
  if (working_) return;
  working_ = true;
  bool kept = true;
  if (!resumed_) kept = resumed_ = decide([this] { return decider_.resume(now()); });
  while (kept && !events_.empty()) {
    kept = decide([this] { return decider_.handle(events_.front(), now()); });
    if (kept) events_.pop_front();
  }
  working_ = false;
  set_timer();
}

// Nothing is done that was not written down: if that fails, it was not decided.
bool PlaceAgent::decide(const std::function<plan::Commands()>& decision) {
  const plan::PlaceDecider before = decider_;
  const plan::Commands commands = decision();
  if (!(before.state() == decider_.state())) {
    if (const auto kept = keep_state(); !kept) {
      decider_ = before;
      parts_.log.error("state.not_kept",
                       {{"component", place_.component}, {"error", kept.error().to_string()}});
      return false;
    }
  }
  carry_out(commands);
  return true;
}

Result<void> PlaceAgent::keep_state() {
  return os::write_file_atomically(directory_ + "/state.json",
                                   plan::write_place_state(decider_.state()));
}

void PlaceAgent::carry_out(const plan::Commands& commands) {
  for (const auto& command : commands) {
    std::visit([this](const auto& typed) { execute(typed); }, command);
  }
}

void PlaceAgent::set_timer() {
  if (timer_) parts_.loop.cancel(*std::exchange(timer_, std::nullopt));
  const plan::Now at = now();
  const plan::Now deadline = decider_.next_deadline(at);
  auto wait = std::min<base::Duration>(kReview, deadline.monotonic - at.monotonic);
  wait = std::min<base::Duration>(wait, deadline.real - at.real);
  if (!events_.empty() || !resumed_) wait = std::min<base::Duration>(wait, kStateRetry);
  const auto timer = parts_.loop.call_at(at.monotonic + wait, [this] {
    timer_.reset();
    give(plan::TimePassed{});
  });
  if (timer) timer_ = *timer;
}

void PlaceAgent::fault(Step step, const char* when) const {
  const bool meant = parts_.unsafe_fault == fmt::format("{}:{}", to_string(step), when);
  if (meant && parts_.kill_self) parts_.kill_self();
}

std::vector<std::string> PlaceAgent::environment_of(const plan::RunStep& command) const {
  std::vector<std::string> environment = parts_.environment;
  environment.push_back("SEGUE_COMPONENT=" + place_.component);
  environment.push_back("SEGUE_PLACE=" + place_.place);
  environment.push_back("SEGUE_PLAN=" + command.plan);
  environment.push_back("SEGUE_VERSION=" + command.version);
  environment.push_back("SEGUE_STEP=" + std::string(to_string(command.step)));
  return environment;
}

// ---- Staging

void PlaceAgent::execute(const plan::Stage& command) {
  parts_.log.info(
      "staging.begins",
      {{"component", place_.component}, {"plan", command.plan}, {"version", command.version}});
  const auto planned = state().plans.find(command.plan);
  const auto due =
      planned == state().plans.end() ? std::nullopt : std::optional(planned->second.due);
  staging_ = std::make_unique<ChildRun>(
      parts_.loop, parts_.clock,
      ChildRun::Settings{.argv = trees_.stage(command.version, due),
                         .env = parts_.environment,
                         .output = directory_ + "/staging.log",
                         .limit = kStagingLimit},
      [this, command](const ChildRun::Result& result) { staging_ended(command, result); });
  staging_->start();
}

void PlaceAgent::execute(const plan::EndStaging& /*command*/) {
  staging_.reset();
}

void PlaceAgent::staging_ended(const plan::Stage& command, const ChildRun::Result& result) {
  const auto over = std::move(staging_);
  const auto& [plan, version] = command;
  const std::string text = text_of(result);
  if (result.ended && result.exit_code == static_cast<int>(ExitCode::done)) {
    parts_.log.info("staging.done", {{"component", place_.component}, {"plan", plan}});
    return give(plan::Staged{plan, version});
  }
  const bool refused = result.ended && result.exit_code == static_cast<int>(ExitCode::refused);
  parts_.log.warning("staging.failed",
                     {{"component", place_.component}, {"plan", plan}, {"why", text}});
  give(plan::StagingFailed{plan, version, refused, text});
}

// ---- Steps

void PlaceAgent::execute(const plan::RunStep& command) {
  parts_.log.info(
      "step.begins",
      {{"component", place_.component}, {"plan", command.plan}, {"step", to_string(command.step)}});
  fault(command.step, "before");
  const auto shell = [&](const std::string& text) {
    run_command(command, {"/bin/sh", "-c", text});
  };
  switch (command.step) {
    case Step::stop_old:
    case Step::stop_new:
      return shell(place_.stop);
    case Step::switch_over:
      return run_command(command, trees_.go_live(command.version));
    case Step::switch_back:
      return run_command(command, trees_.go_back(command.version));
    case Step::start_new:
    case Step::start_old:
      return shell(place_.upgrade.empty() ? place_.start : place_.upgrade);
    case Step::check_new:
    case Step::check_old:
      health_ = std::make_unique<HealthWatch>(
          parts_.loop, parts_.clock, place_, environment_of(command),
          [this, command](bool good, const std::string& text) {
            const auto over = std::move(health_);
            step_ended(command, good ? StepResult::good : StepResult::failed, text);
          });
      return health_->start();
  }
}

void PlaceAgent::run_command(const plan::RunStep& command, std::vector<std::string> argv) {
  step_ = std::make_unique<ChildRun>(
      parts_.loop, parts_.clock,
      ChildRun::Settings{.argv = std::move(argv),
                         .env = environment_of(command),
                         .output = fmt::format("{}/{}.log", directory_, to_string(command.step)),
                         .limit = std::chrono::seconds(place_.step_limit_s)},
      [this, command](const ChildRun::Result& result) {
        const auto over = std::move(step_);
        const auto is = [&](ExitCode code) {
          return result.ended && result.exit_code == static_cast<int>(code);
        };
        // A handoff that was undone or refused left the old one as it was.
        const bool untouched = !place_.upgrade.empty() && command.step == Step::start_new &&
                               (is(ExitCode::undone) || is(ExitCode::refused));
        step_ended(command,
                   is(ExitCode::done) ? StepResult::good
                   : untouched        ? StepResult::old_serves
                                      : StepResult::failed,
                   is(ExitCode::done) ? "" : text_of(result));
      });
  step_->start();
}

void PlaceAgent::step_ended(const plan::RunStep& command, StepResult result,
                            const std::string& text) {
  fault(command.step, "after");
  if (result == StepResult::good) {
    parts_.log.info("step.done", {{"component", place_.component},
                                  {"plan", command.plan},
                                  {"step", to_string(command.step)}});
  } else {
    parts_.log.error("step.failed", {{"component", place_.component},
                                     {"plan", command.plan},
                                     {"step", to_string(command.step)},
                                     {"why", text}});
  }
  give(plan::StepEnded{command.plan, command.step, result, text});
}

// ---- What people are told

void PlaceAgent::execute(const plan::Alarm& command) {
  parts_.log.warning(
      "plan.alarm",
      {{"component", place_.component}, {"plan", command.plan}, {"text", command.text}});
  const nlohmann::json alarm{
      {"segue_report", 1},   {"plan", command.plan}, {"component", place_.component},
      {"site", place_.site}, {"host", parts_.host},  {"outcome", "alarm"},
      {"text", command.text}};
  const auto kept = parts_.outbox.keep(
      plans::report_file_name(command.plan, place_.site, parts_.host + ",alarm"),
      alarm.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
  if (!kept) parts_.log.error("report.not_kept", {{"error", kept.error().to_string()}});
}

void PlaceAgent::execute(const plan::KeepReport& command) {
  const auto found = decider_.state().plans.find(command.plan);
  if (found == decider_.state().plans.end()) return;
  const plan::Progress& progress = found->second;
  parts_.log.info("plan.over", {{"component", place_.component},
                                {"plan", command.plan},
                                {"outcome", to_string(progress.phase)},
                                {"text", progress.text}});
  const auto kept =
      parts_.outbox.keep(plans::report_file_name(command.plan, place_.site, parts_.host),
                         plan::write_report(progress, place_.site, parts_.host));
  if (kept) return give(plan::ReportKept{command.plan});
  // It is due at the next start as well.
  parts_.log.error("report.not_kept", {{"error", kept.error().to_string()}});
}

}  // namespace segue::agent
