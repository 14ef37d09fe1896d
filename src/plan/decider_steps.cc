// SPDX-License-Identifier: Apache-2.0
// The steps of going live and of the way back: which one follows.
#include <fmt/format.h>

#include <algorithm>

#include "base/assert.h"
#include "plan/decider.h"

namespace segue::plan {

void PlaceDecider::begin_step(Progress& progress, Step step) {
  progress.step = step;
  if (step == Step::start_new) {
    progress.start_repeated = progress.start_begun;
    progress.start_begun = true;
  }
  commands_.push_back(RunStep{progress.plan.id, progress.plan.version, step});
}

void PlaceDecider::on(const StepEnded& event) {
  Progress* progress = changeable_active();
  // Of a step that nobody waits for: it was begun before a kill.
  if (progress == nullptr || progress->plan.id != event.plan || progress->step != event.step) {
    return;
  }
  const bool good = event.result == StepResult::good;
  const std::string text = event.text.substr(0, Progress::kMaxRecordTextBytes);
  if (progress->records.size() < Progress::kMaxRecords) {
    progress->records.push_back({event.step, instant(), good, text});
  }
  if (good) return step_was_good(*progress);
  step_failed(*progress, text, event.result == StepResult::old_serves);
}

void PlaceDecider::step_was_good(Progress& progress) {
  const auto check_or = [&](Step check, Phase phase, const std::string& text) {
    settings_.checks ? begin_step(progress, check) : finish(progress, phase, text);
  };
  switch (progress.step) {
    case Step::stop_old:
      return begin_step(progress, Step::switch_over);
    case Step::switch_over:
      if (settings_.starts) return begin_step(progress, Step::start_new);
      [[fallthrough]];
    case Step::start_new:
      return check_or(Step::check_new, Phase::live, "");
    case Step::check_new:
      return finish(progress, Phase::live, "");
    case Step::stop_new:
      return begin_step(progress, Step::switch_back);
    case Step::switch_back:
      return switched_back(progress);
    case Step::start_old:
      return check_or(Step::check_old, Phase::undone, progress.text);
    case Step::check_old:
      return finish(progress, Phase::undone, progress.text);
  }
  SEGUE_ASSERT(false && "a Step outside its enumeration");
}

void PlaceDecider::step_failed(Progress& progress, const std::string& text, bool old_serves) {
  const std::string what = fmt::format("{}: {}", to_string(progress.step), text);
  switch (progress.step) {
    case Step::stop_old:
    case Step::switch_over:
      return undo_from(progress, what);
    case Step::start_new:
      progress.old_serves = old_serves && !progress.start_repeated;
      [[fallthrough]];
    case Step::check_new:
      if (settings_.undoes || progress.old_serves) return undo_from(progress, what);
      return finish(progress, Phase::failed, what + "; it was not undone, as its policy says");
    case Step::stop_new:  // what is left of it must not keep the old one from being put back
      return begin_step(progress, Step::switch_back);
    case Step::switch_back: {
      const auto tries =
          std::count_if(progress.records.begin(), progress.records.end(),
                        [](const StepRecord& one) { return one.step == Step::switch_back; });
      if (tries < kSwitchBackTries) return begin_step(progress, Step::switch_back);
      return finish(progress, Phase::failed, progress.text + "; then " + what);
    }
    case Step::start_old:
    case Step::check_old:
      return finish(progress, Phase::failed, progress.text + "; then " + what);
  }
  SEGUE_ASSERT(false && "a Step outside its enumeration");
}

void PlaceDecider::undo_from(Progress& progress, const std::string& text) {
  progress.phase = Phase::undoing;
  progress.text = text;
  const bool new_may_run = progress.start_begun && !progress.old_serves;
  begin_step(progress, settings_.stops && new_may_run ? Step::stop_new : Step::switch_back);
}

void PlaceDecider::switched_back(Progress& progress) {
  const bool new_may_run = progress.start_begun && !progress.old_serves;
  if (settings_.starts && (settings_.stops || new_may_run)) {
    return begin_step(progress, Step::start_old);
  }
  if (settings_.checks) return begin_step(progress, Step::check_old);
  finish(progress, Phase::undone, progress.text);
}

}  // namespace segue::plan
