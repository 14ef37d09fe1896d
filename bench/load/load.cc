// SPDX-License-Identifier: Apache-2.0
#include "load/load.h"

#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "base/json_writer.h"
#include "load/command_lines.h"
#include "load/report.h"
#include "load/traffic.h"
#include "load/verify.h"
#include "load/wakeup.h"
#include "os/clock.h"

namespace segue::load {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::uint64_t kStdinTag = ~std::uint64_t{0};
constexpr base::Duration kEstablishDeadline = seconds(60);
constexpr base::Duration kDrainDeadline = seconds(5);
constexpr base::Duration kExpiryInterval = milliseconds(250);
// Between the last connection and the first request, so that the accepts are over.
constexpr base::Duration kLeadTime = milliseconds(100);

void print_line(const std::string& line) {
  (void)std::puts(line.c_str());
  (void)std::fflush(stdout);
}

class Run {
 public:
  Run(const Options& options, const Route& route, os::UniqueFd epoll, WakeupControl& wakeup)
      : options_(options),
        route_(route),
        epoll_(std::move(epoll)),
        wakeup_(wakeup),
        traffic_(options_, route_, clock_, epoll_.get(), results_) {}

  base::Result<void> run() {
    SEGUE_TRY(establish());
    wakeup_.restart();
    print_line(R"({"event":"running"})");
    watch_stdin();
    started_ = clock_.monotonic_now() + kLeadTime;
    traffic_.start(started_);
    SEGUE_TRY(serve());
    const base::MonotonicTime stopped = clock_.monotonic_now();
    traffic_.stop();
    wakeup_.stop();
    SEGUE_TRY(drain());
    std::string verification;
    if (options_.protocol == Protocol::resp) {
      const auto verified = verify_writes(route_, traffic_.model(), results_.counters);
      if (!verified) verification = verified.error().to_string();
    }
    traffic_.close_all();
    print_line(
        report(options_, results_, wakeup_.result(), started_, stopped - started_, verification));
    return {};
  }

 private:
  base::Result<void> establish() {
    const base::MonotonicTime deadline = clock_.monotonic_now() + kEstablishDeadline;
    while (!traffic_.is_established()) {
      SEGUE_TRY(traffic_.establish());
      SEGUE_TRY(wait_and_handle(milliseconds(100)));
      if (clock_.monotonic_now() > deadline) {
        return base::fail(base::ErrorCode::deadline_exceeded,
                          "{} connections are not open after a minute", options_.connections);
      }
    }
    return {};
  }

  // Files and terminals in the background cannot be polled: then there are no commands.
  void watch_stdin() {
    epoll_event event{.events = EPOLLIN, .data = {.u64 = kStdinTag}};
    (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, STDIN_FILENO, &event);
  }

  base::Result<void> serve() {
    const base::Duration run_time =
        options_.run_time.count() > 0 ? options_.run_time : base::Duration(seconds(kMaxSeconds));
    const base::MonotonicTime end = started_ + run_time;
    base::MonotonicTime next_expiry = started_;
    for (base::MonotonicTime now = clock_.monotonic_now(); !stopped_ && now < end;
         now = clock_.monotonic_now()) {
      traffic_.send_due(now);
      if (now >= next_expiry) {
        traffic_.expire(now);
        next_expiry = now + kExpiryInterval;
      }
      const base::MonotonicTime wake = std::min({end, next_expiry, traffic_.next_due()});
      SEGUE_TRY(wait_and_handle(wake - clock_.monotonic_now()));
      announce_probe();
    }
    return {};
  }

  base::Result<void> drain() {
    const base::MonotonicTime deadline = clock_.monotonic_now() + kDrainDeadline;
    while (traffic_.outstanding() > 0 && clock_.monotonic_now() < deadline) {
      SEGUE_TRY(wait_and_handle(milliseconds(20)));
    }
    return {};
  }

  base::Result<void> wait_and_handle(base::Duration longest) {
    const auto wait_ns = std::max<std::int64_t>(longest.count(), 0);
    const timespec timeout{.tv_sec = wait_ns / 1'000'000'000, .tv_nsec = wait_ns % 1'000'000'000};
    const int count = ::epoll_pwait2(epoll_.get(), events_.data(), static_cast<int>(events_.size()),
                                     &timeout, nullptr);
    if (count < 0 && errno != EINTR) return fail(base::errno_error("wait for events", errno));
    for (int i = 0; i < count; ++i) {
      const epoll_event& event = events_[static_cast<std::size_t>(i)];
      if (event.data.u64 == kStdinTag) {
        SEGUE_TRY(read_commands());
      } else {
        traffic_.handle(event.data.u64, event.events);
      }
    }
    return {};
  }

  base::Result<void> read_commands() {
    std::array<char, 1'024> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init)
    const ssize_t size = ::read(STDIN_FILENO, buffer.data(), buffer.size());
    if (size < 0 && errno == EINTR) return {};
    if (size <= 0) {
      stopped_ = true;
      return {};
    }
    lines_.add({buffer.data(), static_cast<std::size_t>(size)});
    while (auto words = lines_.next()) SEGUE_TRY(obey(*words));
    return {};
  }

  base::Result<void> obey(const std::vector<std::string>& words) {
    if (words.size() == 1 && words[0] == "stop") {
      stopped_ = true;
      return {};
    }
    if (words.size() == 1 && words[0] == "restart-wakeup") {
      wakeup_.restart();
      return {};
    }
    if (words.size() == 2 && words[0] == "mark") return results_.begin_interval(words[1]);
    if (words.size() == 3 && words[0] == "probe") {
      probe_announced_ = false;
      return traffic_.begin_probe(words[1], words[2]);
    }
    return base::fail(base::ErrorCode::invalid_argument, "no such command: '{}'",
                      words.empty() ? "" : words[0]);
  }

  void announce_probe() {
    if (probe_announced_ || !traffic_.probe_is_complete()) return;
    probe_announced_ = true;
    base::JsonWriter json;
    json.begin_object().field("event", "probed").field("on_new", results_.probe.on_new);
    json.field("answered", results_.probe.answered).end();
    print_line(std::move(json).take());
  }

  const Options& options_;
  const Route& route_;
  const os::SystemClock clock_;
  os::UniqueFd epoll_;
  WakeupControl& wakeup_;
  Results results_;
  Traffic traffic_;
  CommandLines lines_;
  std::array<epoll_event, 512> events_{};
  base::MonotonicTime started_{};
  bool stopped_ = false;
  bool probe_announced_ = true;
};

base::Result<void> raise_descriptor_limit(std::uint32_t connections) {
  constexpr rlim_t kOthers = 64;
  rlimit limit{};
  (void)::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_max < connections + kOthers) {
    return base::fail(base::ErrorCode::resource_exhausted,
                      "{} connections need a descriptor limit of {}, and the hard limit is {}",
                      connections, connections + kOthers, limit.rlim_max);
  }
  return {};
}

}  // namespace

base::Result<void> run(const Options& options) {
  WakeupControl wakeup;
  if (options.measure_wakeup) SEGUE_TRY(wakeup.start());
  SEGUE_TRY(raise_descriptor_limit(options.connections));
  SEGUE_ASSIGN(const Route route, Route::to(options.host, options.port, options.connections));
  os::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  if (!epoll) return fail(base::errno_error("make an epoll instance", errno));
  Run run(options, route, std::move(epoll), wakeup);
  return run.run();
}

}  // namespace segue::load
