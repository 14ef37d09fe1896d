// SPDX-License-Identifier: Apache-2.0
#include "plan/document_fields.h"

#include <limits>
#include <utility>

#include "tuf/metadata.h"

namespace segue::plan {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Fields;
using tuf::Json;

Result<Instant> take_time(Fields& fields, const std::string& name) {
  SEGUE_ASSIGN(const std::string text, fields.string(name));
  return tuf::parse_time(text);
}

Result<seconds> take_seconds(Fields& fields, const std::string& name) {
  SEGUE_ASSIGN(const std::uint64_t number, fields.number(name, 0));
  if (number > std::numeric_limits<std::uint32_t>::max()) {
    return fail(ErrorCode::data_loss, "'{}' of {} is too large", name, fields.what());
  }
  return seconds(number);
}

Result<bool> take_truth(Fields& fields, const std::string& name) {
  SEGUE_ASSIGN(const auto truth, fields.boolean_if_any(name));
  if (truth) return *truth;
  return fail(ErrorCode::data_loss, "{} has no '{}'", fields.what(), name);
}

Result<Json> take_list(Fields& fields, const std::string& name, std::size_t max_size) {
  SEGUE_ASSIGN(Json list, fields.take(name));
  if (!list.is_array() || list.size() > max_size) {
    return fail(ErrorCode::data_loss, "'{}' of {} is not a list of at most {}", name, fields.what(),
                max_size);
  }
  return list;
}

Result<void> nothing_else(Fields fields) {
  const std::string what = fields.what();
  const Json rest = std::move(fields).rest();
  if (rest.empty()) return {};
  return fail(ErrorCode::data_loss, "{} has '{}', which nobody knows", what,
              rest.begin().key().substr(0, 40));
}

std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace segue::plan
