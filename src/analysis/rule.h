// SPDX-License-Identifier: Apache-2.0
// What decides whether a canary is good, bad, or not yet known. A rule is a value that an operator
// writes once; docs/analysis.md says which to choose.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::analysis {

using std::chrono::milliseconds;

// Of moments and ages: a thousand years either way.
inline constexpr milliseconds kLatestTime = std::chrono::hours(24 * 366 * 1000);

enum class Kind : std::uint8_t {
  threshold,  // one value against a limit: health, connections lost, blackout, a metric
  rate,       // failures per request, canary against baseline
  latency,    // a quantile of latency, canary against baseline
};

enum class Side : std::uint8_t { above, below };

// When a comparison that found nothing bad is good.
enum class Pass : std::uint8_t {
  // A sequential test has shown that the canary is not worse than the margin allows. The default:
  // that nothing bad was found says little where little was seen, and this says how much is enough.
  shown,
  // The minimum of data and of time is over, and nothing bad was found. For services with so few
  // requests that nothing can be shown about them; what it would have found depends on the minimum.
  unrefuted,
};

struct ThresholdRule {
  double limit = 0;
  Side bad_side = Side::above;  // the limit itself is good
  // Bad after so many bad values in a row that span so long; good likewise.
  std::uint32_t bad_observations = 1;
  milliseconds bad_for{0};
  std::uint32_t good_observations = 3;
  milliseconds good_for{0};
  // A good row ends where the source said nothing for longer: nobody knows what was between.
  milliseconds max_gap = std::chrono::minutes(2);

  friend bool operator==(const ThresholdRule&, const ThresholdRule&) = default;
};

// A canary that is worse by up to the tolerance is never bad, one that is worse by up to the margin
// is good. Between them is what the two tests leave open; margins above the tolerances keep a
// canary there from waiting for ever.
struct ComparisonRule {
  double quantile = 0.99;  // of latency
  // Relative: of the baseline's rate, or of its quantile.
  double tolerance = 0.1;
  double margin = 0.5;
  // Rates only, a share of requests: 0.005 is half a percentage point. Without it, a baseline that
  // never fails allows no failure at all, which no amount of data can show.
  double absolute_tolerance = 0;
  double absolute_margin = 0.005;

  double alpha = 0.01;       // of calling a canary bad that is as good as the baseline, ever
  double good_alpha = 0.05;  // of calling one good that is worse than the margin, ever
  Pass pass = Pass::shown;

  // Per arm, before anything is good. Bad needs no minimum: the test knows how much it has seen.
  std::uint64_t minimum_clusters = 100;
  std::uint64_t minimum_requests = 1'000;
  milliseconds minimum_time{0};

  // A cluster counts by its requests, but never as more than so many: what one client sees says
  // only so much about others, however busy it is.
  std::uint32_t cluster_cap = 16;
  // Younger arms are not compared: caches fill, connections arrive.
  milliseconds warm_up{0};
  // Arms are not compared whose ages differ by more than this factor.
  double max_age_ratio = 2;
  // A cluster that finds none of the other arm within so long is left out: load and errors come and
  // go, and only what was seen at the same time compares.
  milliseconds pair_within = std::chrono::minutes(1);

  friend bool operator==(const ComparisonRule&, const ComparisonRule&) = default;
};

struct Rule {
  std::string name;    // for people: "error rate"
  std::string source;  // for whoever makes the observations: a query, a probe; not read here
  // What is independent of its like, in the plural: "connections", "host minutes".
  std::string clusters = "connections";
  Kind kind = Kind::threshold;
  ThresholdRule threshold;    // of Kind::threshold
  ComparisonRule comparison;  // of the others
  // A verdict that is still open after so long is overdue: somebody has to look.
  milliseconds wait_limit = std::chrono::minutes(30);
  // How long the rule goes on after the last wave.
  milliseconds late_watch = std::chrono::hours(2);

  friend bool operator==(const Rule&, const Rule&) = default;
};

// With the defaults of its kind, which for latencies are a tolerance of 5 % and a margin of 20 %.
Rule rule_of(Kind kind, std::string name, std::string source);

// That the numbers make sense. invalid_argument names the field and what it may be.
base::Result<void> check(const Rule& rule);

// One line. read_rule() takes only what write_rule() writes: data_loss.
std::string write_rule(const Rule& rule);
base::Result<Rule> read_rule(std::string_view json);

// Changes with every number that what a state has gathered, or its verdict, depends on: not with
// names, nor with the limit to wait.
std::string fingerprint(const Rule& rule);

}  // namespace segue::analysis
