// SPDX-License-Identifier: Apache-2.0
// The HTTP/JSON interface for people's programs; docs/fleet.md lists it.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "server/control.h"
#include "server/http_listener.h"

namespace segue::server {

// One request at a time, on the loop's thread.
class Api {
 public:
  // `join_address` is where agents reach this server: HOST:PORT, for tokens. Control outlives it.
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
  static const std::vector<Route>& routes();

 private:
  void status(Call call);
  void hosts(Call call);
  void drain(Call call);
  void remove_host(Call call);
  void instances(Call call);
  void components(Call call);
  void deploy(Call call);
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

  Control& control_;
  const os::Clock& clock_;
  const std::string join_address_;
};

// {"error": …, "code": …} with the status that fits.
HttpAnswer answer_of(const base::Error& error);

}  // namespace segue::server
