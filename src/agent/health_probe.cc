// SPDX-License-Identifier: Apache-2.0
#include "agent/health_probe.h"

#include <utility>

#include "runtime/health_calls.h"

namespace segue::agent {

using fleet::Health;

HealthProbe::HealthProbe(os::EpollLoop& loop, const os::Clock& clock, HealthMeans& means,
                         fleet::HealthCheck check, std::vector<std::string> environment,
                         FindContainer find_container, OnChange on_change)
    : loop_(loop),
      clock_(clock),
      rule_(std::move(check)),
      environment_(std::move(environment)),
      means_(means),
      find_container_(std::move(find_container)),
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
  call_.reset();
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
      if (find_container_) {
        const std::string container = find_container_();
        if (container.empty()) return check_later();
        if (const auto begun = check_inside(container); !begun) {
          checked({.good = false, .text = begun.error().message()});
        }
        return;
      }
      settings.command = rule_.target;
      break;
    case fleet::HealthCheck::Kind::grpc:
      if (const auto begun = check_grpc(); !begun) {
        checked({.good = false, .text = begun.error().message()});
      }
      return;
  }
  check_ = std::make_unique<health::HealthCheck>(
      loop_, clock_, std::move(settings),
      [this](const health::HealthCheck::Result& result) { checked(result); });
  check_->start();
}

base::Result<void> HealthProbe::check_inside(const std::string& container) {
  SEGUE_ASSIGN(runtime::ContainerEngine* const engine, means_.engine());
  call_ = runtime::check_by_exec(
      *engine, container, {"/bin/sh", "-c", rule_.target},
      std::chrono::milliseconds(rule_.timeout_ms),
      [this](const health::HealthCheck::Result& result) { checked(result); });
  return {};
}

base::Result<void> HealthProbe::check_grpc() {
  SEGUE_ASSIGN(http::Client* const client, means_.http());
  call_ =
      runtime::check_grpc(*client, rule_.target, std::chrono::milliseconds(rule_.timeout_ms),
                          [this](const health::HealthCheck::Result& result) { checked(result); });
  return {};
}

void HealthProbe::check_later() {
  if (const auto timer = loop_.call_at(
          clock_.monotonic_now() + std::chrono::milliseconds(rule_.interval_ms), [this] {
            timer_.reset();
            check();
          })) {
    timer_ = *timer;
  }
}

void HealthProbe::checked(const health::HealthCheck::Result& result) {
  good_in_row_ = result.good ? good_in_row_ + 1 : 0;
  bad_in_row_ = result.good ? 0 : bad_in_row_ + 1;
  verdict_.text = result.text;
  check_later();
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
