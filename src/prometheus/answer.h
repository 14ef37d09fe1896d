// SPDX-License-Identifier: Apache-2.0
// What Prometheus answers to an instant query. Pure; its words come from whoever answers there.
// https://prometheus.io/docs/prometheus/latest/querying/api/
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace segue::prometheus {

inline constexpr std::size_t kMaxSamples = 10'000;
inline constexpr std::size_t kMaxLabels = 128;

struct Sample {
  std::map<std::string, std::string> labels;  // none: of a scalar
  double at_s = 0;                            // Unix time
  // May be NaN or infinite: that is what 0 / 0 and 1 / 0 give in a query.
  double value = 0;
};

struct Answer {
  bool is_scalar = false;
  std::vector<Sample> samples;        // of a vector, in its order; may be none
  std::vector<std::string> warnings;  // the answer may lack data; and infos
};

// invalid_argument: Prometheus refuses the query, with its words. unavailable: it could not answer
// it now. data_loss: not an answer of Prometheus. failed_precondition: the query gives a matrix or
// a string, which are not a value of one moment.
base::Result<Answer> parse_answer(std::string_view body);

// The one number of an answer. Nothing: no sample, or NaN, which is no data. failed_precondition:
// several samples, an infinite one, or warnings (what they leave out nobody knows).
base::Result<std::optional<double>> single_value(const Answer& answer);

}  // namespace segue::prometheus
