// SPDX-License-Identifier: Apache-2.0
#include "server/fleet_metrics.h"

#include <fmt/format.h>

namespace segue::server {
namespace {

void describe(std::string& out, std::string_view name, std::string_view type,
              std::string_view help) {
  out +=
      fmt::format("# HELP segue_server_{0} {2}\n# TYPE segue_server_{0} {1}\n", name, type, help);
}

// Labels need no escapes: names are control::check_name's, routes and words are this program's own.
template <class Number>
void sample(std::string& out, std::string_view name, std::string_view labels, Number value) {
  out += labels.empty() ? fmt::format("segue_server_{} {}\n", name, value)
                        : fmt::format("segue_server_{}{{{}}} {}\n", name, labels, value);
}

void single(std::string& out, std::string_view name, std::string_view type, std::string_view help,
            std::uint64_t value) {
  describe(out, name, type, help);
  sample(out, name, "", value);
}

void by_word(std::string& out, std::string_view name, std::string_view label, std::string_view help,
             const std::map<std::string, std::uint64_t>& counts) {
  describe(out, name, "gauge", help);
  for (const auto& [word, count] : counts) {
    sample(out, name, fmt::format("{}=\"{}\"", label, word), count);
  }
}

void write(std::string& out, const Latency& latency) {
  constexpr std::string_view kName = "store_seconds";
  describe(out, kName, "histogram", "How long changes took until they were stored.");
  std::uint64_t cumulated = 0;
  for (std::size_t i = 0; i < Latency::kBoundsS.size(); ++i) {
    cumulated += latency.within.at(i);
    sample(out, "store_seconds_bucket", fmt::format("le=\"{}\"", Latency::kBoundsS.at(i)),
           cumulated);
  }
  sample(out, "store_seconds_bucket", "le=\"+Inf\"", latency.count);
  sample(out, "store_seconds_sum", "", latency.sum_s);
  sample(out, "store_seconds_count", "", latency.count);
}

}  // namespace

std::string write_metrics(const FleetFigures& figures) {
  std::string out;
  by_word(out, "rollouts", "phase", "Rollouts by phase.", figures.rollouts);
  by_word(out, "hosts", "state", "Hosts of the fleet: heard or silent.", figures.hosts);
  single(out, "hosts_drained", "gauge", "Hosts that nothing more is rolled out to.",
         figures.hosts_drained);
  single(out, "agents_attached", "gauge", "Agents with a line to this server.",
         figures.agents_attached);
  describe(out, "instances", "gauge", "Instances, by the health that their agents saw last.");
  for (const auto& [key, count] : figures.instances) {
    const auto& [component, slot, health] = key;
    sample(out, "instances",
           fmt::format("component=\"{}\",slot=\"{}\",health=\"{}\"", component, slot, health),
           count);
  }
  by_word(out, "connections", "component", "Connections that instances hold, as seen last.",
          figures.connections);
  single(out, "stopped", "gauge", "1 during an emergency stop.", figures.is_stopped ? 1 : 0);
  single(out, "store_trouble", "gauge", "1 while the store takes nothing.",
         figures.has_trouble ? 1 : 0);
  write(out, figures.store);
  single(out, "store_waiting", "gauge", "Changes that are not stored yet.", figures.store_waiting);
  single(out, "audit_entries", "gauge", "Entries of the audit log.", figures.audit_entries);
  describe(out, "requests_total", "counter", "HTTP requests answered, by route and status.");
  for (const auto& [key, count] : figures.requests) {
    sample(out, "requests_total", fmt::format("route=\"{}\",status=\"{}\"", key.first, key.second),
           count);
  }
  describe(out, "webhook_posts_total", "counter", "Notifications to webhooks, by what came of it.");
  sample(out, "webhook_posts_total", "outcome=\"taken\"", figures.webhooks.taken);
  sample(out, "webhook_posts_total", "outcome=\"refused\"", figures.webhooks.refused);
  sample(out, "webhook_posts_total", "outcome=\"missed\"", figures.webhooks.missed);
  single(out, "webhook_notifications_waiting", "gauge", "Notifications that are not taken by all.",
         figures.webhooks_waiting);
  return out;
}

}  // namespace segue::server
