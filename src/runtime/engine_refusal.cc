// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "runtime/engine_answers.h"
#include "runtime/json_fields.h"

namespace segue::runtime {
namespace {

using About = Question::About;
using base::Error;
using base::ErrorCode;

constexpr std::size_t kMaxMessageBytes = 1'000;

// Podman answers with status 500 what Docker has its own statuses for; its words tell.
struct Words {
  std::string_view words;
  ErrorCode code;
};
constexpr std::array kPodmanWords{
    Words{"name is already in use", ErrorCode::already_exists},
    Words{"container state improper", ErrorCode::failed_precondition},
    Words{"is in use by", ErrorCode::failed_precondition},
    Words{"image is in use", ErrorCode::failed_precondition},
    Words{"no such container", ErrorCode::not_found},
    Words{"image not known", ErrorCode::not_found},
};
// What registries say, passed on in the middle of other text.
constexpr std::array kRegistryWords{
    Words{"unauthorized", ErrorCode::permission_denied},
    Words{"authentication required", ErrorCode::permission_denied},
    Words{"access denied", ErrorCode::permission_denied},
    Words{"access to the resource is denied", ErrorCode::permission_denied},
    Words{"manifest unknown", ErrorCode::not_found},
    Words{"name unknown", ErrorCode::not_found},
    Words{"not found", ErrorCode::not_found},
};

template <std::size_t n>
ErrorCode code_by_words(const std::array<Words, n>& table, std::string_view text, ErrorCode other) {
  const auto found = std::ranges::find_if(
      table, [&](const Words& row) { return text.find(row.words) != text.npos; });
  return found == table.end() ? other : found->code;
}

std::string message_of(std::string_view body) {
  const Json json = Json::parse(body, nullptr, false);
  std::string message;
  if (json.is_object()) message = text_of(json, "message", "").value_or("");
  if (message.empty()) message = body.substr(0, kMaxMessageBytes);
  if (message.size() > kMaxMessageBytes) message.resize(kMaxMessageBytes);
  std::ranges::replace_if(message, [](unsigned char c) { return c < 0x20 || c == 0x7F; }, ' ');
  while (message.ends_with(' ')) message.pop_back();
  return message;
}

// Docker, to whom speaks a version of the API that it has no more.
bool is_about_api(std::string_view message) {
  return message.find("client version") != message.npos;
}

ErrorCode code_of(const Question& question, int status, std::string_view message) {
  const bool is_create = question.verb == "create";
  switch (status) {
    case 400:
      return is_about_api(message) ? ErrorCode::failed_precondition : ErrorCode::invalid_argument;
    case 401:
    case 403:
      return ErrorCode::permission_denied;
    case 404:
      return question.about == About::registry
                 ? code_by_words(kRegistryWords, message, ErrorCode::not_found)
                 : ErrorCode::not_found;
    case 409:
      return is_create ? ErrorCode::already_exists : ErrorCode::failed_precondition;
    case 500:
      return question.about == About::registry
                 ? code_by_words(kRegistryWords, message, ErrorCode::unavailable)
                 : code_by_words(kPodmanWords, message, ErrorCode::internal);
    case 503:
      return ErrorCode::unavailable;
    default:
      return ErrorCode::internal;
  }
}

std::string_view hint(const Question& question, ErrorCode code) {
  switch (code) {
    case ErrorCode::not_found:
      if (question.about == About::registry) return "look at its name in the registry";
      if (question.about == About::image || question.verb == "create") return "load or pull it";
      return "it was removed, or never made";
    case ErrorCode::already_exists:
      return "another container has this name: remove it, or take another name";
    case ErrorCode::failed_precondition:
      if (question.about == About::image) return "remove the containers that use it";
      return "look at the state that it is in";
    case ErrorCode::permission_denied:
      return question.about == About::registry ? "look at the credentials for this registry"
                                               : "the engine's own rules forbid it";
    case ErrorCode::unavailable:
      return question.about == About::registry ? "look whether the registry can be reached"
                                               : "try again";
    default:
      if (question.verb == "load") {
        return "is it a docker-archive? Docker loads oci-archives from version 25 on, Podman "
               "always";
      }
      return "the engine's log has more";
  }
}

}  // namespace

Error refusal(const Question& question, int status, std::string_view body) {
  const std::string message = message_of(body);
  const ErrorCode code = code_of(question, status, message);
  if (status == 400 && is_about_api(message)) {
    return {code, fmt::format("the engine says: {} (400); Segue speaks {}.{} to {}.{} of the API: "
                              "take another version of either",
                              message, kOldestApi.major, kOldestApi.minor, kNewestApi.major,
                              kNewestApi.minor)};
  }
  return {code,
          fmt::format("the engine says{} ({}); {}", message.empty() ? " nothing" : ": " + message,
                      status, hint(question, code))};
}

}  // namespace segue::runtime
