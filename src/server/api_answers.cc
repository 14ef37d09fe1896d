// SPDX-License-Identifier: Apache-2.0
#include "server/api_answers.h"

#include <charconv>
#include <nlohmann/json.hpp>

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

unsigned status_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
    case ErrorCode::data_loss:
      return 400;
    case ErrorCode::permission_denied:
      return 403;
    case ErrorCode::not_found:
      return 404;
    case ErrorCode::already_exists:
    case ErrorCode::failed_precondition:
    case ErrorCode::aborted:
      return 409;
    case ErrorCode::resource_exhausted:
      return 429;
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded:
      return 503;
    case ErrorCode::internal:
    case ErrorCode::unknown_outcome:
      return 500;
  }
  return 500;
}

}  // namespace

HttpAnswer json_answer(const Json& json, unsigned status) {
  return {.status = status,
          .body = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"};
}

HttpAnswer answer_of(const base::Error& error) {
  return json_answer(Json{{"error", error.message()}, {"code", base::to_string(error.code())}},
                     status_of(error.code()));
}

Result<std::uint64_t> number_asked(const HttpRequest& request, const char* name) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return 0;
  std::uint64_t number = 0;
  const char* end = found->second.data() + found->second.size();
  const auto [at, error] = std::from_chars(found->second.data(), end, number);
  if (error == std::errc() && at == end) return number;
  return fail(ErrorCode::invalid_argument, "{}: '{}' is no number", name, found->second);
}

std::string text_asked(const HttpRequest& request, const char* name) {
  const auto found = request.query.find(name);
  return found == request.query.end() ? "" : found->second;
}

}  // namespace segue::server
