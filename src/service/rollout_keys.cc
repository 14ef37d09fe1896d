// SPDX-License-Identifier: Apache-2.0
#include "service/rollout_keys.h"

#include <fmt/format.h>

#include <charconv>
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
using fleet::Amount;
using fleet::CanaryStep;
using fleet::Selection;
using fleet::StepLimits;
using fleet::Strategy;
using fleet::Wave;

constexpr std::uint32_t kPpmOfPercent = 10'000;

// "3", or "10%" of the hosts.
Result<Amount> parse_amount(const std::string& text) {
  if (text.ends_with('%')) {
    SEGUE_ASSIGN(const std::uint32_t ppm, config::parse_percent_ppm(text));
    if (ppm % kPpmOfPercent == 0) return fleet::percent(ppm / kPpmOfPercent);
  } else {
    std::uint32_t count = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (problem == std::errc() && end == text.data() + text.size()) return fleet::hosts(count);
  }
  return fail(ErrorCode::invalid_argument,
              "'{}' is neither a number of hosts nor a whole percentage of them, as 2 or 10%",
              text.substr(0, 40));
}

void take_amount(const Place& place, Amount& amount, Findings& findings) {
  if (const auto read = config::read_parsed(place, findings, parse_amount)) amount = *read;
}

void take_hosts(const Place& place, Wave& wave, Findings& findings) {
  const auto amount = config::read_parsed(place, findings, [](const std::string& text) {
    return text == "rest" ? Result<Amount>(Amount{}) : parse_amount(text);
  });
  if (!amount) return;
  wave.amount = amount->value;
  wave.selection = amount->is_percent ? Selection::percent : Selection::count;
  if (place.node.Scalar() == "rest") wave.selection = Selection::rest;
}

void append(Keys& keys, Keys more) {
  keys.insert(keys.end(), std::make_move_iterator(more.begin()),
              std::make_move_iterator(more.end()));
}

Keys limit_keys(StepLimits& limits, const char* approvals, Findings& findings) {
  const auto amount = [&findings](const char* name, Amount& its) {
    return Key{name, [&its, &findings](const Layers& layers) {
                 take_amount(layers.back(), its, findings);
               }};
  };
  return {amount("max_unavailable", limits.max_unavailable),
          amount("max_failures", limits.max_failures),
          amount("max_silent", limits.max_silent),
          value_key("bake", limits.bake, findings),
          value_key(approvals, limits.approvals, findings),
          value_key("gates", limits.gates, findings)};
}

void read_wave(const Place& place, const StepLimits& usual, std::vector<Wave>& waves,
               Findings& findings) {
  Wave wave;
  if (place.node.IsScalar()) {
    if (place.node.Scalar() == "each-site") {
      wave.selection = Selection::each_site;
    } else {
      take_hosts(place, wave, findings);
    }
    waves.push_back(std::move(wave));
    return;
  }
  StepLimits limits = usual;
  read_section({place}, wave_keys(wave, limits, findings), findings);
  if (!(limits == usual)) wave.limits = std::move(limits);
  std::size_t selections = 0;
  for (const auto& entry : place.node) {
    const std::string key = entry.first.IsScalar() ? entry.first.Scalar() : "";
    if (key == "hosts" || key == "site" || key == "label" || key == "each_site" ||
        key == "each_label") {
      ++selections;
    }
  }
  if (selections != 1 && place.node.IsMap()) {
    findings.add(place,
                 "which hosts? One of 'hosts', 'site', 'label', 'each_site' and 'each_label'");
  }
  waves.push_back(std::move(wave));
}

void read_step(const Place& place, const StepLimits& usual, std::vector<CanaryStep>& steps,
               Findings& findings) {
  CanaryStep step{.share_ppm = 0, .limits = usual};
  if (place.node.IsScalar()) {
    const auto share = config::read_parsed(place, findings, config::parse_percent_ppm);
    step.share_ppm = share.value_or(0);
  } else {
    read_section({place}, canary_step_keys(step, findings), findings);
    if (place.node.IsMap() && !place.node["share"]) findings.add(place, "'share' is missing");
  }
  steps.push_back(std::move(step));
}

}  // namespace

Keys wave_keys(Wave& wave, StepLimits& limits, Findings& findings) {
  const auto word = [&wave, &findings](const char* name, Selection selection) {
    return Key{name, [&wave, &findings, selection](const Layers& layers) {
                 wave.selection = selection;
                 take(layers.back(), wave.word, findings);
               }};
  };
  Keys keys{{"hosts", [&wave, &findings](
                          const Layers& layers) { take_hosts(layers.back(), wave, findings); }},
            word("site", Selection::site),
            word("label", Selection::label),
            {"each_site",
             [&wave, &findings](const Layers& layers) {
               wave.selection = Selection::each_site;
               if (config::read_truth(layers.back(), findings) == false) {
                 findings.add(layers.back(), "'false' says nothing: leave it out");
               }
             }},
            word("each_label", Selection::each_label),
            value_key("repeat", wave.repeated, findings),
            value_key("name", wave.name, findings)};
  append(keys, limit_keys(limits, "approvals", findings));
  return keys;
}

Keys canary_step_keys(CanaryStep& step, Findings& findings) {
  Keys keys{{"share", [&step, &findings](const Layers& layers) {
               const auto share =
                   config::read_parsed(layers.back(), findings, config::parse_percent_ppm);
               step.share_ppm = share.value_or(0);
             }}};
  append(keys, limit_keys(step.limits, "approvals", findings));
  return keys;
}

Keys canary_keys(Strategy& strategy, Findings& findings) {
  auto& canary = strategy.canary;
  return {value_key("split", canary.split, findings),
          {"on", [&canary, &findings](
                     const Layers& layers) { take_amount(layers.back(), canary.on, findings); }},
          {"steps",
           [&strategy, &findings](const Layers& layers) {
             std::vector<CanaryStep> steps;
             config::each_member(layers.back(), findings, [&](const Place& member) {
               read_step(member, strategy.limits, steps, findings);
             });
             strategy.canary.steps = std::move(steps);
           }},
          value_key("salt", canary.salt, findings),
          value_key("ends_when_idle", canary.ends_when_idle, findings),
          value_key("baseline", canary.baseline, findings)};
}

Keys rollout_keys(Strategy& strategy, Findings& findings) {
  Keys keys{{"strategy", [&strategy, &findings](const Layers& layers) {
               take(layers.back(), strategy.kind, findings);
               strategy = fleet::careful(strategy.kind);
             }}};
  append(keys, limit_keys(strategy.limits, "step_approvals", findings));
  append(keys, {{"waves",
                 [&strategy, &findings](const Layers& layers) {
                   std::vector<Wave> waves;
                   config::each_member(layers.back(), findings, [&](const Place& member) {
                     read_wave(member, strategy.limits, waves, findings);
                   });
                   strategy.waves = std::move(waves);
                 }},
                {"canary",
                 [&strategy, &findings](const Layers& layers) {
                   read_section(layers, canary_keys(strategy, findings), findings);
                 }},
                value_key("undo_window", strategy.undo_window, findings),
                value_key("approvals", strategy.approvals, findings),
                value_key("late_watch", strategy.late_watch, findings),
                value_key("late_gates", strategy.late_gates, findings),
                value_key("on_bad", strategy.on_bad, findings),
                value_key("meanwhile", strategy.meanwhile, findings),
                value_key("retries", strategy.retries, findings),
                value_key("first_retry", strategy.first_retry, findings),
                value_key("order_limit", strategy.order_limit, findings),
                value_key("gate_limit", strategy.gate_limit, findings)});
  return keys;
}

void read_rollout(const Layers& layers, Strategy& strategy, Findings& findings) {
  read_section(layers, rollout_keys(strategy, findings), findings);
}

std::string rollout_place_of(const std::string& field, const Strategy& strategy) {
  constexpr std::string_view kLimits = "limits.";
  for (std::size_t i = 0; i < strategy.waves.size(); ++i) {
    if (field != fmt::format("waves[{}].word", i)) continue;
    const bool each = strategy.waves[i].selection == Selection::each_label;
    return fmt::format("waves[{}].{}", i,
                       each ? "each_label" : to_string(strategy.waves[i].selection));
  }
  if (field == "limits.approvals") return "step_approvals";
  if (field.starts_with(kLimits)) return field.substr(kLimits.size());
  return field;
}

}  // namespace segue::service
