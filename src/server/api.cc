// SPDX-License-Identifier: Apache-2.0
#include "server/api.h"

#include <utility>

#include "server/api_answers.h"

namespace segue::server {
namespace {

using base::ErrorCode;

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

}  // namespace

std::optional<std::vector<std::string>> match_route(const char* pattern, std::string_view path) {
  const auto wanted = parts_of(pattern);
  const auto given = parts_of(path);
  if (wanted.size() != given.size()) return std::nullopt;
  std::vector<std::string> rest;
  for (std::size_t i = 0; i < given.size(); ++i) {
    if (is_open(wanted[i])) {
      rest.push_back(given[i]);
    } else if (wanted[i] != given[i]) {
      return std::nullopt;
    }
  }
  return rest;
}

Api::Api(Control& control, const os::Clock& clock, std::string join_address)
    : control_(control), clock_(clock), join_address_(std::move(join_address)) {}

const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/v1/status", Right::view, &Api::status},
      {"GET", "/v1/hosts", Right::view, &Api::hosts},
      {"POST", "/v1/hosts/{host}/drain", Right::deploy, &Api::drain},
      {"DELETE", "/v1/hosts/{host}", Right::administer, &Api::remove_host},
      {"GET", "/v1/hosts/{host}/logs", Right::deploy, &Api::logs},
      {"GET", "/v1/instances", Right::view, &Api::instances},
      {"GET", "/v1/components", Right::view, &Api::components},
      {"POST", "/v1/deployments", Right::deploy, &Api::deploy},
      {"POST", "/v1/components/{component}/deployments", Right::deploy, &Api::deploy_version},
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
      {"GET", "/v1/audit", Right::view, &Api::audit},
      {"GET", "/v1/webhooks", Right::administer, &Api::webhooks},
      {"PUT", "/v1/webhooks/{webhook}", Right::administer, &Api::set_webhook},
      {"DELETE", "/v1/webhooks/{webhook}", Right::administer, &Api::remove_webhook},
      {"POST", "/v1/webhooks/{webhook}/test", Right::administer, &Api::test_webhook},
      {"GET", "/v1/openapi.json", Right::view, &Api::description},
      {"GET", "/metrics", Right::view, &Api::metrics},
  };
  return kRoutes;
}

void Api::handle(HttpRequest request, HttpListener::GiveAnswer give) {
  const auto count = [counts = counts_, give = std::move(give)](const std::string& route,
                                                                HttpAnswer answer) {
    ++(*counts)[{route, answer.status}];
    give(std::move(answer));
  };
  const auto person = control_.people().find(request.bearer);
  if (!person) {
    HttpAnswer answer = answer_of(person.error());
    answer.status = 401;
    return count("", std::move(answer));
  }
  bool other_method = false;
  for (const auto& route : routes()) {
    auto rest = match_route(route.path, request.path);
    if (!rest) continue;
    if (request.method != route.method) {
      other_method = true;
      continue;
    }
    const std::string name = fmt::format("{} {}", route.method, route.path);
    if (!person->may(route.right)) {
      return count(name,
                   answer_of({ErrorCode::permission_denied,
                              fmt::format("{} may not {}: that takes the right '{}'", person->name,
                                          request.method == "GET" ? "see that" : "do that",
                                          to_string(route.right))}));
    }
    return (this->*route.handle)(
        {request, *person, *std::move(rest),
         [count, name](HttpAnswer answer) { count(name, std::move(answer)); }});
  }
  HttpAnswer answer = answer_of(
      {ErrorCode::not_found, fmt::format("there is no {} {}", request.method, request.path)});
  if (other_method) answer.status = 405;
  count("", std::move(answer));
}

}  // namespace segue::server
