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
    void (Api::*handle)(const Call& call);
  };
  // protocol/openapi.json describes each of them.
  static const std::vector<Route>& routes();

 private:
  // Requests by route ("GET /v1/hosts") and status.
  using Counts = std::map<std::pair<std::string, unsigned>, std::uint64_t>;

  // Answers that it is done once that is stored.
  void give_done(const Call& call, const base::Result<void>& done);

  void status(const Call& call);
  void hosts(const Call& call);
  void drain(const Call& call);
  void remove_host(const Call& call);
  void instances(const Call& call);
  void logs(const Call& call);
  void components(const Call& call);
  void deploy(const Call& call);
  void deploy_version(const Call& call);
  void deploy_once(const Call& call, Deployment deployment);
  void rollouts(const Call& call);
  void rollout(const Call& call);
  void rollout_instances(const Call& call);
  void rollout_action(const Call& call);
  void stop(const Call& call);
  void tokens(const Call& call);
  void make_token(const Call& call);
  void revoke_token(const Call& call);
  void people(const Call& call);
  void set_person(const Call& call);
  void remove_person(const Call& call);
  void events(const Call& call);
  void follow_events(const Call& call);
  void audit(const Call& call);
  void webhooks(const Call& call);
  void set_webhook(const Call& call);
  void remove_webhook(const Call& call);
  void test_webhook(const Call& call);
  void metrics(const Call& call);
  void description(const Call& call);

  Control& control_;
  const os::Clock& clock_;
  const std::string join_address_;
  // Answers may be given when this object has gone.
  std::shared_ptr<Counts> counts_ = std::make_shared<Counts>();
};

// The path's parts that the route's pattern leaves open; nothing where the path is another.
std::optional<std::vector<std::string>> match_route(const char* pattern, std::string_view path);

}  // namespace segue::server
