// SPDX-License-Identifier: Apache-2.0
#include "agent/health_watch.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace segue::agent {

HealthWatch::HealthWatch(os::EpollLoop& loop, const os::Clock& clock,
                         const control::PlaceOptions& place, std::vector<std::string> environment,
                         OnEnd on_end)
    : loop_(loop),
      clock_(clock),
      settings_{.command = place.health_command,
                .tcp = place.health_tcp,
                .http = place.health_http,
                .limit = kCheckLimit,
                .environment = std::move(environment)},
      needed_(place.health_good_in_row),
      within_(std::chrono::seconds(place.health_within_s)),
      on_end_(std::move(on_end)) {}

HealthWatch::~HealthWatch() {
  if (timer_) loop_.cancel(*timer_);
}

void HealthWatch::start() {
  until_ = clock_.monotonic_now() + within_;
  const auto timer = loop_.call_at(clock_.monotonic_now(), [this] { check(); });
  if (timer) timer_ = *timer;
}

void HealthWatch::check() {
  timer_.reset();
  health::HealthCheck::Settings settings = settings_;
  settings.limit = std::clamp<base::Duration>(until_ - clock_.monotonic_now(),
                                              std::chrono::milliseconds(1), kCheckLimit);
  check_ = std::make_unique<health::HealthCheck>(
      loop_, clock_, std::move(settings),
      [this](const health::HealthCheck::Result& result) { checked(result); });
  check_->start();
}

void HealthWatch::checked(const health::HealthCheck::Result& result) {
  good_ = result.good ? good_ + 1 : 0;
  const bool is_over = clock_.monotonic_now() + kInterval >= until_;
  if (good_ < needed_ && !is_over) {
    // The check that speaks is replaced then, and not now.
    const auto timer = loop_.call_at(clock_.monotonic_now() + kInterval, [this] { check(); });
    if (timer) {
      timer_ = *timer;
      return;
    }
  }
  const OnEnd on_end = std::exchange(on_end_, nullptr);
  if (good_ >= needed_) return on_end(true, result.text);
  on_end(false, fmt::format("{} (not good {} times in a row within {} s)", result.text, needed_,
                            std::chrono::duration_cast<std::chrono::seconds>(within_).count()));
}

}  // namespace segue::agent
