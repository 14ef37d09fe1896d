// SPDX-License-Identifier: Apache-2.0
#include "analysis/explanation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "analysis/comparison.h"

namespace segue::analysis {
namespace {

// 14200 as 14,200.
std::string grouped(std::uint64_t number) {
  std::string text = fmt::format("{}", number);
  for (std::size_t place = text.size(); place > 3; place -= 3) text.insert(place - 3, 1, ',');
  return text;
}

std::string plain(double number) {
  return fmt::format("{:.6g}", number);
}

std::string percent(double share) {
  const double value = 100 * share;
  return fmt::format("{:.{}f}%", value, value >= 1 || value == 0 ? 1 : 3);
}

std::string spoken(milliseconds time) {
  const auto ms = time.count();
  if (ms < 1'000) return fmt::format("{} ms", ms);
  if (ms < 120'000) return fmt::format("{} s", ms / 1'000);
  if (ms < 7'200'000) return fmt::format("{} min", ms / 60'000);
  if (ms < 48LL * 3'600'000) return fmt::format("{} h", ms / 3'600'000);
  return fmt::format("{} days", ms / (24LL * 3'600'000));
}

std::string spoken_us(std::uint64_t us) {
  if (us < 1'000) return fmt::format("{} us", us);
  if (us < 1'000'000) return fmt::format("{:.3g} ms", static_cast<double>(us) / 1e3);
  return fmt::format("{:.3g} s", static_cast<double>(us) / 1e6);
}

std::string e_value(double log_e) {
  const double value = std::exp(std::min(log_e, 600.0));
  if (value >= 1e6) return fmt::format("{:.1e}", value);
  if (value >= 10) return grouped(static_cast<std::uint64_t>(value));
  return fmt::format("{:.2g}", value);
}

std::string needed(double alpha) {
  return plain(std::round(100 / alpha) / 100);
}

double rate(const ArmTotals& arm) {
  return arm.requests == 0 ? 0
                           : static_cast<double>(arm.failures) / static_cast<double>(arm.requests);
}

ArmTotals less(const ArmTotals& now, const ArmTotals& before) {
  return {.clusters = now.clusters - before.clusters,
          .requests = now.requests - before.requests,
          .failures = now.failures - before.failures};
}

std::pair<ArmTotals, ArmTotals> counted(const State& state) {
  const ComparisonState& gathered = state.comparison;
  if (!state.late) return {gathered.canary, gathered.baseline};
  return {less(gathered.canary, state.late->canary), less(gathered.baseline, state.late->baseline)};
}

// The threshold kind

std::string threshold_text(const Rule& rule, const State& state, milliseconds now,
                           Outcome outcome) {
  const ThresholdState& gathered = state.threshold;
  const ThresholdRule& threshold = rule.threshold;
  const char* bad_word = threshold.bad_side == Side::above ? "above" : "below";
  const std::string limit = plain(threshold.limit);
  const auto span = [](std::uint64_t values, milliseconds from, milliseconds to) {
    std::string text =
        fmt::format("{} {} in a row", grouped(values), values == 1 ? "time" : "times");
    if (to > from) text += fmt::format(" over {}", spoken(to - from));
    return text;
  };
  if (outcome == Outcome::bad) {
    return fmt::format("{} was {} {}, which is the limit: worst {}, last {}, in {} observations",
                       rule.name, bad_word, limit, plain(gathered.worst), plain(gathered.last),
                       grouped(gathered.values));
  }
  if (gathered.values == 0) {
    return fmt::format("{}: no data: the source was asked {} and had no value", rule.name,
                       gathered.missing == 1 ? "once" : grouped(gathered.missing) + " times");
  }
  if (now - gathered.last_value_at > threshold.max_gap) {
    return fmt::format("{}: no data for {}, which is more than {}", rule.name,
                       spoken(now - gathered.last_value_at), spoken(threshold.max_gap));
  }
  if (gathered.bad_row > 0) {
    return fmt::format("{} is {}, {} {}, {}; that makes it bad after {} in a row and {}", rule.name,
                       plain(gathered.last), bad_word, limit,
                       span(gathered.bad_row, gathered.bad_since, gathered.last_value_at),
                       threshold.bad_observations, spoken(threshold.bad_for));
  }
  const std::string row = span(gathered.good_row, gathered.good_since, gathered.last_value_at);
  if (outcome == Outcome::good) {
    return fmt::format("{} is {}, not {} {}, {}", rule.name, plain(gathered.last), bad_word, limit,
                       row);
  }
  if (state.late) {
    return fmt::format("{} is {}, not {} {}; watched for {} of {}", rule.name, plain(gathered.last),
                       bad_word, limit, spoken(now - state.late->since), spoken(rule.late_watch));
  }
  return fmt::format("{} is {}, not {} {}, {}; that makes it good after {} in a row and {}",
                     rule.name, plain(gathered.last), bad_word, limit, row,
                     threshold.good_observations, spoken(threshold.good_for));
}

void threshold_figures(const Rule& rule, const State& state, std::vector<Figure>& figures) {
  const ThresholdState& gathered = state.threshold;
  figures.push_back({"values", static_cast<double>(gathered.values)});
  figures.push_back({"missing", static_cast<double>(gathered.missing)});
  figures.push_back({"limit", rule.threshold.limit});
  if (gathered.values == 0) return;
  figures.push_back({"last", gathered.last});
  figures.push_back({"worst", gathered.worst});
}

// The comparisons

// Between the edges that latencies are known by, or as well as buckets are.
std::string quantile_text(const Rule& rule, const ComparisonState& gathered,
                          const Histogram& latency) {
  const Bucket bucket = latency.quantile(rule.comparison.quantile);
  if (gathered.edges_us.empty()) return spoken_us(lower_edge_us(bucket));
  std::uint64_t below = 0;
  for (const std::uint64_t edge_us : gathered.edges_us) {
    if (bucket_from(static_cast<double>(edge_us)) >= bucket) {
      return fmt::format("{} to {}", spoken_us(below), spoken_us(edge_us));
    }
    below = edge_us;
  }
  return fmt::format("beyond {}", spoken_us(below));
}

std::string resolution_text(const Rule& rule, const ComparisonState& gathered) {
  const ComparisonRule& comparison = rule.comparison;
  const Bucket bucket = gathered.baseline_latency.quantile(comparison.quantile);
  if (gathered.edges_us.empty() || gathered.baseline_latency.total() == 0) return "";
  const Resolution resolution = resolution_of(comparison, gathered.edges_us, bucket);
  if (resolution.baseline_us == 0) {
    return fmt::format(
        "; the last bucket ends at {}, and the baseline is beyond it: nothing can be compared",
        spoken_us(gathered.edges_us.back()));
  }
  const auto slower = [&](std::uint64_t edge_us) {
    return percent(static_cast<double>(edge_us) / static_cast<double>(resolution.baseline_us) - 1);
  };
  std::string text =
      fmt::format("; with buckets that end at {}", spoken_us(resolution.baseline_us));
  if (resolution.finer_us != 0) text += fmt::format(" and {}", spoken_us(resolution.finer_us));
  text += resolution.worse_us == 0
              ? fmt::format(", the last, nothing can be found to be {} slower",
                            percent(comparison.tolerance))
              : fmt::format(", 'worse' begins at {} ({} slower; tolerance {})",
                            spoken_us(resolution.worse_us), slower(resolution.worse_us),
                            percent(comparison.tolerance));
  if (resolution.acceptable_us == resolution.baseline_us && comparison.pass == Pass::shown) {
    text += fmt::format(" and a margin of {} can hardly be shown", percent(comparison.margin));
    if (resolution.finer_us != 0)
      text += fmt::format(", one of {} can", slower(resolution.finer_us));
  }
  return text;
}

std::string seen(const Rule& rule, const State& state) {
  const ComparisonState& gathered = state.comparison;
  const std::string volume = fmt::format(
      "over {} requests in {} {}", grouped(gathered.canary.requests + gathered.baseline.requests),
      grouped(gathered.canary.clusters + gathered.baseline.clusters), rule.clusters);
  if (rule.kind == Kind::rate) {
    return fmt::format("{} {} in the canary against {} in the baseline of the same age {}",
                       rule.name, percent(rate(gathered.canary)), percent(rate(gathered.baseline)),
                       volume);
  }
  return fmt::format("{} p{} {} in the canary against {} in the baseline of the same age {}{}",
                     rule.name, plain(100 * rule.comparison.quantile),
                     quantile_text(rule, gathered, gathered.canary_latency),
                     quantile_text(rule, gathered, gathered.baseline_latency), volume,
                     resolution_text(rule, gathered));
}

std::string margin_text(const Rule& rule) {
  const ComparisonRule& comparison = rule.comparison;
  if (rule.kind == Kind::latency) return fmt::format("{}%", plain(100 * comparison.margin));
  if (comparison.absolute_margin == 0) {
    return fmt::format("{}% of the baseline's", plain(100 * comparison.margin));
  }
  std::string points = fmt::format("{} percentage points", plain(100 * comparison.absolute_margin));
  if (comparison.margin == 0) return points;
  return fmt::format("{}% of the baseline's and {}", plain(100 * comparison.margin), points);
}

std::string minimum_text(const Rule& rule, const State& state, milliseconds now) {
  const ComparisonRule& comparison = rule.comparison;
  const auto [canary, baseline] = counted(state);
  if (std::min(canary.clusters, baseline.clusters) < comparison.minimum_clusters ||
      std::min(canary.requests, baseline.requests) < comparison.minimum_requests) {
    return fmt::format(
        "not enough data{}: {} requests in {} {} of the canary and {} in {} of the baseline, at "
        "least {} in {} of each are needed",
        state.late ? " in the late watch" : "", grouped(canary.requests), grouped(canary.clusters),
        rule.clusters, grouped(baseline.requests), grouped(baseline.clusters),
        grouped(comparison.minimum_requests), grouped(comparison.minimum_clusters));
  }
  return fmt::format("not long enough: {} of at least {}", spoken(now - state.begun),
                     spoken(comparison.minimum_time));
}

std::string wait_text(const Rule& rule, const State& state, milliseconds now) {
  const ComparisonState& gathered = state.comparison;
  const ComparisonRule& comparison = rule.comparison;
  if (!gathered.is_last_comparable) {
    return fmt::format(
        "{}: the canary has served for {} and the baseline for {}: they compare when both have "
        "served for {} and neither more than {} times as long as the other",
        rule.name, spoken(gathered.canary_age), spoken(gathered.baseline_age),
        spoken(comparison.warm_up), plain(comparison.max_age_ratio));
  }
  if (gathered.canary.clusters == 0 || gathered.baseline.clusters == 0) {
    return fmt::format("{}: {}", rule.name, minimum_text(rule, state, now));
  }
  if (!has_minimum(rule, state, now)) {
    return fmt::format("{}: {}", seen(rule, state), minimum_text(rule, state, now));
  }
  if (state.late) {
    return fmt::format("{}: nothing worse so far, watched for {} of {}", seen(rule, state),
                       spoken(now - state.late->since), spoken(rule.late_watch));
  }
  return fmt::format(
      "{}: neither shown to be worse (e-value {} of {}) nor to be worse by less than {} (e-value "
      "{} "
      "of {})",
      seen(rule, state), e_value(gathered.max_log_worse), needed(comparison.alpha),
      margin_text(rule), e_value(gathered.max_log_acceptable), needed(comparison.good_alpha));
}

std::string comparison_text(const Rule& rule, const State& state, milliseconds now,
                            Outcome outcome) {
  const ComparisonState& gathered = state.comparison;
  const ComparisonRule& comparison = rule.comparison;
  if (outcome == Outcome::wait) return wait_text(rule, state, now);
  if (outcome == Outcome::bad) {
    const double late = state.late ? state.late->max_log_worse : 0;
    const bool is_late = late > gathered.max_log_worse;
    return fmt::format("{}: an anytime-valid test says worse{}, e-value {} > {}", seen(rule, state),
                       is_late ? " since the late watch began" : "",
                       e_value(std::max(late, gathered.max_log_worse)), needed(comparison.alpha));
  }
  if (state.late) {
    return fmt::format("{}: nothing worse in a late watch of {}", seen(rule, state),
                       spoken(rule.late_watch));
  }
  if (comparison.pass == Pass::unrefuted) {
    return fmt::format(
        "{}: the minimum of data is there and nothing worse was found, e-value {} of {}",
        seen(rule, state), e_value(gathered.max_log_worse), needed(comparison.alpha));
  }
  return fmt::format("{}: an anytime-valid test says worse by less than {}, e-value {} > {}",
                     seen(rule, state), margin_text(rule), e_value(gathered.max_log_acceptable),
                     needed(comparison.good_alpha));
}

void comparison_figures(const Rule& rule, const State& state, std::vector<Figure>& figures) {
  const ComparisonState& gathered = state.comparison;
  const auto put = [&figures](const char* name, auto value) {
    figures.push_back({name, static_cast<double>(value)});
  };
  for (const auto& [prefix, arm] :
       {std::pair<std::string, const ArmTotals&>{"canary_", gathered.canary},
        std::pair<std::string, const ArmTotals&>{"baseline_", gathered.baseline}}) {
    put((prefix + "clusters").c_str(), arm.clusters);
    put((prefix + "requests").c_str(), arm.requests);
    if (rule.kind != Kind::rate) continue;
    put((prefix + "failures").c_str(), arm.failures);
    if (arm.requests > 0) put((prefix + "rate").c_str(), rate(arm));
  }
  if (rule.kind == Kind::latency) {
    const double quantile = rule.comparison.quantile;
    if (gathered.canary_latency.total() > 0) {
      put("canary_us", quantile_us(gathered.canary_latency, quantile));
    }
    if (gathered.baseline_latency.total() > 0) {
      put("baseline_us", quantile_us(gathered.baseline_latency, quantile));
    }
  }
  put("pairs", gathered.pairs);
  put("left_out", gathered.left_out);
  put("not_comparable", gathered.not_comparable);
  put("canary_age_s", std::chrono::duration<double>(gathered.canary_age).count());
  put("baseline_age_s", std::chrono::duration<double>(gathered.baseline_age).count());
  const auto put_e = [&put](const char* name, double log_e) {
    put(name, std::exp(std::min(log_e, 600.0)));
  };
  put_e("worse_e_value", gathered.max_log_worse);
  put("worse_e_value_needed", 1 / rule.comparison.alpha);
  put_e("acceptable_e_value", gathered.max_log_acceptable);
  put("acceptable_e_value_needed", 1 / rule.comparison.good_alpha);
  if (state.late) put_e("late_e_value", state.late->max_log_worse);
}

}  // namespace

bool has_minimum(const Rule& rule, const State& state, milliseconds now) {
  const ComparisonRule& comparison = rule.comparison;
  const auto [canary, baseline] = counted(state);
  return std::min(canary.clusters, baseline.clusters) >= comparison.minimum_clusters &&
         std::min(canary.requests, baseline.requests) >= comparison.minimum_requests &&
         now - state.begun >= comparison.minimum_time;
}

void explain(const Rule& rule, const State& state, milliseconds now, Verdict& verdict) {
  verdict.figures.push_back({"observations", static_cast<double>(state.observations)});
  if (state.observations == 0) {
    verdict.explanation = fmt::format("{}: nothing was observed so far", rule.name);
  } else if (rule.kind == Kind::threshold) {
    verdict.explanation = threshold_text(rule, state, now, verdict.outcome);
  } else {
    verdict.explanation = comparison_text(rule, state, now, verdict.outcome);
  }
  if (rule.kind == Kind::threshold) {
    threshold_figures(rule, state, verdict.figures);
  } else {
    comparison_figures(rule, state, verdict.figures);
  }
  if (state.late) {
    verdict.figures.push_back(
        {"late_watch_s", std::chrono::duration<double>(now - state.late->since).count()});
  }
  if (verdict.is_overdue) {
    verdict.explanation +=
        fmt::format("; open for longer than {}: somebody has to decide", spoken(rule.wait_limit));
  }
}

}  // namespace segue::analysis
