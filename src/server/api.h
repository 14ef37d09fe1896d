// SPDX-License-Identifier: Apache-2.0
// The HTTP/JSON interface for people's programs; docs/fleet.md lists it.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "server/control.h"
#include "server/http_listener.h"

namespace segue::server {

// One request at a time, on the loop's thread.
class Api {
 public:
  // `join_address` is where agents reach this server: HOST:PORT, for tokens; there are those of
  // Control::servers(), too. Control outlives it.
  Api(Control& control, const os::Clock& clock, std::string join_address);

  void handle(HttpRequest request, HttpListener::GiveAnswer give);

  // A person's request that may be carried out; `rest` are the path's parts that the route leaves
  // open.
  struct Call {
    const HttpRequest& request;
    const Person& person;
    std::vector<std::string> rest;
    HttpListener::GiveAnswer give;
  };
  struct Route {
    const char* method;
    const char* path;  // "/v1/hosts/{name}/drain"
    Right right;
    void (Api::*handle)(Call call);
  };
  // protocol/openapi.json describes each of them.
  static const std::vector<Route>& routes();

 private:
  // Requests by route ("GET /v1/hosts") and status.
  using Counts = std::map<std::pair<std::string, unsigned>, std::uint64_t>;

  // Answers that it is done once that is stored.
  void give_done(const Call& call, const base::Result<void>& done);

  void status(Call call);
  void hosts(Call call);
  void drain(Call call);
  void remove_host(Call call);
  void instances(Call call);
  void logs(Call call);
  void components(Call call);
  void deploy(Call call);
  void deploy_version(Call call);
  void deploy_once(const Call& call, Deployment deployment);
  void rollouts(Call call);
  void rollout(Call call);
  void rollout_instances(Call call);
  void rollout_action(Call call);
  void stop(Call call);
  void tokens(Call call);
  void make_token(Call call);
  void revoke_token(Call call);
  void people(Call call);
  void set_person(Call call);
  void remove_person(Call call);
  void events(Call call);
  void follow_events(Call call);
  void audit(Call call);
  void webhooks(Call call);
  void set_webhook(Call call);
  void remove_webhook(Call call);
  void test_webhook(Call call);
  void metrics(Call call);
  void description(Call call);

  Control& control_;
  const os::Clock& clock_;
  const std::string join_address_;
  // Answers may be given when this object has gone.
  std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
};

// The path's parts that the route's pattern leaves open; nothing where the path is another.
std::optional<std::vector<std::string>> match_route(const char* pattern, std::string_view path);

}  // namespace segue::server
