// SPDX-License-Identifier: Apache-2.0
#include "prometheus/answer.h"

#include <charconv>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <utility>

namespace segue::prometheus {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr int kMaxDepth = 8;
constexpr std::size_t kMaxWarnings = 64;
constexpr std::size_t kMaxTextBytes = 4096;

auto damaged(std::string_view what) {
  return fail(ErrorCode::data_loss, "this is no answer of Prometheus: {}", what);
}

// Nothing that nests deeper than an answer does.
Json parse_bounded(std::string_view body) {
  bool is_too_deep = false;
  const auto look = [&is_too_deep](int depth, Json::parse_event_t, Json&) {
    is_too_deep = is_too_deep || depth > kMaxDepth;
    return !is_too_deep;
  };
  Json json = Json::parse(body, look, false);
  if (is_too_deep) json = Json(Json::value_t::discarded);
  return json;
}

std::string cut(const std::string& text) {
  return text.substr(0, kMaxTextBytes);
}

const Json* member(const Json& object, const char* name) {
  const auto found = object.find(name);
  return found == object.end() ? nullptr : &*found;
}

std::string text_of(const Json& object, const char* name) {
  const Json* found = member(object, name);
  return found != nullptr && found->is_string() ? cut(found->get<std::string>()) : "";
}

// As Go's strconv.FormatFloat writes numbers.
Result<double> parse_number(const std::string& text) {
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
  if (text == "-Inf") return -std::numeric_limits<double>::infinity();
  double number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, problem] = std::from_chars(text.data(), end, number);
  if (problem != std::errc() || rest != end || !std::isfinite(number)) {
    return damaged("a value is not a number");
  }
  return number;
}

Result<void> take_point(const Json& point, Sample& sample) {
  if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_string()) {
    return damaged("a value is not [time, \"number\"]");
  }
  sample.at_s = point[0].get<double>();
  SEGUE_ASSIGN(sample.value, parse_number(point[1].get<std::string>()));
  return {};
}

Result<Sample> parse_sample(const Json& json) {
  Sample sample;
  if (!json.is_object()) return damaged("a sample is not an object");
  const Json* labels = member(json, "metric");
  const Json* point = member(json, "value");
  if (labels == nullptr || !labels->is_object() || labels->size() > kMaxLabels) {
    return damaged("a sample has no labels");
  }
  // Native histograms come as "histogram": they have no value.
  if (point == nullptr) {
    return fail(ErrorCode::failed_precondition,
                "a sample is a histogram: ask for histogram_quantile() or the like of it");
  }
  for (const auto& [name, value] : labels->items()) {
    if (!value.is_string()) return damaged("a label is not text");
    sample.labels.emplace(name, value.get<std::string>());
  }
  SEGUE_TRY(take_point(*point, sample));
  return sample;
}

Result<void> take_warnings(const Json& json, const char* name, Answer& answer) {
  const Json* list = member(json, name);
  if (list == nullptr || list->is_null()) return {};
  if (!list->is_array() || list->size() > kMaxWarnings) return damaged("its warnings are no list");
  for (const Json& warning : *list) {
    if (!warning.is_string()) return damaged("a warning is not text");
    answer.warnings.push_back(cut(warning.get<std::string>()));
  }
  return {};
}

Result<Answer> refusal(const Json& json) {
  const std::string type = text_of(json, "errorType");
  const std::string message = text_of(json, "error");
  if (type.empty() || message.empty()) return damaged("an error without a type or words");
  // bad_data: the query's words; execution: what they ask for cannot be done.
  const bool is_query = type == "bad_data" || type == "execution";
  return fail(is_query ? ErrorCode::invalid_argument : ErrorCode::unavailable,
              "Prometheus says {}: {}", type, message);
}

}  // namespace

Result<Answer> parse_answer(std::string_view body) {
  const Json json = parse_bounded(body);
  if (!json.is_object()) return damaged("no JSON object");
  const std::string status = text_of(json, "status");
  if (status == "error") return refusal(json);
  if (status != "success") return damaged("its status is neither success nor error");
  const Json* data = member(json, "data");
  if (data == nullptr || !data->is_object()) return damaged("it has no data");
  const std::string type = text_of(*data, "resultType");
  const Json* result = member(*data, "result");
  if (result == nullptr) return damaged("it has no result");
  Answer answer;
  SEGUE_TRY(take_warnings(json, "warnings", answer));
  if (type == "scalar") {
    answer.is_scalar = true;
    SEGUE_TRY(take_point(*result, answer.samples.emplace_back()));
    return answer;
  }
  if (type == "matrix" || type == "string") {
    return fail(ErrorCode::failed_precondition,
                "the query gives a {}: a rule needs a scalar or an instant vector", type);
  }
  if (type != "vector") return damaged("its result is of no known type");
  if (!result->is_array()) return damaged("its vector is no list");
  if (result->size() > kMaxSamples) {
    return fail(ErrorCode::failed_precondition, "the query gives {} samples, {} are possible",
                result->size(), kMaxSamples);
  }
  for (const Json& sample : *result) {
    SEGUE_ASSIGN(Sample parsed, parse_sample(sample));
    answer.samples.push_back(std::move(parsed));
  }
  return answer;
}

Result<std::optional<double>> single_value(const Answer& answer) {
  if (!answer.warnings.empty()) {
    return fail(ErrorCode::failed_precondition, "Prometheus warns: {}", answer.warnings.front());
  }
  if (answer.samples.empty()) return std::nullopt;
  if (answer.samples.size() > 1) {
    return fail(ErrorCode::failed_precondition,
                "the query gives {} samples: let it give one, with sum() or the like of it",
                answer.samples.size());
  }
  const double value = answer.samples.front().value;
  if (std::isnan(value)) return std::nullopt;
  if (std::isinf(value)) {
    return fail(ErrorCode::failed_precondition, "the query gives an infinite value");
  }
  return value;
}

}  // namespace segue::prometheus
