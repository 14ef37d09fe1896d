// SPDX-License-Identifier: Apache-2.0
#include "cli/component_folder.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "config/near_names.h"
#include "control/name.h"
#include "os/files.h"
#include "os/unix_socket.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxInstancesBytes = 64 * 1024;

// The processes that a dead keeper has left behind.
std::vector<std::string> living_instances(const std::string& folder) {
  const auto text =
      os::read_file(folder + "/" + std::string(control::kInstances), kMaxInstancesBytes);
  std::istringstream lines(text.value_or(""));
  std::vector<std::string> pids;
  std::string pid;
  std::string generation;
  while (lines >> pid >> generation) {
    std::error_code ignored;
    if (std::filesystem::exists("/proc/" + pid, ignored)) pids.push_back(pid);
  }
  return pids;
}

}  // namespace

Result<ComponentFolders> ComponentFolders::of_this_user() {
  SEGUE_ASSIGN(auto directories, os::directories());
  return ComponentFolders(std::move(directories));
}

std::string ComponentFolders::runtime(std::string_view name) const {
  return fmt::format("{}/{}", directories_.runtime, name);
}

std::string ComponentFolders::state(std::string_view name) const {
  return fmt::format("{}/{}", directories_.state, name);
}

std::vector<std::string> ComponentFolders::names() const {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(directories_.runtime, error), end;
       !error && entry != end; entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    std::error_code ignored;
    if (entry->is_directory(ignored) && control::check_name(name)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

Result<os::UniqueFd> ComponentFolders::connect(const std::string& name) const {
  SEGUE_TRY(control::check_name(name));
  const std::string folder = runtime(name);
  std::error_code ignored;
  if (!std::filesystem::exists(folder, ignored)) return fail(why_not_connected(name));
  auto socket = os::connect_private(folder, control::kControlSocket, os::SocketType::seqpacket,
                                    os::Blocking::yes);
  if (socket || socket.error().code() != ErrorCode::unavailable) return socket;
  return fail(why_not_connected(name));
}

base::Error ComponentFolders::why_not_connected(const std::string& name) const {
  const auto known = names();
  if (std::find(known.begin(), known.end(), name) == known.end()) {
    const auto near = config::near_names(name, known);
    if (!near.empty()) {
      return {ErrorCode::not_found, fmt::format("there is no component '{}'; did you mean {}?",
                                                name, fmt::join(near, " or "))};
    }
    return {ErrorCode::not_found,
            fmt::format("there is no component '{}': start one with `segue run {} -- PROGRAM`",
                        name, name)};
  }
  const auto pids = living_instances(runtime(name));
  if (!pids.empty()) {
    return {ErrorCode::unavailable,
            fmt::format("{} has no keeper; process {} still serves: `segue keeper start {}` gives "
                        "it a new one",
                        name, fmt::join(pids, ", "), name)};
  }
  return {ErrorCode::unavailable,
          fmt::format("{} does not run: start it with `segue run {} -- PROGRAM`", name, name)};
}

}  // namespace segue::cli
