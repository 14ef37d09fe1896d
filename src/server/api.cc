// SPDX-License-Identifier: Apache-2.0
#include "server/api.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "base/assert.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using Json = nlohmann::json;

std::vector<std::string> parts_of(std::string_view path) {
  std::vector<std::string> parts;
  while (path.starts_with('/')) {
    path.remove_prefix(1);
    const auto end = path.find('/');
    parts.emplace_back(path.substr(0, end));
    path = end == std::string_view::npos ? "" : path.substr(end);
  }
  return parts;
}

bool is_open(const std::string& part) {
  return part.starts_with('{');
}

// What stands for the route's open parts; nothing where the path is another.
std::optional<std::vector<std::string>> match(const char* pattern,
                                              const std::vector<std::string>& path) {
  const auto wanted = parts_of(pattern);
  if (wanted.size() != path.size()) return std::nullopt;
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < path.size(); ++i) {
    if (is_open(wanted[i])) {
      rest.push_back(path[i]);
    } else if (wanted[i] != path[i]) {
      return std::nullopt;
    }
  }
  return rest;
}

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

HttpAnswer answer_of(const base::Error& error) {
  const Json body{{"error", error.message()}, {"code", base::to_string(error.code())}};
  return {.status = status_of(error.code()),
          .body = body.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"};
}

Api::Api(Control& control, const os::Clock& clock, std::string join_address)
    : control_(control), clock_(clock), join_address_(std::move(join_address)) {}

const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/v1/status", Right::view, &Api::status},
      {"GET", "/v1/hosts", Right::view, &Api::hosts},
      {"POST", "/v1/hosts/{host}/drain", Right::deploy, &Api::drain},
      {"DELETE", "/v1/hosts/{host}", Right::administer, &Api::remove_host},
      {"GET", "/v1/instances", Right::view, &Api::instances},
      {"GET", "/v1/components", Right::view, &Api::components},
      {"POST", "/v1/deployments", Right::deploy, &Api::deploy},
      {"GET", "/v1/rollouts", Right::view, &Api::rollouts},
      {"GET", "/v1/rollouts/{rollout}", Right::view, &Api::rollout},
      {"GET", "/v1/rollouts/{rollout}/instances", Right::view, &Api::rollout_instances},
      {"POST", "/v1/rollouts/{rollout}/{action}", Right::view, &Api::rollout_action},
      {"POST", "/v1/stop", Right::deploy, &Api::stop},
      {"GET", "/v1/tokens", Right::administer, &Api::tokens},
      {"POST", "/v1/tokens", Right::administer, &Api::make_token},
      {"DELETE", "/v1/tokens/{token}", Right::administer, &Api::revoke_token},
      {"GET", "/v1/people", Right::administer, &Api::people},
      {"PUT", "/v1/people/{person}", Right::administer, &Api::set_person},
      {"DELETE", "/v1/people/{person}", Right::administer, &Api::remove_person},
      {"GET", "/v1/events", Right::view, &Api::events},
      {"GET", "/v1/events/stream", Right::view, &Api::follow_events},
  };
  return kRoutes;
}

void Api::handle(HttpRequest request, HttpListener::GiveAnswer give) {
  const auto person = control_.people().find(request.bearer);
  if (!person) {
    HttpAnswer answer = answer_of(person.error());
    answer.status = 401;
    return give(std::move(answer));
  }
  const auto path = parts_of(request.path);
  bool other_method = false;
  for (const auto& route : routes()) {
    auto rest = match(route.path, path);
    if (!rest) continue;
    if (request.method != route.method) {
      other_method = true;
      continue;
    }
    if (!person->may(route.right)) {
      return give(answer_of(
          {ErrorCode::permission_denied,
           fmt::format("{} may not {}: that takes the right '{}'", person->name,
                       request.method == "GET" ? "see that" : "do that", to_string(route.right))}));
    }
    return (this->*route.handle)({request, *person, *std::move(rest), std::move(give)});
  }
  HttpAnswer answer = answer_of(
      {ErrorCode::not_found, fmt::format("there is no {} {}", request.method, request.path)});
  if (other_method) answer.status = 405;
  give(std::move(answer));
}

}  // namespace segue::server
