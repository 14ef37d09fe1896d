// SPDX-License-Identifier: Apache-2.0
#include "service/gate_text.h"

#include <fmt/format.h>

#include "config/quantities.h"

namespace segue::service {
namespace {

using fleet::Gate;
using fleet::GateKind;

class Writer {
 public:
  Writer(YamlText& yaml, const Gate& gate)
      : yaml_(yaml), gate_(gate), usual_(fleet::usual_gate(gate.kind)) {}

  void write() {
    yaml_.begin(yaml_scalar(gate_.name));
    yaml_.line("kind", to_string(gate_.kind));
    time("every", &Gate::every);
    yaml_.text("prometheus", gate_.prometheus);
    switch (gate_.kind) {
      case GateKind::handoff:
        number("lost", &Gate::lost);
        if (gate_.blackout_us != 0) {
          yaml_.line("blackout", config::time_span_text(gate_.blackout_us));
        }
        break;
      case GateKind::query:
        yaml_.text("query", gate_.query);
        yaml_.line(to_string(gate_.bad_side), fmt::format("{}", gate_.limit));
        [[fallthrough]];
      case GateKind::health:
        number("bad", &Gate::bad_in_row);
        number("good", &Gate::good_in_row);
        break;
      case GateKind::compare:
      case GateKind::latency:
        compare();
        break;
    }
    yaml_.end();
  }

 private:
  void compare() {
    arm("canary", gate_.canary);
    arm("baseline", gate_.baseline);
    const bool is_latency = gate_.kind == GateKind::latency;
    if (is_latency) share("quantile", &Gate::quantile_ppm);
    share("tolerance", &Gate::tolerance_ppm);
    share("margin", &Gate::margin_ppm);
    if (!is_latency) share("absolute_tolerance", &Gate::absolute_tolerance_ppm);
    if (!is_latency) share("absolute_margin", &Gate::absolute_margin_ppm);
    share("alpha", &Gate::alpha_ppm);
    share("good_alpha", &Gate::good_alpha_ppm);
    if (shows(&Gate::pass)) yaml_.line("pass", to_string(gate_.pass));
    number("minimum_clusters", &Gate::minimum_clusters);
    number("minimum_requests", &Gate::minimum_requests);
    time("minimum_time", &Gate::minimum_time);
    number("cluster_cap", &Gate::cluster_cap);
    time("warm_up", &Gate::warm_up);
  }

  template <class Value>
  [[nodiscard]] bool shows(Value Gate::* member) const {
    return yaml_.shows(gate_.*member == usual_.*member);
  }
  template <class Value>
  void number(const char* key, Value Gate::* member) {
    if (shows(member)) yaml_.line(key, fmt::to_string(gate_.*member));
  }
  void share(const char* key, std::uint32_t Gate::* member) {
    if (shows(member)) yaml_.line(key, config::percent_text(gate_.*member));
  }
  void time(const char* key, std::chrono::milliseconds Gate::* member) {
    if (!shows(member)) return;
    const auto time_us = static_cast<std::uint64_t>((gate_.*member).count()) * 1'000;
    yaml_.line(key, config::time_span_text(time_us));
  }
  void arm(const char* key, const fleet::GateArm& its) {
    yaml_.begin(key);
    yaml_.text("requests", its.requests);
    yaml_.text("failures", its.failures);
    yaml_.text("buckets", its.buckets);
    yaml_.end();
  }

  YamlText& yaml_;
  const Gate& gate_;
  const Gate usual_;
};

}  // namespace

void write_gates(YamlText& yaml, const std::vector<Gate>& gates) {
  if (gates.empty()) return;
  yaml.begin("gates");
  for (const auto& gate : gates) Writer(yaml, gate).write();
  yaml.end();
}

}  // namespace segue::service
