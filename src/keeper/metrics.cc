// SPDX-License-Identifier: Apache-2.0
#include "keeper/metrics.h"

#include <fmt/format.h>

#include "keeper/outcome_text.h"

namespace segue::keeper {
namespace {

void describe(std::string& out, std::string_view name, std::string_view type,
              std::string_view help) {
  out +=
      fmt::format("# HELP segue_keeper_{0} {2}\n# TYPE segue_keeper_{0} {1}\n", name, type, help);
}

// A component's name needs no escapes: control::check_name.
template <class Number>
void write_sample(std::string& out, std::string_view name, std::string_view component,
                  std::string_view more_labels, Number value) {
  out += fmt::format("segue_keeper_{}{{component=\"{}\"{}{}}} {}\n", name, component,
                     more_labels.empty() ? "" : ",", more_labels, value);
}

template <class Number>
void single(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            std::string_view component, Number value) {
  describe(out, name, type, help);
  write_sample(out, name, component, "", value);
}

}  // namespace

void Metrics::observe(Histogram& histogram, std::uint64_t ns) {
  const double seconds = static_cast<double>(ns) / 1e9;
  ++histogram.count;
  histogram.sum += seconds;
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    if (seconds > kBounds[i]) continue;
    ++histogram.at_most[i];
    return;
  }
}

void Metrics::write(std::string& out, std::string_view name, std::string_view component,
                    const Histogram& histogram) {
  std::uint64_t cumulated = 0;
  const std::string bucket = fmt::format("{}_bucket", name);
  for (std::size_t i = 0; i < kBounds.size(); ++i) {
    cumulated += histogram.at_most[i];
    write_sample(out, bucket, component, fmt::format("le=\"{}\"", kBounds[i]), cumulated);
  }
  write_sample(out, bucket, component, "le=\"+Inf\"", histogram.count);
  write_sample(out, fmt::format("{}_sum", name), component, "", histogram.sum);
  write_sample(out, fmt::format("{}_count", name), component, "", histogram.count);
}

void Metrics::count_attempt(const Attempt& attempt) {
  ++attempts_[static_cast<std::size_t>(attempt.kind)][static_cast<std::size_t>(attempt.outcome)];
  if (attempt.frozen_max_ns > 0) observe(frozen_, attempt.frozen_max_ns);
  if (!attempt.activated) return;
  observe(blackout_, attempt.blackout_ns);
  connections_moved_ += attempt.to_progress.connections;
  connections_lost_ += connections_lost(attempt);
}

void Metrics::count_step(std::string_view name) {
  if (name == "restart.wait") ++restarts_;
}

std::string Metrics::text(const Gauges& gauges) const {
  std::string out;
  const std::string& component = gauges.component;
  describe(out, "phase", "gauge",
           "What the component is doing: 1 for one phase, 0 for all others.");
  for (int phase = 0; phase < kPhaseCount; ++phase) {
    write_sample(out, "phase", component,
                 fmt::format("phase=\"{}\"", to_string(static_cast<Phase>(phase))),
                 gauges.phase == static_cast<Phase>(phase) ? 1 : 0);
  }
  single(out, "generation", "gauge", "The instance that serves; 0 is none.", component,
         gauges.generation);
  single(out, "epoch", "gauge", "How often the ownership has changed.", component, gauges.epoch);
  describe(out, "upgrades_total", "counter", "Upgrades, rehearsals and undos that have ended.");
  for (int kind = 0; kind < kKindCount; ++kind) {
    for (int outcome = 1; outcome < kOutcomeCount; ++outcome) {  // 0 has not ended
      write_sample(out, "upgrades_total", component,
                   fmt::format("kind=\"{}\",outcome=\"{}\"", to_string(static_cast<Kind>(kind)),
                               to_string(static_cast<Outcome>(outcome))),
                   attempts_[static_cast<std::size_t>(kind)][static_cast<std::size_t>(outcome)]);
    }
  }
  describe(out, "blackout_seconds", "histogram",
           "From the freeze to the activation of the successor.");
  write(out, "blackout_seconds", component, blackout_);
  describe(out, "frozen_seconds", "histogram",
           "The longest freeze of an attempt, also of one that failed.");
  write(out, "frozen_seconds", component, frozen_);
  single(out, "connections", "gauge", "Connections of the instance that serves.", component,
         gauges.connections);
  single(out, "connections_moved_total", "counter", "Connections that successors took over.",
         component, connections_moved_);
  single(out, "connections_lost_total", "counter",
         "Connections that a predecessor had and its successor had not.", component,
         connections_lost_);
  single(out, "restarts_total", "counter", "Starts of the program after a crash.", component,
         restarts_);
  single(out, "hung", "gauge", "1 while the instance that serves does not answer the keeper.",
         component, gauges.hung ? 1 : 0);
  single(out, "listeners", "gauge", "Listening sockets that the keeper holds.", component,
         gauges.listeners);
  single(out, "log_lines_lost_total", "counter", "Lines of the logs that could not be written.",
         component, gauges.log_lines_lost);
  single(out, "steps_total", "counter", "Events in the step log.", component, gauges.steps);
  single(out, "replacements_total", "counter", "How often the keeper became another program.",
         component, gauges.replaced);
  single(out, "uptime_seconds", "gauge", "How long the component has had a keeper.", component,
         gauges.uptime_seconds);
  describe(out, "instance_resident_bytes", "gauge", "Memory of each instance (RSS).");
  for (const auto& process : gauges.instances) {
    write_sample(
        out, "instance_resident_bytes", component,
        fmt::format("generation=\"{}\",role=\"{}\"", process.generation, to_string(process.role)),
        process.resident_bytes);
  }
  return out;
}

}  // namespace segue::keeper
