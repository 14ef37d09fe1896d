// SPDX-License-Identifier: Apache-2.0
#include "cli/program_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <system_error>

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
namespace fs = std::filesystem;

std::string environment_or(const char* name, const char* otherwise) {
  const char* value = ::secure_getenv(name);
  return value != nullptr ? value : otherwise;
}

bool is_executable_file(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

Result<std::string> check_executable(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return fail(ErrorCode::not_found, "there is no program {}: check the path", path.string());
  }
  if (!fs::is_regular_file(path, ignored)) {
    return fail(ErrorCode::failed_precondition, "{} is not a program file", path.string());
  }
  if (::access(path.c_str(), X_OK) != 0) {
    return fail(ErrorCode::permission_denied, "{} cannot be executed: chmod +x it", path.string());
  }
  return path.lexically_normal().string();
}

Result<std::string> current_directory() {
  std::error_code error;
  const fs::path here = fs::current_path(error);
  if (error) return fail(base::errno_error("find the current directory", error.value()));
  return here.string();
}

}  // namespace

Result<std::string> find_program(const std::string& name, const std::string& directory,
                                 const std::string& path) {
  if (name.find('/') != std::string::npos) return check_executable(fs::path(directory) / name);
  std::istringstream folders(path);
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path candidate = fs::path(directory) / folder / name;
    if (is_executable_file(candidate)) return candidate.lexically_normal().string();
  }
  std::error_code ignored;
  if (fs::exists(fs::path(directory) / name, ignored)) {
    return fail(ErrorCode::not_found, "'{}' is not in PATH: if you mean the file here, write ./{}",
                name, name);
  }
  return fail(ErrorCode::not_found, "'{}' is not in PATH: write the path of the program", name);
}

Result<control::Launch> make_launch(const std::vector<std::string>& program, const std::string& cwd,
                                    const std::vector<std::string>& env) {
  SEGUE_ASSIGN(const std::string here, current_directory());
  control::Launch launch;
  launch.cwd = cwd.empty() ? here : (fs::path(here) / cwd).lexically_normal().string();
  std::error_code ignored;
  if (!fs::is_directory(launch.cwd, ignored)) {
    return fail(ErrorCode::not_found, "there is no directory {}: check --cwd", launch.cwd);
  }
  for (const auto& variable : env) {
    if (variable.find('=') == std::string::npos || variable.starts_with('=')) {
      return fail(ErrorCode::invalid_argument, "--env {}: write NAME=value", variable);
    }
  }
  launch.env = env;
  launch.argv = program;
  SEGUE_ASSIGN(launch.argv.front(),
               find_program(program.front(), here, environment_or("PATH", "/usr/bin:/bin")));
  return launch;
}

namespace {

// `build_folder`: where a build puts it, beside this program's folder.
Result<std::string> find_helper(const std::string& name, const char* variable,
                                const char* build_folder) {
  const std::string named = environment_or(variable, "");
  if (!named.empty()) return check_executable(named);
  std::error_code error;
  const fs::path here = fs::read_symlink("/proc/self/exe", error).parent_path();
  for (const char* folder : {".", build_folder, "../libexec/segue", "../lib/segue"}) {
    const fs::path candidate = (here / folder / name).lexically_normal();
    if (is_executable_file(candidate)) return candidate.string();
  }
  auto found = find_program(name, "/", environment_or("PATH", "/usr/bin:/bin"));
  if (found) return found;
  return fail(ErrorCode::failed_precondition,
              "{} is neither beside segue nor in PATH: install it, or set {}", name, variable);
}

}  // namespace

Result<std::string> find_keeper() {
  return find_helper("segue-keeper", "SEGUE_KEEPER", "../keeper");
}

Result<std::string> find_container_program() {
  return find_helper("segue-container", "SEGUE_CONTAINER", "../container");
}

Result<std::string> find_confine_program() {
  return find_helper("segue-confine", "SEGUE_CONFINE", "../confine");
}

}  // namespace segue::cli
