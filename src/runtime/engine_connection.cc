// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine_connection.h"

#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <vector>

#include "runtime/docker_engine.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kUnix = "unix://";

}  // namespace

Result<std::string> engine_socket(const std::string& engine) {
  if (!engine.empty()) {
    if (engine.starts_with(kUnix) && engine.size() > kUnix.size() && engine[kUnix.size()] == '/') {
      return engine.substr(kUnix.size());
    }
    return fail(ErrorCode::invalid_argument, "engine: '{}' is not unix:///PATH", engine);
  }
  std::vector<std::string> usual = {"/run/podman/podman.sock", "/run/docker.sock"};
  if (const char* own = ::secure_getenv("XDG_RUNTIME_DIR"); own != nullptr && *own == '/') {
    usual.insert(usual.begin(), std::string(own) + "/podman/podman.sock");
  }
  std::error_code ignored;
  for (const auto& path : usual) {
    if (std::filesystem::is_socket(path, ignored)) return path;
  }
  return fail(ErrorCode::unavailable,
              "there is no container engine at its usual place: start it (`podman system service`, "
              "or dockerd), or name its socket with --engine unix:///PATH");
}

EngineConnection::EngineConnection(std::string url, std::unique_ptr<os::SystemClock> clock,
                                   os::EpollLoop loop)
    : url_(std::move(url)),
      own_clock_(std::move(clock)),
      clock_(*own_clock_),
      loop_(std::move(loop)) {}

Result<std::unique_ptr<EngineConnection>> EngineConnection::open(const std::string& engine) {
  SEGUE_ASSIGN(const std::string path, engine_socket(engine));
  auto clock = std::make_unique<os::SystemClock>();
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(*clock));
  std::unique_ptr<EngineConnection> connection(
      new EngineConnection(std::string(kUnix) + path, std::move(clock), std::move(loop)));
  SEGUE_ASSIGN(connection->engine_,
               DockerEngine::create(connection->loop_, connection->clock_, {.socket_path = path}));
  return connection;
}

}  // namespace segue::runtime
