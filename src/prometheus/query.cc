// SPDX-License-Identifier: Apache-2.0
#include "prometheus/query.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

namespace segue::prometheus {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// RFC 3986, 2.3: what needs no escape.
bool is_unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_' || c == '.' || c == '~';
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (is_unreserved(c)) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

double whole(double number) {
  return std::clamp(std::round(number), 0.0, static_cast<double>(analysis::kMaxRequestsPerCluster));
}

// A name of a metric says what is counted, not of what.
std::map<std::string, std::string> identity(std::map<std::string, std::string> labels) {
  labels.erase("__name__");
  return labels;
}

}  // namespace

std::string query_url(const std::string& base_url, const std::string& promql,
                      base::Duration limit) {
  std::string base = base_url;
  while (base.ends_with('/')) base.pop_back();
  const auto limit_ms = std::chrono::ceil<std::chrono::milliseconds>(limit).count();
  return fmt::format("{}/api/v1/query?query={}&timeout={}ms", base, escaped(promql), limit_ms);
}

Result<Answer> query(fetch::HttpClient& http, const Source& source, const std::string& promql,
                     base::Duration limit) {
  if (!source.url.starts_with("http://") && !source.url.starts_with("https://")) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is no address of a Prometheus server: it begins "
                "with http:// or https://",
                source.url);
  }
  if (promql.empty() || promql.size() > kMaxQueryBytes) {
    return fail(ErrorCode::invalid_argument, "a query has 1 to {} bytes, this one {}",
                kMaxQueryBytes, promql.size());
  }
  if (limit < std::chrono::milliseconds(1)) {
    return fail(ErrorCode::deadline_exceeded, "no time is left to ask {}", source.url);
  }
  fetch::HttpRequest request;
  request.url = query_url(source.url, promql, limit);
  request.limits = {.max_bytes = kMaxAnswerBytes, .connect = limit, .total = limit, .stall = limit};
  request.fields = source.fields;
  // It says in the body what is wrong with a query: bad request, unprocessable, unavailable.
  request.body_statuses = {400, 422, 503};
  SEGUE_ASSIGN(const std::string body, http.get(request));
  auto answer = parse_answer(body);
  if (!answer) {
    return fail(std::move(answer).error().with(
        fmt::format("cannot ask {} for '{}'", source.url, promql.substr(0, 200))));
  }
  return answer;
}

Result<std::vector<analysis::Cluster>> rate_clusters(const Answer& requests,
                                                     const Answer& failures) {
  for (const Answer* answer : {&requests, &failures}) {
    if (answer->warnings.empty()) continue;
    return fail(ErrorCode::failed_precondition, "Prometheus warns: {}", answer->warnings.front());
  }
  std::map<std::map<std::string, std::string>, double> failed;
  for (const Sample& sample : failures.samples) {
    if (std::isfinite(sample.value)) failed[identity(sample.labels)] += sample.value;
  }
  std::vector<analysis::Cluster> clusters;
  for (const Sample& sample : requests.samples) {
    if (!std::isfinite(sample.value) || whole(sample.value) < 1) continue;
    if (clusters.size() == analysis::kMaxClustersPerArm) {
      return fail(ErrorCode::failed_precondition, "the query gives more than {} clusters",
                  analysis::kMaxClustersPerArm);
    }
    analysis::Cluster& cluster = clusters.emplace_back();
    cluster.requests = static_cast<std::uint64_t>(whole(sample.value));
    const auto found = failed.find(identity(sample.labels));
    if (found == failed.end()) continue;
    cluster.failures = std::min(cluster.requests, static_cast<std::uint64_t>(whole(found->second)));
  }
  return clusters;
}

}  // namespace segue::prometheus
