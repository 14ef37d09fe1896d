// SPDX-License-Identifier: Apache-2.0
#include "builder/build_file.h"

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "builder/version_rule.h"
#include "config/segue_keys.h"
#include "control/name.h"

namespace segue::builder {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using config::YamlReader;

constexpr std::uint64_t kMaxTimeS = 7 * 86'400;
constexpr std::uint64_t kMaxMib = std::uint64_t{1} << 24U;
constexpr std::uint64_t kMaxProcesses = 100'000;

// Below the working copy and not inside git's own folder.
bool stays_inside(const std::string& path) {
  const std::filesystem::path output(path);
  if (path.empty() || output.is_absolute()) return false;
  return std::ranges::none_of(
      output, [](const std::filesystem::path& part) { return part == ".." || part == ".git"; });
}

bool is_variable(const std::string& name) {
  return !name.empty() && std::isdigit(static_cast<unsigned char>(name.front())) == 0 &&
         !name.starts_with("SEGUE_") && std::ranges::all_of(name, [](unsigned char c) {
           return std::isalnum(c) != 0 || c == '_';
         });
}

Result<std::vector<std::string>> read_commands(const YAML::Node& root, const char* key,
                                               const YamlReader& yaml) {
  if (!root[key]) {
    return fail(ErrorCode::invalid_argument, "{}: '{}' is missing", yaml.path(), key);
  }
  SEGUE_ASSIGN(auto commands, yaml.scalars(root[key], key));
  const bool usable = !commands.empty() && commands.size() <= kMaxCommands &&
                      std::ranges::none_of(commands, [](const std::string& command) {
                        return command.empty() || command.find('\0') != std::string::npos;
                      });
  if (usable) return commands;
  return fail(ErrorCode::invalid_argument, "{}: {} has to be one to {} shell commands",
              yaml.at(root[key]), key, kMaxCommands);
}

Result<std::string> read_word(const YAML::Node& root, const char* key, const YamlReader& yaml) {
  if (!root[key]) {
    return fail(ErrorCode::invalid_argument, "{}: '{}' is missing", yaml.path(), key);
  }
  return yaml.scalar(root[key], key);
}

Result<void> read_environment(const YAML::Node& node, const YamlReader& yaml,
                              std::vector<std::string>& environment) {
  std::string wrong;
  SEGUE_TRY(
      yaml.map(node, "build_environment", [&](const std::string& name, const std::string& value) {
        if (!is_variable(name) || value.find('\0') != std::string::npos) wrong = name;
        environment.push_back(name + "=" + value);
      }));
  if (wrong.empty()) return {};
  return fail(ErrorCode::invalid_argument,
              "{}: build_environment: '{}' cannot be set: letters, digits and _, and not SEGUE_…",
              yaml.at(node), wrong);
}

Result<BuildFile> read(const YAML::Node& root, const YamlReader& yaml) {
  std::vector<std::string> known = {"name"};
  known.insert(known.end(), config::kBuildKeys.begin(), config::kBuildKeys.end());
  known.insert(known.end(), config::kComponentKeys.begin(), config::kComponentKeys.end());
  SEGUE_TRY(yaml.check_keys(root, "", known));
  BuildFile file;
  SEGUE_ASSIGN(file.component, read_word(root, "name", yaml));
  if (const auto fine = control::check_name(file.component); !fine) {
    return fail(ErrorCode::invalid_argument, "{}: {}", yaml.at(root["name"]),
                fine.error().message());
  }
  SEGUE_ASSIGN(file.build, read_commands(root, "build", yaml));
  SEGUE_ASSIGN(file.test, read_commands(root, "test", yaml));
  SEGUE_ASSIGN(file.output, read_word(root, "output", yaml));
  if (!stays_inside(file.output)) {
    return fail(ErrorCode::invalid_argument,
                "{}: output: '{}' is not a folder below the working copy", yaml.at(root["output"]),
                file.output);
  }
  SEGUE_ASSIGN(file.version, read_word(root, "version", yaml));
  if (const auto fine = check_version_rule(file.version); !fine) {
    return fail(ErrorCode::invalid_argument, "{}: {}", yaml.at(root["version"]),
                fine.error().message());
  }
  SEGUE_TRY(read_environment(root["build_environment"], yaml, file.environment));
  if (root["build_limits"]) {
    SEGUE_TRY(read_limits(root["build_limits"], yaml, "build_limits.", file.limits));
  }
  return file;
}

}  // namespace

Result<void> read_limits(const YAML::Node& node, const YamlReader& yaml, const std::string& prefix,
                         Limits& limits) {
  SEGUE_TRY(
      yaml.check_keys(node, prefix, {"time_s", "memory_mib", "processes", "log_mib", "file_mib"}));
  const auto take = [&](const char* key, std::uint64_t max, auto& place) -> Result<void> {
    if (!node[key]) return {};
    SEGUE_ASSIGN(const std::uint64_t value, yaml.number(node[key], prefix + key, 1, max));
    place = static_cast<std::remove_reference_t<decltype(place)>>(value);
    return {};
  };
  SEGUE_TRY(take("time_s", kMaxTimeS, limits.time_s));
  SEGUE_TRY(take("memory_mib", kMaxMib, limits.memory_mib));
  SEGUE_TRY(take("processes", kMaxProcesses, limits.processes));
  SEGUE_TRY(take("log_mib", kMaxMib, limits.log_mib));
  SEGUE_TRY(take("file_mib", kMaxMib, limits.file_mib));
  return {};
}

Limits within(const Limits& asked, const Limits& allowed) {
  return {.time_s = std::min(asked.time_s, allowed.time_s),
          .memory_mib = std::min(asked.memory_mib, allowed.memory_mib),
          .processes = std::min(asked.processes, allowed.processes),
          .log_mib = std::min(asked.log_mib, allowed.log_mib),
          .file_mib = std::min(asked.file_mib, allowed.file_mib)};
}

Result<BuildFile> parse_build_file(const std::string& path, const std::string& text) {
  return config::read_yaml<BuildFile>(path, text, read);
}

}  // namespace segue::builder
