// SPDX-License-Identifier: Apache-2.0
#include "analysis/state.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "analysis/json_object.h"
#include "analysis/observation.h"

namespace segue::analysis {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint64_t kFormat = 1;
constexpr std::uint64_t kMaxCount = std::uint64_t{1} << 60;
constexpr double kMaxNumber = 1e300;
constexpr double kLargest = std::numeric_limits<double>::max();
// Of a pair, a bet wins at most a factor of 2.
constexpr double kMaxGain = 0.6931471806;

std::int64_t in_ms(milliseconds time) {
  return time.count();
}

Result<milliseconds> take_time(JsonObject& object, const char* name) {
  constexpr auto kMost = static_cast<double>(kLatestTime.count());
  SEGUE_ASSIGN(const double count, object.number(name, -kMost, kMost));
  return milliseconds(static_cast<std::int64_t>(count));
}

Json json_of(const ThresholdState& state) {
  return {{"values", state.values},
          {"missing", state.missing},
          {"last", state.last},
          {"worst", state.worst},
          {"bad_row", state.bad_row},
          {"bad_since_ms", in_ms(state.bad_since)},
          {"good_row", state.good_row},
          {"good_since_ms", in_ms(state.good_since)},
          {"last_value_at_ms", in_ms(state.last_value_at)},
          {"is_bad", state.is_bad}};
}

Result<ThresholdState> threshold_of(JsonObject object) {
  ThresholdState state;
  SEGUE_ASSIGN(state.values, object.count("values", kMaxCount));
  SEGUE_ASSIGN(state.missing, object.count("missing", kMaxCount));
  SEGUE_ASSIGN(state.last, object.number("last", -kLargest, kLargest));
  SEGUE_ASSIGN(state.worst, object.number("worst", -kLargest, kLargest));
  SEGUE_ASSIGN(state.bad_row, object.count("bad_row", state.values));
  SEGUE_ASSIGN(state.bad_since, take_time(object, "bad_since_ms"));
  SEGUE_ASSIGN(state.good_row, object.count("good_row", state.values));
  SEGUE_ASSIGN(state.good_since, take_time(object, "good_since_ms"));
  SEGUE_ASSIGN(state.last_value_at, take_time(object, "last_value_at_ms"));
  SEGUE_ASSIGN(state.is_bad, object.truth("is_bad"));
  SEGUE_TRY(object.end());
  return state;
}

Json json_of(const ArmTotals& arm) {
  return {{"clusters", arm.clusters}, {"requests", arm.requests}, {"failures", arm.failures}};
}

Result<ArmTotals> arm_of(JsonObject& parent, const char* name) {
  SEGUE_ASSIGN(JsonObject object, parent.object(name));
  ArmTotals arm;
  SEGUE_ASSIGN(arm.requests, object.count("requests", kMaxCount));
  SEGUE_ASSIGN(arm.clusters, object.count("clusters", arm.requests));
  SEGUE_ASSIGN(arm.failures, object.count("failures", arm.requests));
  SEGUE_TRY(object.end());
  return arm;
}

Json json_of(const Histogram& histogram) {
  Json list = Json::array();
  for (const BucketCount& count : histogram.counts()) {
    list.push_back({count.bucket, count.requests});
  }
  return list;
}

Result<Histogram> histogram_of(JsonObject& parent, const char* name, std::uint64_t requests) {
  SEGUE_ASSIGN(const Json list, parent.take(name));
  const auto damaged = [&] { return fail(ErrorCode::data_loss, "'{}' is no histogram", name); };
  if (!list.is_array() || list.size() > kBuckets) return damaged();
  Histogram histogram;
  int last = -1;
  for (const Json& entry : list) {
    const bool is_pair = entry.is_array() && entry.size() == 2 && entry[0].is_number_unsigned() &&
                         entry[1].is_number_unsigned();
    if (!is_pair) return damaged();
    const auto bucket = entry[0].get<std::uint64_t>();
    const auto count = entry[1].get<std::uint64_t>();
    if (bucket >= kBuckets || static_cast<int>(bucket) <= last || count == 0 || count > kMaxCount) {
      return damaged();
    }
    last = static_cast<int>(bucket);
    histogram.add(static_cast<Bucket>(bucket), count);
  }
  if (histogram.total() != 0 && histogram.total() != requests) return damaged();
  return histogram;
}

// That nobody won more than `pairs` fair bets allow.
template <std::size_t size>
Result<void> take_wealth(JsonObject& object, const char* name, std::uint64_t pairs,
                         std::array<double, size>& wealth) {
  const double most = kMaxGain * static_cast<double>(pairs) * (1 + 1e-9);
  SEGUE_ASSIGN(const auto numbers, object.numbers(name, size, -kMaxNumber, most));
  std::ranges::copy(numbers, wealth.begin());
  return {};
}

Json json_of(const ComparisonState& state) {
  Json pending = Json::array();
  for (const PendingCluster& cluster : state.pending) {
    pending.push_back({{"at_ms", in_ms(cluster.at)},
                       {"weight", cluster.weight},
                       {"events", cluster.events},
                       {"acceptable_events", cluster.acceptable_events}});
  }
  Json edges;
  if (state.edges) {
    edges = {{"baseline", state.edges->baseline},
             {"worse", state.edges->worse},
             {"acceptable", state.edges->acceptable}};
  }
  Json json = {{"canary", json_of(state.canary)},
               {"baseline", json_of(state.baseline)},
               {"pairs", state.pairs},
               {"left_out", state.left_out},
               {"not_comparable", state.not_comparable},
               {"is_last_comparable", state.is_last_comparable},
               {"canary_age_ms", in_ms(state.canary_age)},
               {"baseline_age_ms", in_ms(state.baseline_age)},
               {"weight", state.weight},
               {"events", state.events},
               {"squares", state.squares},
               {"worse", state.worse.log_wealth},
               {"max_log_worse", state.max_log_worse},
               {"acceptable", state.acceptable.log_wealth},
               {"max_log_acceptable", state.max_log_acceptable},
               {"is_pending_canary", state.is_pending_canary},
               {"pending", std::move(pending)},
               {"canary_latency", json_of(state.canary_latency)},
               {"baseline_latency", json_of(state.baseline_latency)},
               {"edges", std::move(edges)},
               {"next_edges_at", state.next_edges_at}};
  if (!state.edges_us.empty()) json["edges_us"] = state.edges_us;
  return json;
}

Result<void> take_edges_us(JsonObject& object, ComparisonState& state) {
  if (!object.has("edges_us")) return {};
  SEGUE_ASSIGN(const Json list, object.take("edges_us"));
  const auto damaged = [] {
    return fail(ErrorCode::data_loss, "'edges_us' are not up to {} latencies", kMaxLatencyEdges);
  };
  if (!list.is_array() || list.size() > kMaxLatencyEdges) return damaged();
  for (const Json& edge : list) {
    if (!edge.is_number_unsigned()) return damaged();
    state.edges_us.push_back(edge.get<std::uint64_t>());
  }
  return check_edges(state.edges_us) ? Result<void>() : damaged();
}

Result<void> take_pending(JsonObject& object, ComparisonState& state) {
  SEGUE_ASSIGN(const Json pending, object.take("pending"));
  if (!pending.is_array() || pending.size() > kMaxPending) {
    return fail(ErrorCode::data_loss, "'pending' is not a list of at most {}", kMaxPending);
  }
  for (const Json& entry : pending) {
    SEGUE_ASSIGN(JsonObject inner, JsonObject::of(entry, "an entry of 'pending'"));
    PendingCluster cluster;
    SEGUE_ASSIGN(cluster.at, take_time(inner, "at_ms"));
    SEGUE_ASSIGN(cluster.weight, inner.number("weight", 0, 1));
    SEGUE_ASSIGN(cluster.events, inner.number("events", 0, cluster.weight));
    SEGUE_ASSIGN(cluster.acceptable_events, inner.number("acceptable_events", 0, cluster.weight));
    SEGUE_TRY(inner.end());
    state.pending.push_back(cluster);
  }
  return {};
}

Result<void> take_edges(JsonObject& object, ComparisonState& state) {
  SEGUE_ASSIGN(Json edges, object.take("edges"));
  if (edges.is_null()) return {};
  SEGUE_ASSIGN(JsonObject inner, JsonObject::of(std::move(edges), "'edges'"));
  SEGUE_ASSIGN(const std::uint64_t baseline, inner.count("baseline", kBuckets - 1));
  SEGUE_ASSIGN(const std::uint64_t worse, inner.count("worse", kBuckets - 1));
  SEGUE_ASSIGN(const std::uint64_t acceptable, inner.count("acceptable", kBuckets - 1));
  SEGUE_TRY(inner.end());
  if (worse < baseline || acceptable < baseline) {
    return fail(ErrorCode::data_loss, "'edges' do not ascend");
  }
  state.edges = {.baseline = static_cast<Bucket>(baseline),
                 .worse = static_cast<Bucket>(worse),
                 .acceptable = static_cast<Bucket>(acceptable)};
  return {};
}

Result<ComparisonState> comparison_of(JsonObject object) {
  ComparisonState state;
  SEGUE_ASSIGN(state.canary, arm_of(object, "canary"));
  SEGUE_ASSIGN(state.baseline, arm_of(object, "baseline"));
  SEGUE_ASSIGN(state.pairs,
               object.count("pairs", std::min(state.canary.clusters, state.baseline.clusters)));
  SEGUE_ASSIGN(state.left_out, object.count("left_out", kMaxCount));
  SEGUE_ASSIGN(state.not_comparable, object.count("not_comparable", kMaxCount));
  SEGUE_ASSIGN(state.is_last_comparable, object.truth("is_last_comparable"));
  SEGUE_ASSIGN(state.canary_age, take_time(object, "canary_age_ms"));
  SEGUE_ASSIGN(state.baseline_age, take_time(object, "baseline_age_ms"));
  const double pairs = static_cast<double>(state.pairs) * (1 + 1e-9);
  SEGUE_ASSIGN(state.weight, object.number("weight", 0, 2 * pairs));
  SEGUE_ASSIGN(state.events, object.number("events", 0, state.weight));
  SEGUE_ASSIGN(state.squares, object.number("squares", 0, 4 * pairs));
  SEGUE_TRY(take_wealth(object, "worse", state.pairs, state.worse.log_wealth));
  SEGUE_ASSIGN(state.max_log_worse, object.number("max_log_worse", 0, kMaxGain * pairs));
  SEGUE_TRY(take_wealth(object, "acceptable", state.pairs * 4, state.acceptable.log_wealth));
  SEGUE_ASSIGN(state.max_log_acceptable,
               object.number("max_log_acceptable", 0, 4 * kMaxGain * pairs));
  SEGUE_ASSIGN(state.is_pending_canary, object.truth("is_pending_canary"));
  SEGUE_TRY(take_pending(object, state));
  SEGUE_ASSIGN(state.canary_latency, histogram_of(object, "canary_latency", state.canary.requests));
  SEGUE_ASSIGN(state.baseline_latency,
               histogram_of(object, "baseline_latency", state.baseline.requests));
  SEGUE_TRY(take_edges(object, state));
  SEGUE_TRY(take_edges_us(object, state));
  SEGUE_ASSIGN(state.next_edges_at, object.count("next_edges_at", kMaxCount * 2));
  SEGUE_TRY(object.end());
  return state;
}

Json json_of(const LateWatch& late) {
  Json worse = Json::array();
  for (const WorseEvidence& evidence : late.worse) worse.push_back(evidence.log_wealth);
  return {{"since_ms", in_ms(late.since)},
          {"canary", json_of(late.canary)},
          {"baseline", json_of(late.baseline)},
          {"values", late.values},
          {"pairs", late.pairs},
          {"worse", std::move(worse)},
          {"max_log_worse", late.max_log_worse}};
}

bool is_within(const ArmTotals& earlier, const ArmTotals& now) {
  return earlier.clusters <= now.clusters && earlier.requests <= now.requests &&
         earlier.failures <= now.failures;
}

Result<LateWatch> late_of(JsonObject object, const State& state) {
  LateWatch late;
  SEGUE_ASSIGN(late.since, take_time(object, "since_ms"));
  SEGUE_ASSIGN(late.canary, arm_of(object, "canary"));
  SEGUE_ASSIGN(late.baseline, arm_of(object, "baseline"));
  if (!is_within(late.canary, state.comparison.canary) ||
      !is_within(late.baseline, state.comparison.baseline)) {
    return fail(ErrorCode::data_loss, "the late watch began with more than there is now");
  }
  SEGUE_ASSIGN(late.values, object.count("values", state.threshold.values));
  SEGUE_ASSIGN(late.pairs, object.count("pairs", state.comparison.pairs));
  SEGUE_ASSIGN(const Json worse, object.take("worse"));
  if (!worse.is_array() || worse.size() != kLateStarts) {
    return fail(ErrorCode::data_loss, "the late watch has not {} starts", kLateStarts);
  }
  for (std::size_t start = 0; start < kLateStarts; ++start) {
    SEGUE_ASSIGN(JsonObject inner, JsonObject::of({{"wealth", worse[start]}}, "a late start"));
    SEGUE_TRY(take_wealth(inner, "wealth", late.pairs, late.worse.at(start).log_wealth));
  }
  SEGUE_ASSIGN(
      late.max_log_worse,
      object.number("max_log_worse", 0, kMaxGain * static_cast<double>(late.pairs) * (1 + 1e-9)));
  SEGUE_TRY(object.end());
  return late;
}

}  // namespace

std::string write_state(const State& state) {
  Json late;
  if (state.late) late = json_of(*state.late);
  return one_line({{"format", kFormat},
                   {"rule", state.rule},
                   {"begun_ms", in_ms(state.begun)},
                   {"last_at_ms", in_ms(state.last_at)},
                   {"observations", state.observations},
                   {"threshold", json_of(state.threshold)},
                   {"comparison", json_of(state.comparison)},
                   {"late", std::move(late)}});
}

Result<State> read_state(std::string_view json) {
  SEGUE_ASSIGN(JsonObject object, JsonObject::parse(json, "the state of an analysis"));
  SEGUE_ASSIGN(const std::uint64_t format, object.count("format", UINT32_MAX));
  if (format != kFormat) {
    return fail(ErrorCode::data_loss, "the state of an analysis has format {}; {} is known", format,
                kFormat);
  }
  State state;
  SEGUE_ASSIGN(state.rule, object.text("rule", 64));
  SEGUE_ASSIGN(state.begun, take_time(object, "begun_ms"));
  SEGUE_ASSIGN(state.last_at, take_time(object, "last_at_ms"));
  if (state.last_at < state.begun) {
    return fail(ErrorCode::data_loss, "the state of an analysis ends before it begins");
  }
  SEGUE_ASSIGN(state.observations, object.count("observations", kMaxCount));
  SEGUE_ASSIGN(JsonObject threshold, object.object("threshold"));
  SEGUE_ASSIGN(state.threshold, threshold_of(std::move(threshold)));
  SEGUE_ASSIGN(JsonObject comparison, object.object("comparison"));
  SEGUE_ASSIGN(state.comparison, comparison_of(std::move(comparison)));
  SEGUE_ASSIGN(Json late, object.take("late"));
  if (!late.is_null()) {
    SEGUE_ASSIGN(JsonObject inner, JsonObject::of(std::move(late), "the late watch"));
    SEGUE_ASSIGN(state.late, late_of(std::move(inner), state));
  }
  SEGUE_TRY(object.end());
  return state;
}

}  // namespace segue::analysis
