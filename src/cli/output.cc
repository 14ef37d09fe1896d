// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include <fmt/format.h>

namespace segue::cli {

using control::ExitCode;

void Output::print(std::string_view text) const {
  if (settings_.json) return;
  fmt::print(settings_.out, "{}\n", text);
  std::fflush(settings_.out);
}

void Output::print_json(const Json& object) const {
  if (!settings_.json) return;
  fmt::print(settings_.out, "{}\n", object.dump(-1, ' ', false, Json::error_handler_t::replace));
  std::fflush(settings_.out);
}

void Output::note(std::string_view text) const {
  if (!settings_.json) fmt::print(settings_.err, "{}\n", text);
}

void Output::live(std::string_view text) {
  if (settings_.json || !settings_.is_terminal) return;
  live_ = true;
  fmt::print(settings_.err, "\r\x1b[K{}", text);
  std::fflush(settings_.err);
}

void Output::end_live() {
  if (live_) fmt::print(settings_.err, "\r\x1b[K");
  live_ = false;
}

ExitCode Output::finish(ExitCode exit, std::string_view text) {
  return finish(Json{{"done", true}, {"exit", static_cast<int>(exit)}, {"text", text}});
}

ExitCode Output::finish(const Json& last_reply) {
  end_live();
  const auto exit = static_cast<ExitCode>(last_reply.value("exit", 1));
  if (settings_.json) {
    print_json(last_reply);
    return exit;
  }
  const std::string text = last_reply.value("text", "");
  if (text.empty()) return exit;
  if (exit == ExitCode::done) {
    print(text);
  } else {
    fmt::print(settings_.err, "segue: {}\n", text);
  }
  return exit;
}

ExitCode Output::fail(const base::Error& error) {
  std::string text;
  for (auto context = error.context().rbegin(); context != error.context().rend(); ++context) {
    text += *context + ": ";
  }
  return finish(exit_code_of(error), text + error.message());
}

ExitCode exit_code_of(const base::Error& error) {
  switch (error.code()) {
    case base::ErrorCode::invalid_argument:
      return ExitCode::usage;
    case base::ErrorCode::not_found:
    case base::ErrorCode::already_exists:
    case base::ErrorCode::permission_denied:
    case base::ErrorCode::failed_precondition:
    case base::ErrorCode::unavailable:
      return ExitCode::refused;
    case base::ErrorCode::deadline_exceeded:
    case base::ErrorCode::unknown_outcome:
      return ExitCode::unknown;
    default:
      return ExitCode::failed;
  }
}

}  // namespace segue::cli
