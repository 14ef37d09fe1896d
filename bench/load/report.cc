// SPDX-License-Identifier: Apache-2.0
#include "load/report.h"

#include <sys/resource.h>

#include <array>
#include <utility>

#include "base/json_writer.h"

namespace segue::load {
namespace {

double to_ms(base::Duration duration) {
  return static_cast<double>(duration.count()) / 1e6;
}
double to_s(base::Duration duration) {
  return static_cast<double>(duration.count()) / 1e9;
}

double cpu_s() {
  rusage usage{};
  if (::getrusage(RUSAGE_SELF, &usage) != 0) return 0;
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

void write_latency(base::JsonWriter& json, std::string_view name, const Histogram& histogram) {
  json.key(name).begin_object();
  json.field("count", histogram.count());
  json.field("median", to_ms(histogram.quantile(0.50)));
  json.field("p90", to_ms(histogram.quantile(0.90)));
  json.field("p99", to_ms(histogram.quantile(0.99)));
  json.field("p999", to_ms(histogram.quantile(0.999)));
  json.field("max", to_ms(histogram.max()));
  json.end();
}

void write_counters(base::JsonWriter& json, const Counters& counters) {
  const std::array<std::pair<std::string_view, std::uint64_t>, 16> fields = {{
      {"requests", counters.requests},
      {"answers", counters.answers},
      {"lost", counters.lost},
      {"lost_by_reset", counters.lost_by_reset},
      {"lost_again", counters.lost_again},
      {"cut", counters.cut},
      {"reconnect_failed", counters.reconnect_failed},
      {"new_attempted", counters.new_attempted},
      {"new_failed", counters.new_failed},
      {"wrong", counters.wrong},
      {"overruns", counters.overruns},
      {"unanswered", counters.unanswered},
      {"writes_acknowledged", counters.writes_acknowledged},
      {"keys_checked", counters.keys_checked},
      {"writes_lost", counters.writes_lost},
      {"writes_wrong", counters.writes_wrong},
  }};
  for (const auto& [name, value] : fields) json.field(name, value);
}

void write_probe(base::JsonWriter& json, const Probe& probe, std::uint32_t connections) {
  json.key("on_new_share");
  if (probe.number == 0) {
    json.null();
    return;
  }
  json.value(static_cast<double>(probe.on_new) / connections);
  json.field("probe_answered", probe.answered);
}

}  // namespace

std::string report(const Options& options, const Results& results,
                   const WakeupControl::Result& wakeup, base::MonotonicTime started,
                   base::Duration run_time, std::string_view verification_error) {
  base::JsonWriter json;
  json.begin_object().field("event", "result");
  json.field("protocol", to_string(options.protocol)).field("connections", options.connections);
  write_counters(json, results.counters);
  write_probe(json, results.probe, options.connections);
  write_latency(json, "stall_ms", results.held);
  write_latency(json, "new_ms", results.fresh);
  write_latency(json, "wakeup_ms", wakeup.pipe);
  write_latency(json, "timer_ms", wakeup.timer);
  json.key("intervals").begin_object();
  for (const Results::Interval& interval : results.intervals()) {
    write_latency(json, interval.name, interval.latency);
  }
  json.end();
  json.field("stall_max_at_s", to_s(results.worst_at - started));
  json.field("run_s", to_s(run_time)).field("cpu_s", cpu_s());
  json.field("first_wrong", results.first_wrong).field("verification_error", verification_error);
  json.end();
  return std::move(json).take();
}

}  // namespace segue::load
