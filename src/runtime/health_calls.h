// SPDX-License-Identifier: Apache-2.0
// The health checks that need more than health/ has: a command inside a container, and gRPC.
// Results come from the loop, once; a call that is destroyed has none.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "health/health_check.h"
#include "http/client.h"
#include "runtime/engine.h"

namespace segue::runtime {

// Good when the command exits with 0. At the limit the check is bad; the engine has no way to end
// the command, so it should end by itself.
[[nodiscard]] CallHandle check_by_exec(ContainerEngine& engine, const std::string& container,
                                       const std::vector<std::string>& arguments,
                                       base::Duration limit,
                                       health::HealthCheck::OnResult on_result);

// Asks grpc.health.v1.Health at HOST:PORT[/SERVICE], over HTTP/2 without TLS: good when it says
// SERVING. `client` outlives the call.
[[nodiscard]] CallHandle check_grpc(http::Client& client, const std::string& target,
                                    base::Duration limit, health::HealthCheck::OnResult on_result);

}  // namespace segue::runtime
