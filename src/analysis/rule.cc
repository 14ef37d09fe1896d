// SPDX-License-Identifier: Apache-2.0
#include "analysis/rule.h"

#include <array>
#include <bit>
#include <cmath>
#include <utility>

#include "analysis/json_object.h"

namespace segue::analysis {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array kKinds = {"threshold", "rate", "latency"};
constexpr std::array kSides = {"above", "below"};
constexpr std::array kPasses = {"shown", "unrefuted"};
constexpr std::uint64_t kFormat = 1;
constexpr std::size_t kMaxNameBytes = 256;
constexpr std::size_t kMaxSourceBytes = 16 << 10;
constexpr milliseconds kMaxTime = std::chrono::hours(24 * 366);
constexpr std::uint64_t kMaxMinimum = std::uint64_t{1} << 48;

class Checks {
 public:
  explicit Checks(const std::string& rule) : rule_(rule) {}

  void within(const char* field, double value, double min, double max) {
    require(value >= min && value <= max,
            fmt::format("{} has to lie between {} and {}", field, min, max));
  }
  void inside(const char* field, double value, double min, double max) {
    require(value > min && value < max,
            fmt::format("{} has to lie between {} and {}, neither of them", field, min, max));
  }
  void time(const char* field, milliseconds value) {
    require(value >= milliseconds(0) && value <= kMaxTime,
            fmt::format("{} has to be between nothing and a year", field));
  }
  void require(bool holds, std::string otherwise) {
    if (!holds && result_) {
      result_ = fail(ErrorCode::invalid_argument, "rule '{}': {}", rule_, otherwise);
    }
  }
  [[nodiscard]] const Result<void>& result() const { return result_; }

 private:
  const std::string& rule_;
  Result<void> result_;
};

void check_threshold(const ThresholdRule& rule, Checks& checks) {
  checks.require(std::isfinite(rule.limit), "limit has to be a number");
  checks.within("bad_observations", rule.bad_observations, 1, 1e6);
  checks.within("good_observations", rule.good_observations, 1, 1e6);
  checks.time("bad_for", rule.bad_for);
  checks.time("good_for", rule.good_for);
  checks.time("max_gap", rule.max_gap);
  checks.require(rule.max_gap > milliseconds(0), "max_gap has to be more than nothing");
}

void check_comparison(const Rule& whole, Checks& checks) {
  const ComparisonRule& rule = whole.comparison;
  checks.within("tolerance", rule.tolerance, 0, 10);
  checks.within("margin", rule.margin, 0, 10);
  checks.inside("alpha", rule.alpha, 0, 0.5);
  checks.inside("good_alpha", rule.good_alpha, 0, 0.5);
  checks.within("absolute_tolerance", rule.absolute_tolerance, 0, 0.5);
  checks.within("absolute_margin", rule.absolute_margin, 0, 0.5);
  if (whole.kind == Kind::latency) {
    checks.within("quantile", rule.quantile, 0.01, 0.9999);
    // Below, the edges of a histogram's buckets could not tell the margin from nothing.
    checks.require(rule.pass == Pass::unrefuted || rule.margin >= 0.07,
                   "margin has to be 0.07 or more for a latency");
    checks.require(rule.absolute_tolerance == 0 && rule.absolute_margin == 0,
                   "absolute_tolerance and absolute_margin are for rates: let them be 0");
  } else {
    checks.require(rule.pass == Pass::unrefuted || rule.margin > 0 || rule.absolute_margin > 0,
                   "margin or absolute_margin has to be more than nothing");
  }
  checks.require(rule.margin >= rule.tolerance && rule.absolute_margin >= rule.absolute_tolerance,
                 "a margin has to be no less than its tolerance");
  checks.require(rule.minimum_clusters >= 1 && rule.minimum_clusters <= kMaxMinimum &&
                     rule.minimum_requests >= 1 && rule.minimum_requests <= kMaxMinimum,
                 "minimum_clusters and minimum_requests have to be 1 or more: what was not seen "
                 "never passes");
  checks.time("minimum_time", rule.minimum_time);
  checks.within("cluster_cap", rule.cluster_cap, 1, 1e6);
  checks.time("warm_up", rule.warm_up);
  checks.within("max_age_ratio", rule.max_age_ratio, 1, 1e6);
  checks.time("pair_within", rule.pair_within);
}

std::int64_t in_ms(milliseconds time) {
  return time.count();
}

Result<milliseconds> take_time(JsonObject& object, const char* name) {
  SEGUE_ASSIGN(const std::uint64_t count,
               object.count(name, static_cast<std::uint64_t>(kMaxTime.count())));
  return milliseconds(static_cast<std::int64_t>(count));
}

Json json_of(const ThresholdRule& rule) {
  return {{"limit", rule.limit},
          {"bad_side", kSides.at(static_cast<std::size_t>(rule.bad_side))},
          {"bad_observations", rule.bad_observations},
          {"bad_for_ms", in_ms(rule.bad_for)},
          {"good_observations", rule.good_observations},
          {"good_for_ms", in_ms(rule.good_for)},
          {"max_gap_ms", in_ms(rule.max_gap)}};
}

Result<ThresholdRule> threshold_of(JsonObject object) {
  ThresholdRule rule;
  SEGUE_ASSIGN(rule.limit, object.number("limit", -1e308, 1e308));
  SEGUE_ASSIGN(const std::size_t side, object.word("bad_side", kSides));
  rule.bad_side = static_cast<Side>(side);
  SEGUE_ASSIGN(const std::uint64_t bad, object.count("bad_observations", UINT32_MAX));
  rule.bad_observations = static_cast<std::uint32_t>(bad);
  SEGUE_ASSIGN(rule.bad_for, take_time(object, "bad_for_ms"));
  SEGUE_ASSIGN(const std::uint64_t good, object.count("good_observations", UINT32_MAX));
  rule.good_observations = static_cast<std::uint32_t>(good);
  SEGUE_ASSIGN(rule.good_for, take_time(object, "good_for_ms"));
  SEGUE_ASSIGN(rule.max_gap, take_time(object, "max_gap_ms"));
  SEGUE_TRY(object.end());
  return rule;
}

Json json_of(const ComparisonRule& rule) {
  return {{"quantile", rule.quantile},
          {"tolerance", rule.tolerance},
          {"margin", rule.margin},
          {"absolute_tolerance", rule.absolute_tolerance},
          {"absolute_margin", rule.absolute_margin},
          {"alpha", rule.alpha},
          {"good_alpha", rule.good_alpha},
          {"pass", kPasses.at(static_cast<std::size_t>(rule.pass))},
          {"minimum_clusters", rule.minimum_clusters},
          {"minimum_requests", rule.minimum_requests},
          {"minimum_time_ms", in_ms(rule.minimum_time)},
          {"cluster_cap", rule.cluster_cap},
          {"warm_up_ms", in_ms(rule.warm_up)},
          {"max_age_ratio", rule.max_age_ratio},
          {"pair_within_ms", in_ms(rule.pair_within)}};
}

Result<ComparisonRule> comparison_of(JsonObject object) {
  ComparisonRule rule;
  constexpr double kMax = 1e9;
  SEGUE_ASSIGN(rule.quantile, object.number("quantile", 0, 1));
  SEGUE_ASSIGN(rule.tolerance, object.number("tolerance", 0, kMax));
  SEGUE_ASSIGN(rule.margin, object.number("margin", 0, kMax));
  SEGUE_ASSIGN(rule.absolute_tolerance, object.number("absolute_tolerance", 0, kMax));
  SEGUE_ASSIGN(rule.absolute_margin, object.number("absolute_margin", 0, kMax));
  SEGUE_ASSIGN(rule.alpha, object.number("alpha", 0, 1));
  SEGUE_ASSIGN(rule.good_alpha, object.number("good_alpha", 0, 1));
  SEGUE_ASSIGN(const std::size_t pass, object.word("pass", kPasses));
  rule.pass = static_cast<Pass>(pass);
  SEGUE_ASSIGN(rule.minimum_clusters, object.count("minimum_clusters", kMaxMinimum));
  SEGUE_ASSIGN(rule.minimum_requests, object.count("minimum_requests", kMaxMinimum));
  SEGUE_ASSIGN(rule.minimum_time, take_time(object, "minimum_time_ms"));
  SEGUE_ASSIGN(const std::uint64_t cap, object.count("cluster_cap", UINT32_MAX));
  rule.cluster_cap = static_cast<std::uint32_t>(cap);
  SEGUE_ASSIGN(rule.warm_up, take_time(object, "warm_up_ms"));
  SEGUE_ASSIGN(rule.max_age_ratio, object.number("max_age_ratio", 1, kMax));
  SEGUE_ASSIGN(rule.pair_within, take_time(object, "pair_within_ms"));
  SEGUE_TRY(object.end());
  return rule;
}

// FNV-1a, 64 bits: against mistakes, not against anybody.
class Hash {
 public:
  template <class... Values>
  void add(Values... values) {
    (add(static_cast<double>(values)), ...);
  }
  void add(double value) {
    auto bits = std::bit_cast<std::uint64_t>(value);
    for (int byte = 0; byte < 8; ++byte, bits >>= 8) {
      value_ = (value_ ^ (bits & 0xFF)) * 0x100000001b3U;
    }
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 0xcbf29ce484222325U;
};

}  // namespace

Rule rule_of(Kind kind, std::string name, std::string source) {
  Rule rule;
  rule.kind = kind;
  rule.name = std::move(name);
  rule.source = std::move(source);
  if (kind == Kind::latency) {
    rule.comparison.tolerance = 0.05;
    rule.comparison.margin = 0.2;
    rule.comparison.absolute_margin = 0;
  }
  return rule;
}

Result<void> check(const Rule& rule) {
  Checks checks(rule.name);
  checks.require(!rule.name.empty() && rule.name.size() <= kMaxNameBytes,
                 "name has to have 1 to 256 bytes");
  checks.require(rule.source.size() <= kMaxSourceBytes, "source has to have at most 16 KiB");
  checks.require(!rule.clusters.empty() && rule.clusters.size() <= kMaxNameBytes,
                 "clusters has to have 1 to 256 bytes");
  checks.time("wait_limit", rule.wait_limit);
  checks.time("late_watch", rule.late_watch);
  if (rule.kind == Kind::threshold) {
    check_threshold(rule.threshold, checks);
  } else {
    check_comparison(rule, checks);
  }
  return checks.result();
}

std::string write_rule(const Rule& rule) {
  Json json = {{"format", kFormat},
               {"name", rule.name},
               {"source", rule.source},
               {"clusters", rule.clusters},
               {"kind", kKinds.at(static_cast<std::size_t>(rule.kind))},
               {"wait_limit_ms", in_ms(rule.wait_limit)},
               {"late_watch_ms", in_ms(rule.late_watch)}};
  if (rule.kind == Kind::threshold) {
    json["threshold"] = json_of(rule.threshold);
  } else {
    json["comparison"] = json_of(rule.comparison);
  }
  return one_line(json);
}

Result<Rule> read_rule(std::string_view json) {
  SEGUE_ASSIGN(JsonObject object, JsonObject::parse(json, "the rule"));
  Rule rule;
  SEGUE_ASSIGN(const std::uint64_t format, object.count("format", UINT32_MAX));
  if (format != kFormat) {
    return fail(ErrorCode::data_loss, "the rule has format {}; {} is known", format, kFormat);
  }
  SEGUE_ASSIGN(rule.name, object.text("name", kMaxNameBytes));
  SEGUE_ASSIGN(rule.source, object.text("source", kMaxSourceBytes));
  SEGUE_ASSIGN(rule.clusters, object.text("clusters", kMaxNameBytes));
  SEGUE_ASSIGN(const std::size_t kind, object.word("kind", kKinds));
  rule.kind = static_cast<Kind>(kind);
  SEGUE_ASSIGN(rule.wait_limit, take_time(object, "wait_limit_ms"));
  SEGUE_ASSIGN(rule.late_watch, take_time(object, "late_watch_ms"));
  if (rule.kind == Kind::threshold) {
    SEGUE_ASSIGN(JsonObject inner, object.object("threshold"));
    SEGUE_ASSIGN(rule.threshold, threshold_of(std::move(inner)));
  } else {
    SEGUE_ASSIGN(JsonObject inner, object.object("comparison"));
    SEGUE_ASSIGN(rule.comparison, comparison_of(std::move(inner)));
  }
  SEGUE_TRY(object.end());
  if (auto checked = check(rule); !checked) {
    return fail(ErrorCode::data_loss, "{}", checked.error().message());
  }
  return rule;
}

std::string fingerprint(const Rule& rule) {
  Hash hash;
  hash.add(static_cast<double>(rule.kind));
  if (rule.kind == Kind::threshold) {
    const ThresholdRule& one = rule.threshold;
    hash.add(one.limit, one.bad_side, one.bad_observations, one.bad_for.count(),
             one.good_observations, one.good_for.count(), one.max_gap.count());
  } else {
    const ComparisonRule& one = rule.comparison;
    hash.add(one.quantile, one.tolerance, one.margin, one.absolute_tolerance, one.absolute_margin,
             one.alpha, one.good_alpha, one.pass, one.minimum_clusters, one.minimum_requests,
             one.minimum_time.count(), one.cluster_cap, one.warm_up.count(), one.max_age_ratio,
             one.pair_within.count(), rule.late_watch.count());
  }
  return fmt::format("{:016x}", hash.value());
}

}  // namespace segue::analysis
