// SPDX-License-Identifier: Apache-2.0
#include "agent/health_means.h"

#include <utility>

#include "runtime/docker_engine.h"
#include "runtime/engine_connection.h"

namespace segue::agent {

using base::Result;

HealthMeans::HealthMeans(os::EpollLoop& loop, const os::Clock& clock, std::string engine)
    : loop_(loop), clock_(clock), engine_url_(std::move(engine)) {}

HealthMeans::~HealthMeans() = default;

Result<http::Client*> HealthMeans::http() {
  if (!http_) {
    SEGUE_ASSIGN(auto client, http::Client::create(loop_));
    http_.emplace(std::move(client));
  }
  return &*http_;
}

Result<runtime::ContainerEngine*> HealthMeans::engine() {
  if (!engine_) {
    SEGUE_ASSIGN(const std::string path, runtime::engine_socket(engine_url_));
    SEGUE_ASSIGN(engine_, runtime::DockerEngine::create(loop_, clock_, {.socket_path = path}));
  }
  return engine_.get();
}

}  // namespace segue::agent
