// SPDX-License-Identifier: Apache-2.0
#include "plan/decider.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <utility>

#include "base/assert.h"

namespace segue::plan {
namespace {

seconds with_reserve(seconds estimate) {
  return estimate + estimate / 4;
}

Plan for_one_site(const Plan& plan, const Site& site) {
  Plan reduced = plan;
  reduced.sites = {site};
  return reduced;
}

}  // namespace

Instant PlaceDecider::instant() const {
  return std::chrono::floor<seconds>(now_.real);
}

Progress* PlaceDecider::find(const std::string& plan) {
  const auto found = state_.plans.find(plan);
  return found == state_.plans.end() ? nullptr : &found->second;
}

const Progress* PlaceDecider::active() const {
  for (const auto& [id, progress] : state_.plans) {
    if (progress.phase == Phase::going_live || progress.phase == Phase::undoing) return &progress;
  }
  return nullptr;
}

Progress* PlaceDecider::changeable_active() {
  const Progress* progress = active();
  return progress == nullptr ? nullptr : find(progress->plan.id);
}

void PlaceDecider::observe_clock(Now now) {
  const auto drift = (now.real - now_.real) - (now.monotonic - now_.monotonic);
  const bool stepped = clock_known_ && (drift > kClockStep || drift < -kClockStep);
  if (stepped) settled_at_ = std::max(settled_at_, now.monotonic + kClockSettles);
  if (!clock_known_) settled_at_ = base::MonotonicTime(kClockSettlesAfterBoot);
  now_ = now;
  clock_known_ = true;
}

Commands PlaceDecider::resume(Now now) {
  observe_clock(now);
  for (auto& [id, progress] : state_.plans) {
    if (progress.report_due) commands_.push_back(KeepReport{id});
  }
  if (Progress* progress = changeable_active()) {
    const bool too_late = progress->phase == Phase::going_live &&
                          instant() > progress->began + progress->plan.go_live_limit;
    if (too_late) {
      step_failed(*progress,
                  fmt::format("interrupted, and {} have passed since it began",
                              span_text(progress->plan.go_live_limit)),
                  false);
    } else {
      begin_step(*progress, progress->step);
    }
  }
  review();
  return std::exchange(commands_, {});
}

Commands PlaceDecider::handle(const Event& event, Now now) {
  observe_clock(now);
  std::visit([this](const auto& typed) { on(typed); }, event);
  review();
  return std::exchange(commands_, {});
}

void PlaceDecider::on(const PlansRead& event) {
  std::vector<const Plan*> by_creation;
  for (const auto& plan : event.plans) {
    if (plan.component == settings_.component) by_creation.push_back(&plan);
  }
  std::sort(by_creation.begin(), by_creation.end(), [](const Plan* a, const Plan* b) {
    return std::tie(a->created, a->id) < std::tie(b->created, b->id);
  });
  forget_old(event.plans);
  for (const Plan* plan : by_creation) accept(*plan);
}

void PlaceDecider::accept(const Plan& plan) {
  const Site* site = plan.site(settings_.site);
  if (site == nullptr) return;
  Progress* known = find(plan.id);
  if (known != nullptr && known->phase != Phase::waiting) return;
  if (known == nullptr) {
    if (state_.plans.size() >= kMaxPlans) {
      commands_.push_back(Alarm{
          plan.id, fmt::format("is not kept: this host has {} plans already; cancel one, or remove "
                               "the files of those that are over",
                               kMaxPlans)});
      return;
    }
    known = &state_.plans[plan.id];
  }
  if (known->plan.version != plan.version) {
    known->staged = false;
    if (staging_ == plan.id) end_staging();  // of the version that is not wanted any more
  }
  known->plan = for_one_site(plan, *site);
  if (known->planned != site->at) known->due = known->planned = site->at;
  const bool is_old = state_.newest_planned && site->at <= *state_.newest_planned &&
                      plan.created <= *state_.newest_created;
  if (plan.cancelled) return finish(*known, Phase::cancelled, plan.cancelled->reason);
  if (is_old) finish(*known, Phase::superseded, "a plan for a later time went live before it");
}

// Only those that nobody shows any more: another would be taken for a new one.
void PlaceDecider::forget_old(const std::vector<Plan>& present) {
  std::set<std::string> shown;
  for (const auto& plan : present) shown.insert(plan.id);
  while (state_.plans.size() >= kMaxPlans) {
    auto oldest = state_.plans.end();
    for (auto it = state_.plans.begin(); it != state_.plans.end(); ++it) {
      const bool may_go =
          is_final(it->second.phase) && !it->second.report_due && !shown.contains(it->first);
      if (may_go && (oldest == state_.plans.end() || it->second.ended < oldest->second.ended)) {
        oldest = it;
      }
    }
    if (oldest == state_.plans.end()) return;
    state_.plans.erase(oldest);
  }
}

void PlaceDecider::on(const Staged& event) {
  Progress* progress = find(event.plan);
  if (progress != nullptr && progress->plan.version != event.version) return;
  if (staging_ == event.plan) staging_.clear();
  retries_.erase(event.plan);
  estimates_.erase(event.plan);
  if (progress == nullptr || progress->phase != Phase::waiting) return;
  progress->staged = true;
  progress->text.clear();
  progress->alarmed = false;
}

void PlaceDecider::on(const StagingFailed& event) {
  Progress* progress = find(event.plan);
  if (progress != nullptr && progress->plan.version != event.version) return;
  if (staging_ == event.plan) staging_.clear();
  if (progress == nullptr || progress->phase != Phase::waiting) return;
  Retry& retry = retries_[event.plan];
  base::Duration delay = kPoll;
  if (event.refused) {
    retry.failures = 0;
  } else {
    delay = kFirstRetry;
    for (std::uint32_t i = 0; i < retry.failures && delay < kMaxRetry; ++i) delay *= 2;
    ++retry.failures;
  }
  retry.at = now_.monotonic + std::min(delay, kMaxRetry);
  progress->text = event.text.substr(0, Progress::kMaxRecordTextBytes);
}

void PlaceDecider::on(const StagingEstimated& event) {
  if (staging_ == event.plan) estimates_[event.plan] = event.remaining;
}

void PlaceDecider::on(const ReportKept& event) {
  if (Progress* progress = find(event.plan)) progress->report_due = false;
}

// ---- What time brings

void PlaceDecider::review() {
  if (active() != nullptr) return;
  Progress* best = nullptr;
  for (auto& [id, progress] : state_.plans) {
    if (progress.phase == Phase::waiting) review_missed(progress);
    if (progress.phase == Phase::waiting) review_lateness(progress);
    if (progress.phase != Phase::waiting || !may_begin(progress)) continue;
    const auto order = [](const Progress& one) {
      return std::tie(one.planned, one.plan.created, one.plan.id);
    };
    if (best == nullptr || order(*best) < order(progress)) best = &progress;
  }
  if (best != nullptr) {
    begin(*best);
  } else {
    start_staging();
  }
}

void PlaceDecider::review_missed(Progress& progress) {
  if (!clock_is_settled() || instant() <= progress.due + progress.plan.late_limit) return;
  switch (progress.plan.missed) {
    case MissedPolicy::at_once:
      return;
    case MissedPolicy::skip:
      return finish(progress, Phase::missed,
                    progress.staged ? "its time passed before this host could act"
                                    : "its time passed before the version was staged");
    case MissedPolicy::next_window: {
      const auto next = after_missed(progress.plan, progress.plan.sites.front().zone, *zones_,
                                     progress.due, instant());
      if (!next) return finish(progress, Phase::failed, next.error().message());
      progress.due = *next;
      progress.alarmed = false;
      const auto local = local_text(*zones_, progress.plan.sites.front().zone, *next);
      commands_.push_back(
          Alarm{progress.plan.id,
                fmt::format("missed its time; it goes live {} instead", local ? *local : "later")});
    }
  }
}

void PlaceDecider::review_lateness(Progress& progress) {
  if (progress.staged || progress.alarmed) return;
  const auto known = estimates_.find(progress.plan.id);
  const seconds estimate =
      known == estimates_.end() ? progress.plan.staging_estimate : known->second;
  if (instant() + with_reserve(estimate) < progress.due) return;
  progress.alarmed = true;
  const std::string why = progress.text.empty() ? "" : " (" + progress.text + ")";
  commands_.push_back(Alarm{
      progress.plan.id,
      fmt::format("will be late: version {} is not staged yet{}, which takes about {}, and it "
                  "goes live in {}",
                  progress.plan.version, why, span_text(estimate),
                  span_text(std::max(seconds(0), progress.due - instant())))});
}

bool PlaceDecider::may_begin(Progress& progress) {
  if (!progress.staged || !clock_is_settled() || instant() < progress.due) return false;
  const std::string& zone = progress.plan.sites.front().zone;
  // review_missed() left only those that may come at any time.
  const bool is_late = instant() > progress.due + progress.plan.late_limit;
  const auto hold = is_late ? freeze_at(progress.plan, zone, *zones_, instant())
                            : hold_at(progress.plan, zone, *zones_, instant());
  if (!hold) {
    finish(progress, Phase::failed, hold.error().message());
    return false;
  }
  return !hold->has_value();
}

void PlaceDecider::begin(Progress& chosen) {
  chosen.phase = Phase::going_live;
  chosen.began = instant();
  chosen.text.clear();
  state_.newest_planned = chosen.planned;
  state_.newest_created = chosen.plan.created;
  for (auto& [id, other] : state_.plans) {
    if (other.phase == Phase::waiting && other.planned <= chosen.planned) {
      finish(other, Phase::superseded,
             fmt::format("plan {} for a later time went live before it", chosen.plan.id));
    }
  }
  if (!staging_.empty()) end_staging();
  begin_step(chosen, settings_.stops ? Step::stop_old : Step::switch_over);
}

void PlaceDecider::end_staging() {
  commands_.push_back(EndStaging{});
  staging_.clear();
}

void PlaceDecider::start_staging() {
  if (!staging_.empty()) return;
  const Progress* next = nullptr;
  for (const auto& [id, progress] : state_.plans) {
    if (progress.phase != Phase::waiting || progress.staged) continue;
    const auto retry = retries_.find(id);
    if (retry != retries_.end() && retry->second.at > now_.monotonic) continue;
    if (next == nullptr || progress.due < next->due) next = &progress;
  }
  if (next == nullptr) return;
  staging_ = next->plan.id;
  commands_.push_back(Stage{next->plan.id, next->plan.version});
}

Now PlaceDecider::next_deadline(Now now) const {
  Now next{.real = base::RealTime::max(), .monotonic = base::MonotonicTime::max()};
  const auto at = [&](Instant real) {
    if (base::RealTime(real) > now.real) next.real = std::min(next.real, base::RealTime(real));
  };
  for (const auto& [id, progress] : state_.plans) {
    if (progress.phase != Phase::waiting) continue;
    at(progress.due);
    at(progress.due + progress.plan.late_limit + seconds(1));
    if (!progress.staged) at(progress.due - with_reserve(progress.plan.staging_estimate));
    const auto hold = hold_at(progress.plan, progress.plan.sites.front().zone, *zones_, instant());
    if (hold && hold->has_value()) at((*hold)->until);
    const auto retry = retries_.find(id);
    if (retry != retries_.end() && retry->second.at > now.monotonic) {
      next.monotonic = std::min(next.monotonic, retry->second.at);
    }
  }
  if (settled_at_ > now.monotonic) next.monotonic = std::min(next.monotonic, settled_at_);
  return next;
}

// A place that changed its phase to a final one has to say so once.
void PlaceDecider::finish(Progress& progress, Phase phase, std::string text) {
  SEGUE_ASSERT(is_final(phase) && !is_final(progress.phase));
  progress.phase = phase;
  progress.ended = instant();
  progress.text = std::move(text);
  progress.report_due = true;
  if (staging_ == progress.plan.id) end_staging();
  retries_.erase(progress.plan.id);
  estimates_.erase(progress.plan.id);
  commands_.push_back(KeepReport{progress.plan.id});
}

}  // namespace segue::plan
