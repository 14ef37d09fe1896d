// SPDX-License-Identifier: Apache-2.0
#include "rollout/planning.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace segue::rollout {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::Selection;
using fleet::Split;
using fleet::StepLimits;
using fleet::StrategyKind;
using fleet::Wave;

using Hosts = std::vector<const HostFacts*>;

std::string label_of(const HostFacts& host, const std::string& key) {
  const auto found = host.labels.find(key);
  return found == host.labels.end() ? std::string() : found->second;
}

bool has_label(const HostFacts& host, const std::string& word) {
  const std::size_t equals = word.find('=');
  const auto found = host.labels.find(word.substr(0, equals));
  if (found == host.labels.end()) return false;
  return equals == std::string::npos || found->second == word.substr(equals + 1);
}

// By a wave that names its hosts; the others take what there is.
bool is_meant(const Wave& wave, const HostFacts& host) {
  switch (wave.selection) {
    case Selection::site:
      return host.site == wave.word;
    case Selection::label:
    case Selection::each_label:
      return has_label(host, wave.word);
    default:
      return true;
  }
}

class Planner {
 public:
  Planner(const Rollout& rollout, const std::vector<HostFacts>& hosts)
      : strategy_(rollout.strategy) {
    left_.reserve(hosts.size());
    for (const auto& host : hosts) left_.push_back(&host);
    std::sort(left_.begin(), left_.end(),
              [](const auto* a, const auto* b) { return a->host < b->host; });
    left_.erase(std::unique(left_.begin(), left_.end(),
                            [](const auto* a, const auto* b) { return a->host == b->host; }),
                left_.end());
    all_ = left_.size();
  }

  Result<Plan> plan() && {
    if (all_ == 0) {
      return fail(ErrorCode::invalid_argument,
                  "no host belongs to the component: nothing can be rolled out; see its `hosts`");
    }
    const StrategyKind kind = strategy_.kind;
    const bool has_slots = kind == StrategyKind::blue_green ||
                           (kind == StrategyKind::canary && strategy_.canary.split != Split::hosts);
    if (kind == StrategyKind::blue_green) add_green();
    if (kind == StrategyKind::canary) add_canary();
    add_waves();
    if (has_slots) add_step({"settle", StepKind::settle, 0, no_limits()});
    if (plan_.steps.size() > Rollout::kMaxSteps) {
      return fail(ErrorCode::invalid_argument,
                  "the strategy comes to {} steps on {} hosts, at most {}: make the waves larger",
                  plan_.steps.size(), all_, Rollout::kMaxSteps);
    }
    return std::move(plan_);
  }

 private:
  static StepLimits no_limits() {
    StepLimits limits;
    limits.bake = fleet::milliseconds(0);
    return limits;
  }

  std::uint32_t add_step(Step step) {
    if (plan_.steps.empty()) {
      step.limits.approvals = std::max(step.limits.approvals, strategy_.approvals);
    }
    plan_.steps.push_back(std::move(step));
    return static_cast<std::uint32_t>(plan_.steps.size() - 1);
  }

  void add_record(const HostFacts& host, fleet::Slot slot, std::uint32_t step) {
    const bool is_stable = slot == fleet::Slot::stable;
    plan_.records.push_back(
        {.host = host.host,
         .slot = slot,
         .step = step,
         .to = host.to,
         .back = host.back,
         .assignment = is_stable ? host.stable : host.canary.value_or(fleet::Assignment{}),
         .drained = host.drained,
         .renews = is_stable && renews(host)});
  }

  // What a superseded rollout left there is no baseline.
  [[nodiscard]] bool renews(const HostFacts& host) const {
    return strategy_.kind == StrategyKind::canary &&
           strategy_.canary.baseline == fleet::Baseline::renewed &&
           with_canary_.contains(host.host) && host.back != fleet::kNoRevision &&
           host.stable.revision == host.back && host.back != host.to;
  }

  void add_canary_slots(std::uint32_t step) {
    const std::size_t count = strategy_.canary.on.as_choice(all_);
    std::size_t taken = 0;
    for (const auto* host : left_) {
      if (taken == count) return;
      if (host->to == fleet::kNoRevision) continue;
      add_record(*host, fleet::Slot::canary, step);
      with_canary_.insert(host->host);
      ++taken;
    }
  }

  void add_green() {
    StepLimits limits = strategy_.limits;
    add_canary_slots(add_step({"green", StepKind::canary, 0, limits}));
    limits.bake = strategy_.undo_window;
    add_step({"switch", StepKind::canary, fleet::kWholeShare, std::move(limits)});
  }

  void add_canary() {
    const auto& canary = strategy_.canary;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < canary.steps.size(); ++i) {
      const auto& step = canary.steps[i];
      const std::string name = fmt::format("canary {}%", step.share_ppm / 10'000.0);
      if (canary.split != Split::hosts) {
        const auto index = add_step({name, StepKind::canary, step.share_ppm, step.limits});
        if (i == 0) add_canary_slots(index);
        continue;
      }
      const std::size_t until =
          (all_ * step.share_ppm + fleet::kWholeShare - 1) / fleet::kWholeShare;
      add_wave(name, step.limits, take_next(until - std::min(taken, until)));
      taken = std::max(taken, until);
    }
  }

  void add_waves() {
    if (strategy_.kind == StrategyKind::all_at_once) {
      add_wave("all", strategy_.limits, std::exchange(left_, {}));
      return;
    }
    if (strategy_.waves.empty() && strategy_.kind == StrategyKind::rolling) {
      add_selection({.selection = Selection::count, .amount = 1});
      add_selection({.selection = Selection::percent, .amount = 10});
    }
    for (const auto& wave : strategy_.waves) add_selection(wave);
    if (!left_.empty()) add_wave("rest", strategy_.limits, std::exchange(left_, {}));
  }

  void add_selection(const Wave& wave) {
    const StepLimits& limits = wave.limits ? *wave.limits : strategy_.limits;
    const auto named = [&](const std::string& made) {
      return wave.name.empty() ? made : wave.name;
    };
    switch (wave.selection) {
      case Selection::count:
      case Selection::percent: {
        const fleet::Amount amount{wave.amount, wave.selection == Selection::percent};
        const std::size_t size = std::max<std::size_t>(1, amount.as_choice(all_));
        const std::string name =
            named(amount.is_percent ? fmt::format("{}%", wave.amount)
                                    : fmt::format("{} host{}", size, size == 1 ? "" : "s"));
        do {
          add_wave(name, limits, take_next(size));
        } while (wave.repeated && !left_.empty());
        return;
      }
      case Selection::site:
        add_wave(named("site " + wave.word), limits,
                 take_if([&](const HostFacts& host) { return is_meant(wave, host); }));
        return;
      case Selection::label:
        add_wave(named(wave.word), limits,
                 take_if([&](const HostFacts& host) { return is_meant(wave, host); }));
        return;
      case Selection::each_site:
        add_groups("site ", limits, [](const HostFacts& host) { return host.site; });
        return;
      case Selection::each_label:
        add_groups(wave.word + "=", limits,
                   [&](const HostFacts& host) { return label_of(host, wave.word); });
        return;
      case Selection::rest:
        add_wave(named("rest"), limits, std::exchange(left_, {}));
        return;
    }
  }

  template <class Key>
  void add_groups(const std::string& prefix, const StepLimits& limits, Key key) {
    std::map<std::string, Hosts> groups;
    for (const auto* host : std::exchange(left_, {})) groups[key(*host)].push_back(host);
    const Hosts without = groups.contains("") ? std::move(groups[""]) : Hosts();
    groups.erase("");
    for (const auto& [word, hosts] : groups) add_wave(prefix + word, limits, hosts);
    add_wave("rest", limits, without);
  }

  // A wave without hosts is none.
  void add_wave(const std::string& name, const StepLimits& limits, const Hosts& hosts) {
    if (hosts.empty()) return;
    const std::uint32_t step = add_step({name, StepKind::wave, last_share(), limits});
    for (const auto* host : hosts) {
      add_record(*host, fleet::Slot::stable, step);
      // A slot that an earlier rollout left moves with its host.
      if (host->canary && host->canary->revision != fleet::kNoRevision &&
          !with_canary_.contains(host->host)) {
        add_record(*host, fleet::Slot::canary, step);
      }
    }
  }

  [[nodiscard]] std::uint32_t last_share() const {
    return plan_.steps.empty() ? 0 : plan_.steps.back().share_ppm;
  }

  Hosts take_next(std::size_t count) {
    const auto end = left_.begin() + static_cast<std::ptrdiff_t>(std::min(count, left_.size()));
    Hosts taken(left_.begin(), end);
    left_.erase(left_.begin(), end);
    return taken;
  }

  template <class Condition>
  Hosts take_if(Condition condition) {
    Hosts taken;
    Hosts others;
    for (const auto* host : left_) (condition(*host) ? taken : others).push_back(host);
    left_ = std::move(others);
    return taken;
  }

  const fleet::Strategy& strategy_;
  Hosts left_;  // by name
  std::size_t all_ = 0;
  std::set<std::string, std::less<>> with_canary_;
  Plan plan_;
};

}  // namespace

Result<Plan> plan_rollout(const Rollout& rollout, const std::vector<HostFacts>& hosts) {
  return Planner(rollout, hosts).plan();
}

std::vector<std::string> waves_left_out(const fleet::Strategy& strategy,
                                        const std::vector<HostFacts>& hosts) {
  std::vector<std::string> sentences;
  if (strategy.kind == StrategyKind::all_at_once) return sentences;
  for (const auto& wave : strategy.waves) {
    const bool is_there =
        std::ranges::any_of(hosts, [&](const HostFacts& host) { return is_meant(wave, host); });
    if (is_there) continue;
    const bool is_site = wave.selection == Selection::site;
    sentences.push_back(fmt::format("no host of the component {} '{}': that wave is left out",
                                    is_site ? "is of site" : "has the label", wave.word));
  }
  return sentences;
}

}  // namespace segue::rollout
