// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>
#include <tl/expected.hpp>
#include <utility>
#include <vector>

namespace segue::base {

// The canonical codes say what a caller can do about a failure; the message says what happened.
enum class ErrorCode {
  invalid_argument,     // wrong whatever the state of the system: repair the request
  not_found,            // what was named does not exist
  already_exists,       // what was to be made exists
  permission_denied,    // the caller may not do this
  failed_precondition,  // not in this state: change the state first, then retry
  resource_exhausted,   // a bound was reached: a quota, a queue, a descriptor table
  deadline_exceeded,    // too late; nothing was changed
  unavailable,          // a peer cannot be reached now: retry later
  aborted,              // a race was lost: retry from the start
  data_loss,            // what was stored or received is damaged
  internal,             // the system did what it should not
  unknown_outcome,      // it may or may not have happened: look before you retry
};

// The code's name, as written in its enumerator.
std::string_view to_string(ErrorCode code);

class [[nodiscard]] Error {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}

  // Says what was being done when the error came up: "cannot start component 'web'".
  Error with(std::string context) &&;
  Error with(std::string context) const&;

  [[nodiscard]] ErrorCode code() const { return code_; }
  [[nodiscard]] const std::string& message() const { return message_; }
  // Innermost first.
  [[nodiscard]] const std::vector<std::string>& context() const { return context_; }
  // For a person: the contexts from the outermost inwards, the message, and the code.
  [[nodiscard]] std::string to_string() const;

  friend bool operator==(const Error&, const Error&) = default;

 private:
  ErrorCode code_;
  std::string message_;
  std::vector<std::string> context_;
};

template <class T>
using Result = tl::expected<T, Error>;

// return fail(ErrorCode::not_found, "no component '{}'", name);
template <class... Args>
[[nodiscard]] tl::unexpected<Error> fail(ErrorCode code, fmt::format_string<Args...> format,
                                         Args&&... args) {
  return tl::unexpected(Error(code, fmt::format(format, std::forward<Args>(args)...)));
}

// return fail(std::move(result).error().with("cannot read the state"));
[[nodiscard]] inline tl::unexpected<Error> fail(Error error) {
  return tl::unexpected(std::move(error));
}

// A failed system call. `what` names the call and its object: "bind /run/segue/web/control".
Error errno_error(std::string_view what, int error_number);

}  // namespace segue::base

#define SEGUE_CONCAT_INNER(a, b) a##b
#define SEGUE_CONCAT(a, b) SEGUE_CONCAT_INNER(a, b)

// SEGUE_TRY(expression): returns the error of a Result from the enclosing function, if it is one.
#define SEGUE_TRY(...)                                                                           \
  do {                                                                                           \
    if (auto segue_try = (__VA_ARGS__); !segue_try)                                              \
      return tl::unexpected(std::move(segue_try).error()); /* NOLINT(bugprone-use-after-move) */ \
  } while (false)

// SEGUE_ASSIGN(auto value, expression): likewise, else `value` is what the Result holds.
#define SEGUE_ASSIGN(declaration, ...) \
  SEGUE_ASSIGN_INNER(SEGUE_CONCAT(segue_assign_, __LINE__), declaration, __VA_ARGS__)
#define SEGUE_ASSIGN_INNER(result, declaration, ...)               \
  auto result = (__VA_ARGS__);                                     \
  if (!(result)) return tl::unexpected(std::move(result).error()); \
  declaration = *std::move(result)
