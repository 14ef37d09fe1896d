// SPDX-License-Identifier: Apache-2.0
// Members of an engine's JSON: strict about those that are read, blind to the rest. Pure.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "runtime/container_spec.h"

namespace segue::runtime {

using Json = nlohmann::json;

// data_loss when it is not JSON, or not of this type.
base::Result<Json> parse_object(std::string_view text);
base::Result<Json> parse_list(std::string_view text);

// `name` of `object`: data_loss when it is of another type. A member that is missing or null is
// data_loss too, unless the function takes `missing` or returns an optional.
base::Result<std::string> text_of(const Json& object, const char* name);
base::Result<std::string> text_of(const Json& object, const char* name, std::string_view missing);
base::Result<std::int64_t> integer_of(const Json& object, const char* name);
base::Result<std::int64_t> integer_of(const Json& object, const char* name, std::int64_t missing);
base::Result<std::uint64_t> count_of(const Json& object, const char* name, std::uint64_t missing);
base::Result<bool> truth_of(const Json& object, const char* name);
base::Result<Json> object_of(const Json& object, const char* name);
// Empty when it is missing.
base::Result<Labels> labels_in(const Json& object, const char* name);
base::Result<std::vector<std::string>> texts_of(const Json& object, const char* name);

// RFC 3339, with fractions and any offset; the start of 1970 for what is earlier: engines say
// "never" as the year 1.
std::optional<base::RealTime> parse_time(std::string_view text);
base::Result<base::RealTime> time_of(const Json& object, const char* name);

}  // namespace segue::runtime
