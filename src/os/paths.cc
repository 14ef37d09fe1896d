// SPDX-License-Identifier: Apache-2.0
#include "os/paths.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

namespace segue::os {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

bool is_absolute(const std::optional<std::string>& path) {
  return path && path->starts_with('/');
}

Result<std::string> choose(const EnvironmentLookup& environment, const char* variable,
                           const std::function<Result<std::string>()>& otherwise) {
  const auto chosen = environment(variable);
  if (!chosen || chosen->empty()) return otherwise();
  if (is_absolute(chosen)) return *chosen;
  return fail(ErrorCode::invalid_argument, "{}={} is not an absolute path: let it begin with '/'",
              variable, *chosen);
}

Result<std::string> default_runtime_directory(uid_t user, const EnvironmentLookup& environment) {
  if (user == 0) return "/run/segue";
  // The XDG specification: a relative path is to be ignored.
  const auto xdg = environment("XDG_RUNTIME_DIR");
  return is_absolute(xdg) ? *xdg + "/segue" : fmt::format("/tmp/segue-{}", user);
}

Result<std::string> default_state_directory(uid_t user, const EnvironmentLookup& environment) {
  if (user == 0) return "/var/lib/segue";
  if (const auto xdg = environment("XDG_STATE_HOME"); is_absolute(xdg)) return *xdg + "/segue";
  if (const auto home = environment("HOME"); is_absolute(home)) {
    return *home + "/.local/state/segue";
  }
  return fail(ErrorCode::failed_precondition,
              "no directory for Segue's state: set HOME, or SEGUE_STATE_DIR");
}

}  // namespace

Result<Directories> directories_of(uid_t user, const EnvironmentLookup& environment) {
  SEGUE_ASSIGN(auto runtime, choose(environment, "SEGUE_RUNTIME_DIR",
                                    [&] { return default_runtime_directory(user, environment); }));
  SEGUE_ASSIGN(auto state, choose(environment, "SEGUE_STATE_DIR",
                                  [&] { return default_state_directory(user, environment); }));
  return Directories{.runtime = std::move(runtime), .state = std::move(state)};
}

Result<Directories> directories() {
  return directories_of(::geteuid(), [](const char* name) -> std::optional<std::string> {
    const char* value = ::secure_getenv(name);
    if (value == nullptr) return std::nullopt;
    return value;
  });
}

}  // namespace segue::os
