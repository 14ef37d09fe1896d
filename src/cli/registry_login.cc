// SPDX-License-Identifier: Apache-2.0
#include "cli/registry_login.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <vector>

#include "os/files.h"
#include "runtime/registry_credentials.h"

namespace segue::cli {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;

std::vector<std::string> candidates() {
  std::vector<std::string> files;
  const auto add = [&](const char* variable, const std::string& below) {
    const char* value = std::getenv(variable);
    if (value != nullptr && *value != '\0') files.push_back(value + below);
  };
  add("REGISTRY_AUTH_FILE", "");
  add("XDG_RUNTIME_DIR", "/containers/auth.json");
  files.push_back(fmt::format("/run/containers/{}/auth.json", ::geteuid()));
  add("DOCKER_CONFIG", "/config.json");
  add("HOME", "/.docker/config.json");
  return files;
}

}  // namespace

base::Result<std::string> registry_login(const std::string& image) {
  const std::string registry = runtime::registry_of(image);
  for (const std::string& file : candidates()) {
    const auto text = os::read_file(file, kMaxFileBytes);
    if (!text && text.error().code() == base::ErrorCode::not_found) continue;
    if (!text) return base::fail(text.error());
    const auto auth = runtime::registry_auth(*text, registry);
    // Many registries want none: whether that one does its answer says.
    const bool other_program = !auth && auth.error().code() == base::ErrorCode::failed_precondition;
    if (other_program) continue;
    if (!auth) return base::fail(auth.error().with(file));
    if (*auth) return file;
  }
  return std::string();
}

}  // namespace segue::cli
