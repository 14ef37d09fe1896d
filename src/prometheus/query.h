// SPDX-License-Identifier: Apache-2.0
// Asks a Prometheus server for the values of one moment. Counters become rates in the query:
// docs/analysis.md has some for each kind of rule.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analysis/observation.h"
#include "base/error.h"
#include "base/time.h"
#include "fetch/http.h"
#include "prometheus/answer.h"

namespace segue::prometheus {

struct Source {
  std::string url;                  // of the server: "http://127.0.0.1:9090", or with a path
  std::vector<std::string> fields;  // more of the header: "Authorization: Bearer …"
};

inline constexpr std::uint64_t kMaxAnswerBytes = std::uint64_t{4} << 20;
inline constexpr std::size_t kMaxQueryBytes = 16 << 10;

// The address of a query of this moment.
std::string query_url(const std::string& base_url, const std::string& promql, base::Duration limit);

// GET /api/v1/query. Blocks for `limit` at most (deadline_exceeded). Errors are those of
// parse_answer(); not_found and unavailable: nobody answers there, or no Prometheus does.
base::Result<Answer> query(fetch::HttpClient& http, const Source& source, const std::string& promql,
                           base::Duration limit);

// Clusters of Kind::rate from two answers: one for each set of labels that `requests` has, with the
// failures of the same labels, or none. What is not above 0, or no number, is left out; increase()
// extrapolates, so that numbers are rounded, and failures are never more than requests.
// failed_precondition: warnings, or more clusters than an observation takes.
base::Result<std::vector<analysis::Cluster>> rate_clusters(const Answer& requests,
                                                           const Answer& failures);

// Both arms of Kind::latency from the cumulative buckets of classic histograms, in seconds: a
// cluster for each set of labels but for `le`, in the edges that all of them have. A cluster with a
// number that is none is left out, as is one without requests. failed_precondition: warnings, no
// `le`, no bucket without a bound, no edge in common, or more clusters or edges than an observation
// takes.
base::Result<analysis::Comparison> latency_comparison(const Answer& canary, const Answer& baseline);

}  // namespace segue::prometheus
