// SPDX-License-Identifier: Apache-2.0
// grpc.health.v1.Health/Check, as bytes: one message in one frame each way over HTTP/2. (GRPC Core,
// "GRPC Health Checking Protocol" and "gRPC over HTTP2".) Pure.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "base/error.h"

namespace segue::runtime {

struct GrpcTarget {
  std::string address;  // HOST:PORT, as numbers
  std::string service;  // empty: the server as a whole
};
// HOST:PORT[/SERVICE]
base::Result<GrpcTarget> parse_grpc_target(std::string_view text);

std::string grpc_health_request(std::string_view service);

struct GrpcHealth {
  bool is_serving = false;
  std::string text;  // what was found, for a person
};
// `fields` are those before and after the body, their names in lower case.
GrpcHealth read_grpc_health(int status, const std::map<std::string, std::string>& fields,
                            std::string_view body);

}  // namespace segue::runtime
