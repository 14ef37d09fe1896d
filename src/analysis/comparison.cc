// SPDX-License-Identifier: Apache-2.0
#include "analysis/comparison.h"

#include <algorithm>
#include <cmath>
#include <deque>

namespace segue::analysis {
namespace {

// Differences are measured in what they usually are; before the first, in this.
constexpr double kFirstSquare = 1e-3;
// The first edge of latency is set when so many requests lie beyond it, and one in any case.
constexpr double kFirstBeyond = 10;
constexpr double kFirstRequests = 200;

class Gathering {
 public:
  Gathering(const Rule& rule, State& state)
      : rule_(rule.comparison),
        is_latency_(rule.kind == Kind::latency),
        late_watch_(rule.late_watch),
        whole_(state),
        state_(state.comparison) {}

  void run(const Comparison& comparison) {
    drop_old();
    if (comparison.is_paired) drop_all();
    const auto& canary = comparison.canary.clusters;
    const auto& baseline = comparison.baseline.clusters;
    if (is_latency_ && !(canary.empty() && baseline.empty())) know_edges(comparison.edges_us);
    for (std::size_t place = 0; place < std::max(canary.size(), baseline.size()); ++place) {
      const Cluster* of_canary = place < canary.size() ? &canary[place] : nullptr;
      const Cluster* of_baseline = place < baseline.size() ? &baseline[place] : nullptr;
      const bool is_whole = of_canary != nullptr && of_baseline != nullptr &&
                            of_canary->requests > 0 && of_baseline->requests > 0;
      if (comparison.is_paired && !is_whole) continue;
      take(of_canary, of_baseline);
    }
    keep_rest();
  }

 private:
  // What a bet depends on is known before the pair: edges, the common rate, the usual difference.
  void take(const Cluster* of_canary, const Cluster* of_baseline) {
    if (is_latency_) update_edges();
    push(of_canary, canary_, true);
    push(of_baseline, baseline_, false);
    while (!canary_.empty() && !baseline_.empty()) {
      bet(canary_.front(), baseline_.front());
      canary_.pop_front();
      baseline_.pop_front();
    }
    if (of_canary != nullptr) add(*of_canary, state_.canary, state_.canary_latency);
    if (of_baseline != nullptr) add(*of_baseline, state_.baseline, state_.baseline_latency);
  }

  void drop_old() {
    auto& queue = state_.is_pending_canary ? canary_ : baseline_;
    for (const PendingCluster& cluster : state_.pending) {
      if (whole_.last_at - cluster.at <= rule_.pair_within) queue.push_back(cluster);
    }
    state_.left_out += state_.pending.size() - queue.size();
    state_.pending.clear();
  }

  void drop_all() {
    state_.left_out += canary_.size() + baseline_.size();
    canary_.clear();
    baseline_.clear();
  }

  // The latest are the likeliest to have seen what those to come will see.
  void keep_rest() {
    auto& queue = canary_.empty() ? baseline_ : canary_;
    while (queue.size() > kMaxPending) {
      queue.pop_front();
      ++state_.left_out;
    }
    state_.is_pending_canary = !canary_.empty();
    state_.pending.assign(queue.begin(), queue.end());
  }

  // What was counted between other edges says where the quantile is, and is not compared.
  void know_edges(const std::vector<std::uint64_t>& edges_us) {
    if (state_.edges_us == edges_us) return;
    state_.edges_us = edges_us;
    state_.edges.reset();
    state_.next_edges_at = 0;
    drop_all();
  }

  // At doubling numbers of requests, so that an edge is of use for a while, and settles.
  void update_edges() {
    const std::uint64_t seen = state_.baseline_latency.total();
    if (state_.next_edges_at == 0) {
      state_.next_edges_at = static_cast<std::uint64_t>(
          std::max(kFirstRequests, std::ceil(kFirstBeyond / (1 - rule_.quantile))));
    }
    if (seen < state_.next_edges_at) return;
    while (state_.next_edges_at <= seen) state_.next_edges_at *= 2;
    const Bucket baseline = state_.baseline_latency.quantile(rule_.quantile);
    if (!state_.edges_us.empty()) return set_edges(known_edges(baseline));
    const auto edge_us = static_cast<double>(lower_edge_us(baseline));
    set_edges(Edges{
        .baseline = baseline,
        .worse = bucket_from(edge_us * (1 + rule_.tolerance)),
        // Down to an edge: less is allowed than the margin says, never more.
        .acceptable = bucket_of(static_cast<std::uint64_t>(edge_us * (1 + rule_.margin))),
    });
  }

  [[nodiscard]] std::optional<Edges> known_edges(Bucket baseline) const {
    const Resolution resolution = resolution_of(rule_, state_.edges_us, baseline);
    if (resolution.baseline_us == 0) return std::nullopt;
    const auto bucket = [](std::uint64_t us) { return bucket_from(static_cast<double>(us)); };
    return Edges{.baseline = bucket(resolution.baseline_us),
                 .worse = resolution.worse_us == 0 ? static_cast<Bucket>(kBuckets - 1)
                                                   : bucket(resolution.worse_us),
                 .acceptable = bucket(resolution.acceptable_us)};
  }

  void set_edges(const std::optional<Edges>& edges) {
    if (state_.edges == edges) return;
    state_.edges = edges;
    drop_all();
  }

  static double share_from(const Cluster& cluster, Bucket edge) {
    std::uint64_t slower = 0;
    for (const BucketCount& count : cluster.latencies) {
      if (count.bucket >= edge) slower += count.requests;
    }
    return static_cast<double>(slower) / static_cast<double>(cluster.requests);
  }

  void push(const Cluster* cluster, std::deque<PendingCluster>& queue, bool is_canary) {
    if (cluster == nullptr || cluster->requests == 0) return;
    if (is_latency_ && !state_.edges) return;
    PendingCluster summary;
    summary.at = whole_.last_at;
    summary.weight =
        static_cast<double>(std::min<std::uint64_t>(cluster->requests, rule_.cluster_cap)) /
        rule_.cluster_cap;
    if (is_latency_) {
      const Edges& edges = *state_.edges;
      summary.events =
          summary.weight * share_from(*cluster, is_canary ? edges.worse : edges.baseline);
      summary.acceptable_events =
          summary.weight * share_from(*cluster, is_canary ? edges.acceptable : edges.baseline);
    } else {
      summary.events = summary.weight * static_cast<double>(cluster->failures) /
                       static_cast<double>(cluster->requests);
      summary.acceptable_events = summary.events;
    }
    queue.push_back(summary);
  }

  void bet(const PendingCluster& canary, const PendingCluster& baseline) {
    const double tolerance = is_latency_ ? 0 : rule_.tolerance;  // it is in the edge
    const double margin = is_latency_ ? 0 : rule_.margin;
    const double rate = state_.weight > 0 ? state_.events / state_.weight : 0;
    const double plain =
        (canary.events - rate * canary.weight) - (baseline.events - rate * baseline.weight);
    const double worse =
        plain - tolerance * baseline.events - rule_.absolute_tolerance * baseline.weight;
    const double usual =
        std::sqrt((kFirstSquare + state_.squares) / (1 + static_cast<double>(state_.pairs)));
    state_.worse.bet(worse / usual);
    state_.max_log_worse = std::max(state_.max_log_worse, state_.worse.log_e());
    if (whole_.late) bet_late(worse / usual);

    state_.acceptable.bet((1 + margin) * baseline.acceptable_events * canary.weight +
                          rule_.absolute_margin * baseline.weight * canary.weight -
                          canary.acceptable_events * baseline.weight);
    state_.max_log_acceptable = std::max(state_.max_log_acceptable, state_.acceptable.log_e());

    ++state_.pairs;
    state_.weight += canary.weight + baseline.weight;
    state_.events += canary.events + baseline.events;
    state_.squares += plain * plain;
  }

  // Those that have started, the others still have the 1 that they start with.
  void bet_late(double difference) {
    LateWatch& late = *whole_.late;
    std::array<double, kLateStarts> logs{};
    for (std::size_t start = 0; start < kLateStarts; ++start) {
      const auto begin = late.since + late_watch_ * static_cast<int>(start) / kLateStarts;
      if (whole_.last_at >= begin) late.worse.at(start).bet(difference);
      logs.at(start) = late.worse.at(start).log_e();
    }
    late.max_log_worse = std::max(late.max_log_worse, log_mean_exp(logs.data(), logs.size()));
    ++late.pairs;
  }

  void add(const Cluster& cluster, ArmTotals& totals, Histogram& latency) const {
    if (cluster.requests == 0) return;
    ++totals.clusters;
    totals.requests += cluster.requests;
    totals.failures += cluster.failures;
    if (!is_latency_) return;
    for (const BucketCount& count : cluster.latencies) latency.add(count.bucket, count.requests);
  }

  const ComparisonRule& rule_;
  const bool is_latency_;
  const milliseconds late_watch_;
  State& whole_;
  ComparisonState& state_;
  std::deque<PendingCluster> canary_;
  std::deque<PendingCluster> baseline_;
};

}  // namespace

bool is_comparable(const ComparisonRule& rule, milliseconds canary_age, milliseconds baseline_age) {
  const auto [younger, older] = std::minmax(canary_age, baseline_age);
  if (younger < rule.warm_up) return false;
  constexpr milliseconds kLeast = std::chrono::seconds(1);
  return static_cast<double>(std::max(older, kLeast).count()) <=
         rule.max_age_ratio * static_cast<double>(std::max(younger, kLeast).count());
}

void gather(const Rule& rule, State& state, const Comparison& comparison) {
  ComparisonState& gathered = state.comparison;
  gathered.canary_age = comparison.canary.age;
  gathered.baseline_age = comparison.baseline.age;
  gathered.is_last_comparable =
      is_comparable(rule.comparison, comparison.canary.age, comparison.baseline.age);
  if (!gathered.is_last_comparable) {
    ++gathered.not_comparable;
    return;
  }
  Gathering(rule, state).run(comparison);
}

Resolution resolution_of(const ComparisonRule& rule, const std::vector<std::uint64_t>& edges_us,
                         Bucket baseline) {
  Resolution resolution;
  for (const std::uint64_t edge_us : edges_us) {
    if (resolution.baseline_us == 0) {
      if (bucket_from(static_cast<double>(edge_us)) < baseline) continue;
      resolution.baseline_us = resolution.acceptable_us = edge_us;
    } else if (resolution.finer_us == 0) {
      resolution.finer_us = edge_us;
    }
    const double ratio = static_cast<double>(edge_us) / static_cast<double>(resolution.baseline_us);
    if (resolution.worse_us == 0 && ratio >= 1 + rule.tolerance) resolution.worse_us = edge_us;
    if (ratio <= 1 + rule.margin) resolution.acceptable_us = edge_us;
  }
  return resolution;
}

std::uint64_t quantile_us(const Histogram& histogram, double quantile) {
  return lower_edge_us(histogram.quantile(quantile));
}

}  // namespace segue::analysis
