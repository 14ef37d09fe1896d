// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <utility>

#include "prometheus/query.h"

namespace segue::prometheus {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kMaxSeconds = 1e6;

using Labels = std::map<std::string, std::string>;
using Buckets = std::map<double, double>;  // by their upper bound in seconds, cumulative
using Histograms = std::map<Labels, Buckets>;

Result<double> bound_of(const Sample& sample) {
  const auto label = sample.labels.find("le");
  if (label == sample.labels.end()) {
    return fail(ErrorCode::failed_precondition,
                "a sample has no label 'le': ask for the buckets of a histogram, as in sum by (le, "
                "host) (increase(request_seconds_bucket[1m]))");
  }
  const std::string& text = label->second;
  if (text == "+Inf" || text == "Inf") return kInfinity;
  double bound = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), bound);
  if (problem == std::errc() && end == text.data() + text.size() && std::isfinite(bound)) {
    return bound;
  }
  return fail(ErrorCode::failed_precondition, "a label 'le' is '{}', which is no number",
              text.substr(0, 40));
}

Result<Histograms> histograms_of(const Answer& answer) {
  if (!answer.warnings.empty()) {
    return fail(ErrorCode::failed_precondition, "Prometheus warns: {}", answer.warnings.front());
  }
  Histograms histograms;
  for (const Sample& sample : answer.samples) {
    SEGUE_ASSIGN(const double bound, bound_of(sample));
    Labels labels = sample.labels;
    labels.erase("le");
    labels.erase("__name__");
    histograms[std::move(labels)][bound] = sample.value;
  }
  for (const auto& [labels, buckets] : histograms) {
    if (buckets.contains(kInfinity)) continue;
    return fail(ErrorCode::failed_precondition,
                "a histogram has no bucket without a bound, le=\"+Inf\": how many requests there "
                "were is not known");
  }
  if (histograms.size() > analysis::kMaxClustersPerArm) {
    return fail(ErrorCode::failed_precondition, "the query gives more than {} clusters",
                analysis::kMaxClustersPerArm);
  }
  return histograms;
}

// The bounds that each of them has, as far as they can be told apart.
Result<std::vector<double>> common_bounds(const Histograms& canary, const Histograms& baseline) {
  std::map<double, std::size_t> count;
  for (const auto* arm : {&canary, &baseline}) {
    for (const auto& [labels, buckets] : *arm) {
      for (const auto& [bound, requests] : buckets) ++count[bound];
    }
  }
  std::vector<double> bounds;
  analysis::Bucket last = 0;
  for (const auto& [bound, histograms] : count) {
    if (histograms < canary.size() + baseline.size() || bound <= 0 || bound > kMaxSeconds) continue;
    const analysis::Bucket bucket = analysis::bucket_from(std::round(bound * 1e6));
    if (bucket <= last || bucket + 1U == analysis::kBuckets) continue;
    last = bucket;
    bounds.push_back(bound);
  }
  if (bounds.empty() && !count.empty()) {
    return fail(ErrorCode::failed_precondition,
                "the histograms have no bucket's bound in common: let canary and baseline have the "
                "same buckets");
  }
  if (bounds.size() > analysis::kMaxLatencyEdges) {
    return fail(ErrorCode::failed_precondition, "the histograms have {} buckets, {} are possible",
                bounds.size(), analysis::kMaxLatencyEdges);
  }
  return bounds;
}

std::uint64_t whole(double number) {
  return static_cast<std::uint64_t>(
      std::clamp(std::round(number), 0.0, static_cast<double>(analysis::kMaxRequestsPerCluster)));
}

// increase() extrapolates each bucket by itself, so that rounded they may not ascend: then they do.
analysis::Cluster cluster_of(const Buckets& buckets, const std::vector<double>& bounds) {
  analysis::Cluster cluster;
  analysis::Bucket bucket = 0;
  const auto count_up_to = [&](double requests) {
    const std::uint64_t in_all = std::max(cluster.requests, whole(requests));
    if (in_all > cluster.requests) {
      cluster.latencies.push_back({bucket, in_all - cluster.requests});
    }
    cluster.requests = in_all;
  };
  for (const double bound : bounds) {
    count_up_to(buckets.at(bound));
    bucket = analysis::bucket_from(std::round(bound * 1e6));
  }
  count_up_to(buckets.at(kInfinity));
  return cluster;
}

std::vector<analysis::Cluster> clusters_of(const Histograms& arm,
                                           const std::vector<double>& bounds) {
  std::vector<analysis::Cluster> clusters;
  for (const auto& [labels, buckets] : arm) {
    const bool is_whole = std::ranges::all_of(
        buckets, [](const auto& bucket) { return std::isfinite(bucket.second); });
    if (!is_whole) continue;
    if (auto cluster = cluster_of(buckets, bounds); cluster.requests > 0) {
      clusters.push_back(std::move(cluster));
    }
  }
  return clusters;
}

}  // namespace

Result<analysis::Comparison> latency_comparison(const Answer& canary, const Answer& baseline) {
  SEGUE_ASSIGN(const Histograms of_canary, histograms_of(canary));
  SEGUE_ASSIGN(const Histograms of_baseline, histograms_of(baseline));
  SEGUE_ASSIGN(const auto bounds, common_bounds(of_canary, of_baseline));
  analysis::Comparison comparison;
  comparison.canary.clusters = clusters_of(of_canary, bounds);
  comparison.baseline.clusters = clusters_of(of_baseline, bounds);
  for (const double bound : bounds) {
    comparison.edges_us.push_back(static_cast<std::uint64_t>(std::round(bound * 1e6)));
  }
  return comparison;
}

}  // namespace segue::prometheus
