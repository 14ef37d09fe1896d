// SPDX-License-Identifier: Apache-2.0
#include "agent/plan_feed.h"

#include <fmt/format.h>

#include <utility>

#include "agent/answer_text.h"
#include "control/exit_code.h"
#include "crypto/digest.h"
#include "os/files.h"
#include "plan/time_expression.h"
#include "plans/plan_fetch.h"

namespace segue::agent {

using base::Result;
using control::ExitCode;

PlanFeed::PlanFeed(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                   Settings settings, OnAlarm on_alarm)
    : loop_(loop),
      clock_(clock),
      log_(log),
      settings_(std::move(settings)),
      on_alarm_(std::move(on_alarm)),
      folder_(settings_.directory),
      began_(clock.realtime_now()) {}

PlanFeed::~PlanFeed() {
  if (timer_) loop_.cancel(*timer_);
}

Result<std::unique_ptr<PlanFeed>> PlanFeed::open(os::EpollLoop& loop, const os::Clock& clock,
                                                 const base::Log& log, Settings settings,
                                                 OnAlarm on_alarm) {
  SEGUE_TRY(os::ensure_private_directory(settings.directory));
  return std::unique_ptr<PlanFeed>(
      new PlanFeed(loop, clock, log, std::move(settings), std::move(on_alarm)));
}

std::string PlanFeed::directory_of(const std::string& state, const std::string& library) {
  constexpr std::size_t kDigits = 16;
  return fmt::format("{}/plans/{}", state,
                     crypto::to_hex(crypto::digest_of(library)).substr(0, kDigits));
}

void PlanFeed::start() {
  fetch();
}

void PlanFeed::fetch() {
  std::vector<std::string> words = {
      settings_.segue,     "plan",  "fetch", "--library", settings_.library, "--into",
      settings_.directory, "--json"};
  for (const auto& component : settings_.components) {
    words.insert(words.end(), {"--component", component});
  }
  if (const std::string root = settings_.root(); !root.empty()) {
    words.insert(words.end(), {"--root", root});
  }
  run_ = std::make_unique<ChildRun>(loop_, clock_,
                                    ChildRun::Settings{.argv = std::move(words),
                                                       .env = settings_.environment,
                                                       .output = settings_.directory + "/fetch.log",
                                                       .limit = kFetchLimit},
                                    [this](const ChildRun::Result& result) { fetched(result); });
  run_->start();
}

void PlanFeed::fetched(const ChildRun::Result& result) {
  const auto over = std::move(run_);
  const bool good = result.ended && result.exit_code == static_cast<int>(ExitCode::done);
  const std::string complaint = good ? "" : text_of(result);
  // Once, and not with each attempt.
  if (complaint != complaint_) {
    if (good) {
      log_.info("plans.fetched", {{"library", settings_.library}});
    } else {
      log_.warning("plans.not_fetched", {{"library", settings_.library}, {"why", complaint}});
    }
    complaint_ = complaint;
  }
  review_age();
  const auto timer = loop_.call_at(clock_.monotonic_now() + settings_.interval, [this] {
    timer_.reset();
    fetch();
  });
  if (timer) timer_ = *timer;
}

void PlanFeed::review_age() {
  if (complaint_.empty()) {
    alarmed_.reset();
    return;
  }
  const auto fetched_at = plans::fetched_at(settings_.directory);
  const base::RealTime since = fetched_at ? base::RealTime(*fetched_at) : began_;
  const base::MonotonicTime now = clock_.monotonic_now();
  const bool is_old = clock_.realtime_now() - since >= settings_.alarm_after;
  if (!is_old || (alarmed_ && now - *alarmed_ < kAlarmAgain)) return;
  alarmed_ = now;
  const plan::LocalTime utc(std::chrono::floor<std::chrono::seconds>(since).time_since_epoch());
  on_alarm_(fmt::format(
      "plans of {} could not be refreshed since {}Z ({}): what was known then is kept and goes "
      "live; what was planned or cancelled since is not known here",
      settings_.library, plan::to_string(utc), complaint_));
}

}  // namespace segue::agent
