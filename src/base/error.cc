// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <system_error>

#include "base/assert.h"

namespace segue::base {
namespace {

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case EINVAL:
    case ENAMETOOLONG:
    case E2BIG:
      return ErrorCode::invalid_argument;
    case ENOENT:
    case ESRCH:
    case ENODEV:
      return ErrorCode::not_found;
    case EEXIST:
    case EADDRINUSE:
      return ErrorCode::already_exists;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::permission_denied;
    case ENOTDIR:
    case EISDIR:
    case ENOTEMPTY:
    case ELOOP:
    case EBUSY:
      return ErrorCode::failed_precondition;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case ENOSPC:
    case EDQUOT:
    case ENOBUFS:
    case EMSGSIZE:
    case ETOOMANYREFS:
      return ErrorCode::resource_exhausted;
    case ETIMEDOUT:
      return ErrorCode::deadline_exceeded;
    case EAGAIN:
    case ECONNREFUSED:
    case ECONNRESET:
    case EPIPE:
    case ENOTCONN:
    case EHOSTUNREACH:
    case ENETUNREACH:
      return ErrorCode::unavailable;
    case EIO:
      return ErrorCode::data_loss;
    default:
      return ErrorCode::internal;
  }
}

}  // namespace

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::not_found:
      return "not_found";
    case ErrorCode::already_exists:
      return "already_exists";
    case ErrorCode::permission_denied:
      return "permission_denied";
    case ErrorCode::failed_precondition:
      return "failed_precondition";
    case ErrorCode::resource_exhausted:
      return "resource_exhausted";
    case ErrorCode::deadline_exceeded:
      return "deadline_exceeded";
    case ErrorCode::unavailable:
      return "unavailable";
    case ErrorCode::aborted:
      return "aborted";
    case ErrorCode::data_loss:
      return "data_loss";
    case ErrorCode::internal:
      return "internal";
    case ErrorCode::unknown_outcome:
      return "unknown_outcome";
  }
  SEGUE_ASSERT(false && "an ErrorCode outside its enumeration");
}

Error Error::with(std::string context) && {
  context_.push_back(std::move(context));
  return std::move(*this);
}

Error Error::with(std::string context) const& {
  return Error(*this).with(std::move(context));
}

std::string Error::to_string() const {
  std::string text;
  for (auto context = context_.rbegin(); context != context_.rend(); ++context) {
    text += *context;
    text += ": ";
  }
  return fmt::format("{}{} ({})", text, message_, base::to_string(code_));
}

Error errno_error(std::string_view what, int error_number) {
  return {code_of(error_number),
          fmt::format("{}: {}", what, std::generic_category().message(error_number))};
}

void assertion_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "segue: broken invariant: %s (%s:%d)\n", condition, file, line);
  std::abort();
}

}  // namespace segue::base
