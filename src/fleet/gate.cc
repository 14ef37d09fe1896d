// SPDX-License-Identifier: Apache-2.0
#include "fleet/gate.h"

#include <algorithm>
#include <cmath>

#include "control/name.h"
#include "fleet/words.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using std::chrono::milliseconds;

constexpr Words<GateKind, 5> kKinds = {{{GateKind::handoff, "handoff"},
                                        {GateKind::health, "health"},
                                        {GateKind::query, "query"},
                                        {GateKind::compare, "compare"},
                                        {GateKind::latency, "latency"}}};
constexpr Words<GateSide, 2> kSides = {{{GateSide::above, "above"}, {GateSide::below, "below"}}};
constexpr Words<GatePass, 2> kPasses = {
    {{GatePass::shown, "shown"}, {GatePass::unrefuted, "unrefuted"}}};

constexpr milliseconds kMaxTime = std::chrono::hours(24);
constexpr std::uint32_t kMaxInRow = 1'000;
constexpr std::uint32_t kWhole = 1'000'000;
constexpr std::uint64_t kMaxMinimum = std::uint64_t{1} << 40;
constexpr std::string_view kOpen = "{{";
constexpr std::string_view kClose = "}}";

template <class... Args>
Result<void> wrong(std::string_view field, fmt::format_string<Args...> format, Args&&... args) {
  return fail(ErrorCode::invalid_argument, "{}: {}", field,
              fmt::format(format, std::forward<Args>(args)...));
}

Result<void> check_query(std::string_view field, const std::string& query) {
  if (query.empty() || query.size() > Gate::kMaxQueryBytes) {
    return wrong(field, "a query in PromQL of 1 to {} bytes is needed", Gate::kMaxQueryBytes);
  }
  const auto is_control = [](char c) { return c >= 0 && c < ' ' && c != '\n' && c != '\t'; };
  if (std::ranges::any_of(query, is_control)) return wrong(field, "it holds a control character");
  const auto filled = query_of(query, {"1", "1"});
  return filled ? Result<void>() : wrong(field, "{}", filled.error().message());
}

Result<void> check_between(std::string_view field, std::uint64_t value, std::uint64_t min,
                           std::uint64_t max) {
  return value >= min && value <= max ? Result<void>()
                                      : wrong(field, "{} is not {} to {}", value, min, max);
}

Result<void> check_time(std::string_view field, milliseconds time, milliseconds least) {
  if (time >= least && time <= kMaxTime) return {};
  return wrong(field, "a time of {} ms to a day is needed", least.count());
}

Result<void> check_rates(const Gate& gate) {
  SEGUE_TRY(check_query("canary.requests", gate.canary.requests));
  SEGUE_TRY(check_query("canary.failures", gate.canary.failures));
  SEGUE_TRY(check_query("baseline.requests", gate.baseline.requests));
  SEGUE_TRY(check_query("baseline.failures", gate.baseline.failures));
  SEGUE_TRY(check_between("tolerance", gate.tolerance_ppm, 0, kWhole));
  SEGUE_TRY(check_between("margin", gate.margin_ppm, 0, kWhole));
  SEGUE_TRY(check_between("absolute_tolerance", gate.absolute_tolerance_ppm, 0, kWhole / 2));
  SEGUE_TRY(check_between("absolute_margin", gate.absolute_margin_ppm, 0, kWhole / 2));
  if (gate.absolute_margin_ppm < gate.absolute_tolerance_ppm) {
    return wrong("absolute_margin", "it has to be no less than the absolute tolerance");
  }
  return {};
}

Result<void> check_latencies(const Gate& gate) {
  SEGUE_TRY(check_query("canary.buckets", gate.canary.buckets));
  SEGUE_TRY(check_query("baseline.buckets", gate.baseline.buckets));
  SEGUE_TRY(check_between("quantile", gate.quantile_ppm, kWhole / 100, kWhole - 1));
  SEGUE_TRY(check_between("tolerance", gate.tolerance_ppm, 0, Gate::kMaxSlowerPpm));
  return check_between("margin", gate.margin_ppm, 0, Gate::kMaxSlowerPpm);
}

Result<void> check_comparison(const Gate& gate) {
  SEGUE_TRY(gate.kind == GateKind::compare ? check_rates(gate) : check_latencies(gate));
  SEGUE_TRY(check_between("alpha", gate.alpha_ppm, 1, kWhole / 2 - 1));
  SEGUE_TRY(check_between("good_alpha", gate.good_alpha_ppm, 1, kWhole / 2 - 1));
  if (gate.margin_ppm < gate.tolerance_ppm) {
    return wrong("margin", "it has to be no less than the tolerance");
  }
  if (gate.pass == GatePass::shown && gate.margin_ppm == 0 && gate.absolute_margin_ppm == 0) {
    return wrong("margin", "without one nothing can be shown; 'pass: unrefuted' needs none");
  }
  SEGUE_TRY(check_between("minimum_clusters", gate.minimum_clusters, 1, kMaxMinimum));
  SEGUE_TRY(check_between("minimum_requests", gate.minimum_requests, 1, kMaxMinimum));
  SEGUE_TRY(check_between("cluster_cap", gate.cluster_cap, 1, kWhole));
  SEGUE_TRY(check_time("minimum_time", gate.minimum_time, milliseconds(0)));
  return check_time("warm_up", gate.warm_up, milliseconds(0));
}

Result<void> check_prometheus(const std::string& url) {
  if (url.size() <= Gate::kMaxQueryBytes &&
      (url.starts_with("http://") || url.starts_with("https://"))) {
    return {};
  }
  return wrong("prometheus", "the address of a Prometheus server is needed, as {}",
               "http://127.0.0.1:9090");
}

// Within a string of PromQL, in either kind of quotes.
std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out;
}

}  // namespace

std::string_view to_string(GateKind kind) {
  return word_of(kKinds, kind);
}
std::optional<GateKind> gate_kind_of(std::string_view word) {
  return value_of(kKinds, word);
}
std::string_view to_string(GateSide side) {
  return word_of(kSides, side);
}
std::optional<GateSide> gate_side_of(std::string_view word) {
  return value_of(kSides, word);
}
std::string_view to_string(GatePass pass) {
  return word_of(kPasses, pass);
}
std::optional<GatePass> gate_pass_of(std::string_view word) {
  return value_of(kPasses, word);
}

Gate usual_gate(GateKind kind) {
  Gate gate;
  gate.kind = kind;
  if (kind == GateKind::handoff || kind == GateKind::health) gate.every = std::chrono::seconds(5);
  if (kind == GateKind::compare || kind == GateKind::latency) gate.every = std::chrono::seconds(60);
  if (kind == GateKind::latency) {
    gate.tolerance_ppm = 50'000;
    gate.margin_ppm = 200'000;
    gate.absolute_margin_ppm = 0;
  }
  return gate;
}

Result<void> check(const Gate& gate) {
  if (const auto named = control::check_name(gate.name, "a gate"); !named) {
    return wrong("name", "{}", named.error().message());
  }
  SEGUE_TRY(check_time("every", gate.every, Gate::kMinEvery));
  if (gate.kind == GateKind::handoff) return {};
  if (gate.kind == GateKind::compare || gate.kind == GateKind::latency) {
    SEGUE_TRY(check_prometheus(gate.prometheus));
    return check_comparison(gate);
  }
  SEGUE_TRY(check_between("bad", gate.bad_in_row, 1, kMaxInRow));
  SEGUE_TRY(check_between("good", gate.good_in_row, 1, kMaxInRow));
  if (gate.kind == GateKind::health) return {};
  SEGUE_TRY(check_prometheus(gate.prometheus));
  SEGUE_TRY(check_query("query", gate.query));
  if (!std::isfinite(gate.limit)) return wrong("limit", "it is no number");
  return {};
}

Result<std::string> query_of(const std::string& text, const GateVersions& versions) {
  std::string query;
  std::size_t at = 0;
  while (true) {
    const std::size_t open = text.find(kOpen, at);
    query += text.substr(at, open == std::string::npos ? open : open - at);
    if (open == std::string::npos) return query;
    const std::size_t close = text.find(kClose, open);
    const std::string word = text.substr(
        open + kOpen.size(), close == std::string::npos ? close : close - open - kOpen.size());
    if (close != std::string::npos && word == "version") {
      query += escaped(versions.version);
    } else if (close != std::string::npos && word == "baseline_version") {
      query += escaped(versions.baseline_version);
    } else {
      return fail(ErrorCode::invalid_argument,
                  "'{{{{{}' is neither {{{{version}}}} nor {{{{baseline_version}}}}",
                  word.substr(0, 40));
    }
    at = close + kClose.size();
  }
}

}  // namespace segue::fleet
