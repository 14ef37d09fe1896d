// SPDX-License-Identifier: Apache-2.0
#include "agent/health_probe.h"

#include <utility>

namespace segue::agent {

using fleet::Health;

HealthProbe::HealthProbe(os::EpollLoop& loop, const os::Clock& clock, fleet::HealthCheck check,
                         std::vector<std::string> environment, OnChange on_change)
    : loop_(loop),
      clock_(clock),
      rule_(std::move(check)),
      environment_(std::move(environment)),
      on_change_(std::move(on_change)) {}

HealthProbe::~HealthProbe() {
  stop();
}

void HealthProbe::start() {
  stop();
  verdict_ = {.since = clock_.realtime_now()};
  good_in_row_ = 0;
  bad_in_row_ = 0;
  if (rule_.kind != fleet::HealthCheck::Kind::none) check();
}

void HealthProbe::stop() {
  if (timer_) loop_.cancel(*timer_);
  timer_.reset();
  check_.reset();
}

void HealthProbe::check() {
  health::HealthCheck::Settings settings;
  settings.limit = std::chrono::milliseconds(rule_.timeout_ms);
  settings.environment = environment_;
  switch (rule_.kind) {
    case fleet::HealthCheck::Kind::none:
      return;
    case fleet::HealthCheck::Kind::http:
      settings.http = rule_.target;
      break;
    case fleet::HealthCheck::Kind::tcp:
      settings.tcp = rule_.target;
      break;
    case fleet::HealthCheck::Kind::exec:
      settings.command = rule_.target;
      break;
    case fleet::HealthCheck::Kind::grpc:
      verdict_.text = "this agent has no gRPC health checks";
      return;
  }
  check_ = std::make_unique<health::HealthCheck>(
      loop_, clock_, std::move(settings),
      [this](const health::HealthCheck::Result& result) { checked(result); });
  check_->start();
}

void HealthProbe::checked(const health::HealthCheck::Result& result) {
  good_in_row_ = result.good ? good_in_row_ + 1 : 0;
  bad_in_row_ = result.good ? 0 : bad_in_row_ + 1;
  verdict_.text = result.text;
  if (const auto timer = loop_.call_at(
          clock_.monotonic_now() + std::chrono::milliseconds(rule_.interval_ms), [this] {
            timer_.reset();
            check();
          })) {
    timer_ = *timer;
  }
  if (good_in_row_ >= rule_.good_in_row) {
    change(Health::good);
  } else if (bad_in_row_ >= rule_.bad_in_row) {
    change(Health::bad);
  }
}

void HealthProbe::change(Health health) {
  if (verdict_.health == health) return;
  verdict_.health = health;
  verdict_.since = clock_.realtime_now();
  on_change_(verdict_);
}

}  // namespace segue::agent
