// SPDX-License-Identifier: Apache-2.0
// How a change of a component reaches its hosts: in which steps, and what each of them has to show.
// Values only; a default-made Strategy is a careful one. People write it in segue.yaml.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "fleet/gate.h"
#include "fleet/instance.h"

namespace segue::fleet {

using std::chrono::milliseconds;

// So many hosts, or so much of them.
struct Amount {
  std::uint32_t value = 0;
  bool is_percent = false;

  // Of `all`, never more than them. A limit rounds down, a choice of hosts rounds up.
  [[nodiscard]] std::size_t as_limit(std::size_t all) const;
  [[nodiscard]] std::size_t as_choice(std::size_t all) const;

  bool operator==(const Amount&) const = default;
};
constexpr Amount hosts(std::uint32_t count) {
  return {count, false};
}
constexpr Amount percent(std::uint32_t part) {
  return {part, true};
}

// What one step may cost, and what has to be seen before the next one.
struct StepLimits {
  // Of the step's hosts, at any moment; at least one, otherwise nothing could move. Who is being
  // moved counts, although a handoff interrupts nothing; so does who is silent or not well.
  Amount max_unavailable = percent(10);
  Amount max_failures = hosts(0);  // of the step's hosts; one more is a reason for `on_bad`
  Amount max_silent = hosts(0);    // so many are not waited for
  milliseconds bake = std::chrono::seconds(60);  // after the last host has moved
  std::uint32_t approvals = 0;                   // by so many persons, before the step begins
  std::vector<std::string> gates;                // names; all have to say good after the bake

  bool operator==(const StepLimits&) const = default;
};

enum class Selection {
  count,       // the next `amount` hosts by name
  percent,     // the next `amount` percent of all hosts
  site,        // the hosts of site `word`
  label,       // the hosts with label `word`, KEY=VALUE
  each_site,   // a wave per site
  each_label,  // a wave per value of the label KEY in `word`; hosts without it come last
  rest,        // all that are left
};
std::string_view to_string(Selection selection);
std::optional<Selection> selection_of(std::string_view word);

// Hosts of an earlier wave are in no later one; whoever is left after the last comes in a wave of
// their own, `rest`, with the strategy's own limits.
struct Wave {
  Selection selection = Selection::rest;
  std::uint32_t amount = 0;
  std::string word;
  bool repeated = false;             // count, percent: until no host is left
  std::string name;                  // empty: made from the selection
  std::optional<StepLimits> limits;  // nullopt: those of the strategy

  bool operator==(const Wave&) const = default;
};

enum class StrategyKind { rolling, canary, blue_green, all_at_once };
std::string_view to_string(StrategyKind kind);
std::optional<StrategyKind> strategy_kind_of(std::string_view word);

// Who gives a canary its share of new connections.
enum class Split {
  kernel,  // of each host, between its two slots: Assignment::share_ppm
  proxy,   // a proxy before the hosts
  hosts,   // nobody: the share is one of hosts, whose stable slots go first. For what has state
};
std::string_view to_string(Split split);
std::optional<Split> split_of(std::string_view word);

// What a canary is compared with.
enum class Baseline {
  running,  // the stable slots, as old as they are
  renewed,  // they are handed over to themselves when the canary has started: of the same age
};
std::string_view to_string(Baseline baseline);
std::optional<Baseline> baseline_of(std::string_view word);

struct CanaryStep {
  std::uint32_t share_ppm = 0;
  StepLimits limits;

  bool operator==(const CanaryStep&) const = default;
};

struct Canary {
  Split split = Split::kernel;
  Amount on = percent(100);               // hosts with a canary slot; not with Split::hosts
  std::vector<CanaryStep> steps;          // shares only grow
  std::uint64_t salt = 0;                 // of a split by source address; below 2^63
  bool ends_when_idle = true;             // its slot, when its connections are gone; never before
  Baseline baseline = Baseline::running;  // of the hosts with a canary slot; not with Split::hosts

  bool operator==(const Canary&) const = default;
};

// What a bad verdict or too many failures lead to.
enum class OnBad { undo, pause };
std::string_view to_string(OnBad reaction);
std::optional<OnBad> on_bad_of(std::string_view word);

// A change that comes while another of the same component is under way.
enum class MeanwhilePolicy {
  queue,      // waits for its end
  supersede,  // takes its place
};
std::string_view to_string(MeanwhilePolicy policy);
std::optional<MeanwhilePolicy> meanwhile_policy_of(std::string_view word);

struct Strategy {
  static constexpr std::size_t kMaxWaves = 200;
  static constexpr std::size_t kMaxCanarySteps = 50;
  static constexpr std::size_t kMaxGates = 20;
  static constexpr std::size_t kMaxWordBytes = 200;
  static constexpr std::uint32_t kMaxApprovals = 10;
  static constexpr std::uint32_t kMaxRetries = 20;
  static constexpr milliseconds kMaxTime = std::chrono::hours(24 * 365);

  StrategyKind kind = StrategyKind::rolling;
  StepLimits limits;        // of waves that do not say their own
  std::vector<Wave> waves;  // empty: one host, then 10 % of them, then the rest
  Canary canary;            // canary, blue_green
  milliseconds undo_window = std::chrono::minutes(10);  // blue_green: the old ones stay so long
  std::uint32_t approvals = 0;                          // before the first step
  milliseconds late_watch = std::chrono::minutes(10);   // after the last step
  std::vector<std::string> late_gates;                  // that have to stay good in it
  OnBad on_bad = OnBad::undo;
  MeanwhilePolicy meanwhile = MeanwhilePolicy::queue;
  std::uint32_t retries = 3;  // of an order that was refused, with growing pauses
  milliseconds first_retry = std::chrono::seconds(10);
  milliseconds order_limit = std::chrono::minutes(15);  // without an outcome it has failed
  milliseconds gate_limit = std::chrono::hours(24);     // without enough data it pauses
  std::vector<Gate> gates;                              // what the names of gates mean

  bool operator==(const Strategy&) const = default;
};

// invalid_argument: names the field as segue.yaml does, says why and what to write instead.
base::Result<void> check(const Strategy& strategy);

// What a strategy of this kind is when nothing else is said of it.
Strategy careful(StrategyKind kind);

// One object, {"kind": …}, every field written. data_loss: damaged, or not what check() accepts.
inline constexpr std::size_t kMaxStrategyBytes = std::size_t{256} << 10;
base::Result<Strategy> read_strategy(std::string_view bytes);
std::string write_strategy(const Strategy& strategy);

}  // namespace segue::fleet
