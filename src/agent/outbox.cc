// SPDX-License-Identifier: Apache-2.0
#include "agent/outbox.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include "os/files.h"

namespace segue::agent {
namespace {

using base::Result;

constexpr std::string_view kEnding = ".json";
constexpr std::size_t kMaxReportBytes = std::size_t{64} << 10;

struct Waiting {
  std::filesystem::file_time_type since;
  std::string name;
  friend auto operator<=>(const Waiting&, const Waiting&) = default;
};

// The oldest first.
std::vector<Waiting> reports_in(const std::string& directory) {
  std::vector<Waiting> reports;
  std::error_code error;
  for (std::filesystem::directory_iterator entries(directory, error);
       !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    std::error_code ignored;
    if (name.ends_with(kEnding)) {
      reports.push_back({std::filesystem::last_write_time(entries->path(), ignored), name});
    }
  }
  std::sort(reports.begin(), reports.end());
  return reports;
}

}  // namespace

Outbox::Outbox(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log, Settings settings)
    : loop_(loop), clock_(clock), log_(log), settings_(std::move(settings)) {}

Outbox::~Outbox() {
  if (timer_) loop_.cancel(*timer_);
}

Result<void> Outbox::keep(const std::string& name, std::string_view report) {
  SEGUE_TRY(os::ensure_private_directory(settings_.directory));
  make_room();
  SEGUE_TRY(os::write_file_atomically(settings_.directory + "/" + name, report));
  if (name == delivering_) is_replaced_ = true;
  delay_ = kFirstRetry;
  deliver();
  return {};
}

void Outbox::make_room() {
  const auto reports = reports_in(settings_.directory);
  for (std::size_t i = 0; i + kMaxReports <= reports.size(); ++i) {
    log_.warning("report.lost", {{"report", reports[i].name}, {"limit", kMaxReports}});
    std::error_code ignored;
    std::filesystem::remove(settings_.directory + "/" + reports[i].name, ignored);
  }
}

void Outbox::deliver() {
  if (run_ == nullptr) try_again_at(clock_.monotonic_now());
}

void Outbox::try_again_at(base::MonotonicTime at) {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  const auto timer = loop_.call_at(at, [this] {
    timer_.reset();
    deliver_now();
  });
  if (timer) timer_ = *timer;
}

void Outbox::deliver_now() {
  const auto reports = reports_in(settings_.directory);
  if (reports.empty()) return;
  delivering_ = reports.front().name;
  is_replaced_ = false;
  const std::string path = settings_.directory + "/" + delivering_;
  if (settings_.command.empty()) {
    const auto copied = [&]() -> Result<void> {
      SEGUE_ASSIGN(const std::string report, os::read_file(path, kMaxReportBytes));
      SEGUE_TRY(os::ensure_private_directory(settings_.target_directory));
      return os::write_file_atomically(settings_.target_directory + "/" + delivering_, report);
    }();
    return copied ? delivered() : failed(copied.error().to_string());
  }
  auto environment = settings_.environment;
  environment.push_back("SEGUE_REPORT=" + path);
  run_ = std::make_unique<ChildRun>(
      loop_, clock_,
      ChildRun::Settings{.argv = {"/bin/sh", "-c", settings_.command},
                         .env = std::move(environment),
                         .output = settings_.directory + "/delivery.log",
                         .limit = kCommandLimit},
      [this](const ChildRun::Result& result) {
        const auto over = std::move(run_);
        result.ended&& result.exit_code == 0 ? delivered() : failed(result.text);
      });
  run_->start();
}

void Outbox::delivered() {
  const std::string path = settings_.directory + "/" + delivering_;
  std::error_code error;
  if (!is_replaced_) std::filesystem::remove(path, error);
  if (error) return failed("it is delivered, but cannot be removed: " + error.message());
  log_.info("report.delivered", {{"report", delivering_}});
  delivering_.clear();
  delay_ = kFirstRetry;
  try_again_at(clock_.monotonic_now());
}

void Outbox::failed(const std::string& why) {
  log_.warning("report.waits", {{"report", delivering_}, {"why", why}});
  delivering_.clear();
  try_again_at(clock_.monotonic_now() + delay_);
  delay_ = std::min(delay_ * 2, kMaxRetry);
}

}  // namespace segue::agent
