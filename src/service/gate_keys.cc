// SPDX-License-Identifier: Apache-2.0
#include "service/gate_keys.h"

#include <charconv>
#include <cmath>
#include <map>
#include <utility>

#include "service/values.h"

namespace segue::service {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using config::Findings;
using config::Key;
using config::Keys;
using config::Layers;
using config::Place;
using fleet::Gate;
using fleet::GateKind;

Result<double> parse_decimal(const std::string& text) {
  double number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem == std::errc() && end == text.data() + text.size() && std::isfinite(number)) {
    return number;
  }
  return fail(ErrorCode::invalid_argument, "'{}' is no number, as 0.5 or 2e9", text.substr(0, 40));
}

Key limit_key(const char* name, fleet::GateSide side, Gate& gate, Findings& findings) {
  return {name, [side, &gate, &findings](const Layers& layers) {
            const auto limit = config::read_parsed(layers.back(), findings, parse_decimal);
            gate.bad_side = side;
            gate.limit = limit.value_or(0);
          }};
}

Key percent_key(const char* name, std::uint32_t& share_ppm, Findings& findings) {
  return {name, [&share_ppm, &findings](const Layers& layers) {
            const auto read =
                config::read_parsed(layers.back(), findings, config::parse_percent_ppm);
            if (read) share_ppm = *read;
          }};
}

Key growth_key(const char* name, std::uint32_t& ppm, Findings& findings) {
  return {name, [&ppm, &findings](const Layers& layers) {
            const auto read =
                config::read_parsed(layers.back(), findings, config::parse_growth_ppm);
            if (read) ppm = *read;
          }};
}

Key arm_key(const char* name, GateKind kind, fleet::GateArm& arm, Findings& findings) {
  return {name, [kind, &arm, &findings](const Layers& layers) {
            read_section(layers, gate_arm_keys(kind, arm, findings), findings);
          }};
}

void append(Keys& keys, Keys more) {
  keys.insert(keys.end(), std::make_move_iterator(more.begin()),
              std::make_move_iterator(more.end()));
}

// Of what sets one gate of compare or latency apart from the other.
Keys measure_keys(GateKind kind, Gate& gate, Findings& findings) {
  if (kind == GateKind::latency) {
    return {percent_key("quantile", gate.quantile_ppm, findings),
            growth_key("tolerance", gate.tolerance_ppm, findings),
            growth_key("margin", gate.margin_ppm, findings)};
  }
  return {percent_key("tolerance", gate.tolerance_ppm, findings),
          percent_key("margin", gate.margin_ppm, findings),
          percent_key("absolute_tolerance", gate.absolute_tolerance_ppm, findings),
          percent_key("absolute_margin", gate.absolute_margin_ppm, findings)};
}

Keys comparison_keys(GateKind kind, Gate& gate, Findings& findings) {
  return {value_key("prometheus", gate.prometheus, findings),
          arm_key("canary", kind, gate.canary, findings),
          arm_key("baseline", kind, gate.baseline, findings),
          percent_key("alpha", gate.alpha_ppm, findings),
          percent_key("good_alpha", gate.good_alpha_ppm, findings),
          value_key("pass", gate.pass, findings),
          value_key("minimum_clusters", gate.minimum_clusters, findings),
          value_key("minimum_requests", gate.minimum_requests, findings),
          value_key("minimum_time", gate.minimum_time, findings),
          value_key("cluster_cap", gate.cluster_cap, findings),
          value_key("warm_up", gate.warm_up, findings)};
}

Place of(const Place& map, const char* key) {
  return {map.node[key], map.where + "." + key};
}

bool has(const Place& map, const char* key) {
  return map.node.IsMap() && map.node[key].IsDefined();
}

void read_gate(const std::string& name, const Layers& layers, std::vector<Gate>& gates,
               Findings& findings) {
  std::optional<GateKind> kind;
  for (const auto& layer : layers) {
    if (!has(layer, "kind")) continue;
    GateKind its{};
    const bool was_fine = findings.empty();
    take(of(layer, "kind"), its, findings);
    if (was_fine && !findings.empty()) return;
    kind = its;
  }
  if (!kind) {
    return findings.add(layers.back(),
                        "'kind' is missing: one of handoff, health, query, compare, latency");
  }
  Gate gate = fleet::usual_gate(*kind);
  gate.name = name;
  read_section(layers, gate_keys(*kind, gate, findings), findings);
  const Place& last = layers.back();
  const bool one_limit = has(last, "above") != has(last, "below");
  if (*kind == GateKind::query && layers.size() == 1 && !one_limit) {
    findings.add(last, "which values are bad? One of 'above' and 'below'");
  }
  gates.push_back(std::move(gate));
}

}  // namespace

Keys gate_arm_keys(GateKind kind, fleet::GateArm& arm, Findings& findings) {
  if (kind == GateKind::latency) return {value_key("buckets", arm.buckets, findings)};
  return {value_key("requests", arm.requests, findings),
          value_key("failures", arm.failures, findings)};
}

Keys gate_keys(GateKind kind, Gate& gate, Findings& findings) {
  Keys keys{value_key("kind", gate.kind, findings), value_key("every", gate.every, findings)};
  switch (kind) {
    case GateKind::handoff:
      append(keys, {value_key("lost", gate.lost, findings),
                    {"blackout", [&gate, &findings](const Layers& layers) {
                       const auto read =
                           config::read_parsed(layers.back(), findings, config::parse_time_span_us);
                       if (read) gate.blackout_us = *read;
                     }}});
      break;
    case GateKind::query:
      append(keys, {value_key("prometheus", gate.prometheus, findings),
                    value_key("query", gate.query, findings),
                    limit_key("above", fleet::GateSide::above, gate, findings),
                    limit_key("below", fleet::GateSide::below, gate, findings)});
      [[fallthrough]];
    case GateKind::health:
      append(keys, {value_key("bad", gate.bad_in_row, findings),
                    value_key("good", gate.good_in_row, findings)});
      break;
    case GateKind::compare:
    case GateKind::latency:
      append(keys, comparison_keys(kind, gate, findings));
      append(keys, measure_keys(kind, gate, findings));
      break;
  }
  return keys;
}

void read_gates(const Layers& layers, std::vector<Gate>& gates, Findings& findings) {
  std::vector<std::string> order;
  std::map<std::string, Layers> by_name;
  for (const auto& layer : layers) {
    config::each_entry({layer}, findings, [&](const std::string& name, const Place& at) {
      if (!by_name.contains(name)) order.push_back(name);
      by_name[name].push_back(at);
    });
  }
  gates.clear();
  for (const auto& name : order) read_gate(name, by_name[name], gates, findings);
}

}  // namespace segue::service
