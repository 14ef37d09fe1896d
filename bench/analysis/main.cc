// SPDX-License-Identifier: Apache-2.0
// bench_analysis [--quick] [--list] [--only PREFIX] [--case NAME]: how often the analysis of a
// rollout cries wolf, how soon it finds what is wrong, and what a fixed-sample test does that is
// repeated at each look. README.md describes the cases. Every rollout has a seed of its own: the
// figures are the same on any machine.
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "analysis/analysis.h"
#include "base/json_writer.h"
#include "fixed_sample.h"
#include "simulation.h"

namespace {

using namespace std::chrono_literals;
namespace analysis = segue::analysis;
namespace bench = segue::bench;
using analysis::Kind;
using analysis::Outcome;

struct Case {
  std::string name;
  std::vector<Kind> kinds;  // one rule each
  bench::Shape shape;
  std::uint64_t max_requests;  // of both arms
  std::size_t rollouts;
  enum class Wanted : std::uint8_t { no_abort, detection, no_pass } wanted;
};

struct Run {
  std::optional<std::uint64_t> bad_at;  // requests of both arms
  std::optional<std::uint64_t> good_at;
  bool is_peer_bad = false;
};

analysis::Rule rule_for(Kind kind, std::size_t rules, Case::Wanted wanted) {
  analysis::Rule rule =
      analysis::rule_of(kind, kind == Kind::rate ? "error rate" : "latency", "simulated");
  rule.comparison.alpha /= static_cast<double>(rules);  // for the rollout as a whole
  // A canary that was found to be bad could not pass any more.
  if (wanted == Case::Wanted::no_pass) rule.comparison.alpha = 1e-300;
  return rule;
}

// One rule, looked at after every observation.
void watch(const Case& which, Kind kind, std::uint64_t seed, Run& run) {
  const analysis::Rule rule = rule_for(kind, which.kinds.size(), which.wanted);
  analysis::State state = analysis::begin(rule, 0ms);
  bench::Simulation simulation(which.shape, seed);
  bench::FixedSampleTest peer(kind);
  std::uint64_t requests = 0;
  bool is_bad = false;
  for (analysis::milliseconds now = 1s; requests < which.max_requests; now += 1s) {
    analysis::Comparison comparison = simulation.next(kind);
    for (const auto* arm : {&comparison.canary, &comparison.baseline}) {
      for (const auto& cluster : arm->clusters) requests += cluster.requests;
    }
    peer.add(comparison);
    run.is_peer_bad = run.is_peer_bad || peer.says_worse(rule.comparison.alpha);
    auto next =
        analysis::observe(rule, std::move(state), {.at = now, .content = std::move(comparison)});
    if (!next) {
      fmt::print(stderr, "{}\n", next.error().to_string());
      std::exit(1);
    }
    state = *std::move(next);
    const Outcome outcome = analysis::decide(rule, state, now);
    if (outcome == Outcome::good && !run.good_at) run.good_at = requests;
    if (outcome == Outcome::bad && !is_bad) {
      is_bad = true;
      run.bad_at = std::min(run.bad_at.value_or(UINT64_MAX), requests);
    }
    const bool has_all = is_bad && run.is_peer_bad;
    if (has_all && which.wanted == Case::Wanted::detection) return;
  }
}

std::vector<Run> run_all(const Case& which) {
  std::vector<Run> runs(which.rollouts);
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t rollout = next++; rollout < runs.size(); rollout = next++) {
      for (std::size_t place = 0; place < which.kinds.size(); ++place) {
        watch(which, which.kinds[place], rollout * 1'000 + place + 1, runs[rollout]);
      }
    }
  };
  std::vector<std::thread> threads;
  for (unsigned left = std::max(1U, std::thread::hardware_concurrency()); left > 1; --left) {
    threads.emplace_back(work);
  }
  work();
  for (std::thread& thread : threads) thread.join();
  return runs;
}

void print(const Case& which, std::string_view metric, double value, std::string_view unit,
           std::string_view peer = {}) {
  segue::base::JsonWriter json;
  json.begin_object().field("bench", "rollout").field("case", which.name).field("metric", metric);
  json.field("value", value).field("unit", unit).key("peer");
  if (peer.empty()) {
    json.null();
  } else {
    json.value(peer);
  }
  json.end();
  std::puts(std::move(json).take().c_str());
  fmt::print(stderr, "{:28} {:22} {:>12.6g} {:10} {}\n", which.name, metric, value, unit, peer);
}

double share_of(const std::vector<Run>& runs, const auto& counts) {
  return static_cast<double>(std::ranges::count_if(runs, counts)) /
         static_cast<double>(runs.size());
}

// Quantiles over all rollouts; those that never came there are beyond every number.
void print_requests(const Case& which, std::string_view what, const std::vector<Run>& runs,
                    std::optional<std::uint64_t> Run::* at) {
  std::vector<std::uint64_t> requests;
  for (const Run& run : runs) requests.push_back((run.*at).value_or(UINT64_MAX));
  std::ranges::sort(requests);
  for (const auto& [name, quantile] : {std::pair{"median", 0.5}, std::pair{"p99", 0.99}}) {
    const auto place = static_cast<std::size_t>(quantile * static_cast<double>(requests.size()));
    const std::uint64_t found = requests[std::min(place, requests.size() - 1)];
    if (found == UINT64_MAX) continue;
    print(which, fmt::format("{}_requests_{}", what, name), static_cast<double>(found), "requests");
  }
}

const char* peer_of(const Case& which) {
  if (which.kinds.size() > 1) return "both at each look";
  return which.kinds.front() == Kind::rate ? "z-test at each look" : "Mann-Whitney at each look";
}

bool report(const Case& which) {
  const std::vector<Run> runs = run_all(which);
  const double bad = share_of(runs, [](const Run& run) { return run.bad_at.has_value(); });
  const double good = share_of(runs, [](const Run& run) { return run.good_at.has_value(); });
  const double peer = share_of(runs, [](const Run& run) { return run.is_peer_bad; });
  print(which, "max_requests", static_cast<double>(which.max_requests), "requests");
  bool is_met = true;
  switch (which.wanted) {
    case Case::Wanted::no_abort:
      print(which, "false_abort", bad, "share");
      print(which, "false_abort", peer, "share", peer_of(which));
      is_met = bad <= 0.01;
      if (which.kinds.size() > 1) break;
      print(which, "passed", good, "share");
      print_requests(which, "passed", runs, &Run::good_at);
      break;
    case Case::Wanted::detection:
      print(which, "detected", bad, "share");
      print(which, "detected", peer, "share", peer_of(which));
      print_requests(which, "detected", runs, &Run::bad_at);
      is_met = bad >= 0.99;
      break;
    case Case::Wanted::no_pass:
      print(which, "false_pass", good, "share");
      is_met = good <= 0.05;
      break;
  }
  fmt::print(stderr, "{:28} {}\n", which.name, is_met ? "target met" : "TARGET MISSED");
  return is_met;
}

std::vector<Case> cases(bool is_quick) {
  using Wanted = Case::Wanted;
  constexpr std::size_t kRollouts = 1'000;
  constexpr std::uint64_t kMost = 200'000;  // requests in which a regression has to be found
  const std::vector<Kind> rate = {Kind::rate};
  const std::vector<Kind> latency = {Kind::latency};
  const bench::Shape equal;
  bench::Shape failing = equal;
  failing.canary.error_rate = 2 * equal.canary.error_rate;
  bench::Shape slower = equal;
  slower.canary.slowness = 1.2;
  if (is_quick) {
    return {{"aa/error-rate", rate, equal, 40'000, kRollouts, Wanted::no_abort},
            {"aa/latency", latency, equal, 40'000, kRollouts, Wanted::no_abort},
            {"regression/error-rate", rate, failing, kMost, kRollouts, Wanted::detection},
            {"regression/p99", latency, slower, kMost, 300, Wanted::detection}};
  }
  bench::Shape tenth = equal;
  tenth.canary.connections_per_look = 1;
  tenth.baseline.connections_per_look = 9;
  bench::Shape tail = equal;
  tail.canary.tail_slowness = 1.2;
  constexpr std::uint64_t kLong = 400'000;
  return {
      {"aa/error-rate", rate, equal, kLong, kRollouts, Wanted::no_abort},
      {"aa/latency", latency, equal, kLong, kRollouts, Wanted::no_abort},
      {"aa/both", {Kind::rate, Kind::latency}, equal, kLong, kRollouts, Wanted::no_abort},
      {"aa/error-rate-10-percent", rate, tenth, kLong, kRollouts, Wanted::no_abort},
      {"regression/error-rate", rate, failing, kMost, kRollouts, Wanted::detection},
      {"regression/p99", latency, slower, kMost, kRollouts, Wanted::detection},
      {"regression/p99-tail-only", latency, tail, kMost, kRollouts, Wanted::detection},
      // Twice 1 % is half of it and half a point more: just at the margin, and so is a fifth
      // slower.
      {"margin/error-rate", rate, failing, kLong, kRollouts, Wanted::no_pass},
      {"margin/p99", latency, slower, kLong, kRollouts, Wanted::no_pass},
  };
}

}  // namespace

int main(int count, char** arguments) {
  bool is_quick = false;
  bool is_list = false;
  std::string prefix;
  std::string name;
  for (int place = 1; place < count; ++place) {
    const std::string_view argument = arguments[place];
    if (argument == "--quick") {
      is_quick = true;
    } else if (argument == "--list") {
      is_list = true;
    } else if (argument == "--only" && place + 1 < count) {
      prefix = arguments[++place];
    } else if (argument == "--case" && place + 1 < count) {
      name = arguments[++place];
    } else {
      fmt::print(stderr,
                 "usage: bench_analysis [--quick] [--list] [--only PREFIX] [--case NAME]\n");
      return 2;
    }
  }
  bool are_met = true;
  for (const Case& which : cases(is_quick)) {
    if (!which.name.starts_with(prefix) || (!name.empty() && which.name != name)) continue;
    if (is_list) {
      std::puts(which.name.c_str());
    } else {
      are_met = report(which) && are_met;
    }
  }
  return are_met ? 0 : 1;
}
