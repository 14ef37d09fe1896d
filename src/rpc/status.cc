// SPDX-License-Identifier: Apache-2.0
#include "rpc/status.h"

#include <array>
#include <utility>

namespace segue::rpc {
namespace {

using base::ErrorCode;
using grpc::StatusCode;

constexpr std::array<std::pair<ErrorCode, StatusCode>, 12> kCodes = {
    {{ErrorCode::invalid_argument, StatusCode::INVALID_ARGUMENT},
     {ErrorCode::not_found, StatusCode::NOT_FOUND},
     {ErrorCode::already_exists, StatusCode::ALREADY_EXISTS},
     {ErrorCode::permission_denied, StatusCode::PERMISSION_DENIED},
     {ErrorCode::failed_precondition, StatusCode::FAILED_PRECONDITION},
     {ErrorCode::resource_exhausted, StatusCode::RESOURCE_EXHAUSTED},
     {ErrorCode::deadline_exceeded, StatusCode::DEADLINE_EXCEEDED},
     {ErrorCode::unavailable, StatusCode::UNAVAILABLE},
     {ErrorCode::aborted, StatusCode::ABORTED},
     {ErrorCode::data_loss, StatusCode::DATA_LOSS},
     {ErrorCode::internal, StatusCode::INTERNAL},
     {ErrorCode::unknown_outcome, StatusCode::UNKNOWN}}};

}  // namespace

grpc::Status status_of(const base::Error& error) {
  for (const auto& [ours, theirs] : kCodes) {
    if (ours == error.code()) return {theirs, error.message()};
  }
  return {StatusCode::INTERNAL, error.message()};
}

base::Error error_of(const grpc::Status& status) {
  if (status.error_code() == StatusCode::UNAUTHENTICATED) {
    return {ErrorCode::permission_denied, status.error_message()};
  }
  for (const auto& [ours, theirs] : kCodes) {
    if (theirs == status.error_code()) return {ours, status.error_message()};
  }
  return {ErrorCode::unavailable, status.error_message()};
}

}  // namespace segue::rpc
