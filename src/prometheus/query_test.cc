// SPDX-License-Identifier: Apache-2.0
#include "prometheus/query.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace segue::prometheus {
namespace {

using base::ErrorCode;
using std::chrono::milliseconds;
using testing::HasSubstr;

TEST(QueryUrl, escapes_what_a_query_may_hold) {
  EXPECT_EQ(
      query_url("http://h:9090/prefix/", R"(sum(up{a="b c"}) / 2 > +1&x=%)", milliseconds(1500)),
      "http://h:9090/prefix/api/v1/query?query=sum%28up%7Ba%3D%22b%20c%22%7D%29%20%2F%202%20"
      "%3E%20%2B1%26x%3D%25&timeout=1500ms");
}

TEST(Query, refuses_what_cannot_be_asked) {
  fetch::HttpClient http;
  const auto code = [&](const Source& source, const std::string& promql, milliseconds limit) {
    return query(http, source, promql, limit).error().code();
  };
  const Source nobody{.url = "http://127.0.0.1:1", .fields = {}};
  EXPECT_EQ(code({.url = "file:///etc/passwd", .fields = {}}, "up", milliseconds(100)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code(nobody, "", milliseconds(100)), ErrorCode::invalid_argument);
  EXPECT_EQ(code(nobody, std::string(kMaxQueryBytes + 1, 'x'), milliseconds(100)),
            ErrorCode::invalid_argument);
  EXPECT_EQ(code(nobody, "up", milliseconds(0)), ErrorCode::deadline_exceeded);
  EXPECT_EQ(code(nobody, "up", milliseconds(10'000)), ErrorCode::unavailable);
}

Sample sample(const std::string& host, double value) {
  Sample made;
  made.labels = {{"host", host}};
  made.value = value;
  return made;
}

TEST(RateClusters, joins_requests_and_failures_by_their_labels) {
  Answer requests;
  requests.samples = {sample("a", 100.4), sample("b", 50), sample("c", 0.2),
                      sample("d", std::numeric_limits<double>::quiet_NaN()), sample("e", 3)};
  requests.samples[0].labels["__name__"] = "requests";
  Answer failures;
  failures.samples = {sample("a", 1.6), sample("e", 3.9), sample("f", 7)};
  const auto clusters = rate_clusters(requests, failures);
  ASSERT_TRUE(clusters.has_value());
  ASSERT_EQ(clusters->size(), 3U);
  EXPECT_EQ(clusters->at(0).requests, 100U);
  EXPECT_EQ(clusters->at(0).failures, 2U);
  EXPECT_EQ(clusters->at(1).failures, 0U);
  EXPECT_EQ(clusters->at(2).requests, 3U);
  EXPECT_EQ(clusters->at(2).failures, 3U);
  failures.warnings = {"partial"};
  EXPECT_THAT(rate_clusters(requests, failures).error().message(), HasSubstr("partial"));
}

TEST(RateClusters, takes_no_more_than_an_observation_does) {
  Answer requests;
  for (std::size_t host = 0; host <= analysis::kMaxClustersPerArm; ++host) {
    requests.samples.push_back(sample(std::to_string(host), 1));
  }
  EXPECT_EQ(rate_clusters(requests, {}).error().code(), ErrorCode::failed_precondition);
}

}  // namespace
}  // namespace segue::prometheus
