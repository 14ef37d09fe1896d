// SPDX-License-Identifier: Apache-2.0
#include "cli/component_file.h"

#include <fmt/format.h>

#include <cmath>
#include <filesystem>
#include <utility>

#include "config/segue_keys.h"
#include "config/yaml_reader.h"
#include "control/name.h"
#include "os/files.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr double kMaxSeconds = 86'400;

// Where a scalar goes: to an option of the command line under the same name; seconds as
// milliseconds, true and false as 1 and 0.
struct Scalar {
  const char* key;
  const char* option;
  enum class Kind { text, seconds, flag } kind = Kind::text;
};

class Reader {
 public:
  explicit Reader(const config::YamlReader& yaml) : yaml_(yaml) {}

  Result<ComponentFile> read(const YAML::Node& root) {
    request_.options.push_back({"upgrade", "auto"});  // unless it names another
    static const std::vector<Scalar> kScalars = {
        {"upgrade", "upgrade"},
        {"ready", "ready"},
        {"start_s", "start-ms", Scalar::Kind::seconds},
        {"reconnect_per_second", "reconnect-per-second"},
        {"fd_store_max", "fd-store-max"},
        {"watchdog_s", "watchdog-ms", Scalar::Kind::seconds},
        {"max_restarts", "max-restarts"},
        {"nonblocking", "nonblocking", Scalar::Kind::flag},
        {"on_crash", "on-crash"}};
    static const std::vector<Scalar> kStop = {{"signal", "stop-signal"},
                                              {"drain_s", "drain-ms", Scalar::Kind::seconds},
                                              {"grace_s", "grace-ms", Scalar::Kind::seconds}};
    static const std::vector<Scalar> kSignal = {{"upgrade", "upgrade-signal"},
                                                {"new_pid", "new-pid"},
                                                {"retire", "retire-signal"},
                                                {"resume", "resume-signal"},
                                                {"then", "then-signal"}};
    static const std::vector<Scalar> kHealth = {
        {"command", "health-cmd"},
        {"tcp", "health-tcp"},
        {"timeout_s", "health-timeout-ms", Scalar::Kind::seconds}};
    std::vector<std::string> known = {"name"};
    known.insert(known.end(), config::kComponentKeys.begin(), config::kComponentKeys.end());
    known.insert(known.end(), config::kBuildKeys.begin(), config::kBuildKeys.end());
    SEGUE_TRY(yaml_.check_keys(root, "", known));
    SEGUE_TRY(read_scalars(root, "", kScalars, known));
    if (root["stop"]) SEGUE_TRY(read_scalars(root["stop"], "stop.", kStop, {}));
    if (root["signal"]) SEGUE_TRY(read_scalars(root["signal"], "signal.", kSignal, {}));
    if (root["health"]) SEGUE_TRY(read_scalars(root["health"], "health.", kHealth, {}));
    ComponentFile file;
    SEGUE_TRY(read_name_and_command(root, file));
    SEGUE_TRY(yaml_.map(root["environment"], "environment",
                        [&](const std::string& name, const std::string& value) {
                          file.env.push_back(name + "=" + value);
                        }));
    SEGUE_TRY(
        yaml_.map(root["listen"], "listen", [&](const std::string& name, const std::string& value) {
          request_.options.push_back({"listen", name + "=" + value});
        }));
    auto parsed = control::parse_options(request_);
    if (!parsed)
      return fail(parsed.error().code(), "{}: {}", yaml_.path(), parsed.error().message());
    file.contract = std::move(parsed->contract);
    file.run = std::move(parsed->run);
    file.attempt = std::move(parsed->attempt);
    return file;
  }

 private:
  Result<void> read_scalars(const YAML::Node& map, const std::string& prefix,
                            const std::vector<Scalar>& scalars, std::vector<std::string> others) {
    std::vector<std::string> known = std::move(others);
    for (const auto& one : scalars) known.emplace_back(one.key);
    SEGUE_TRY(yaml_.check_keys(map, prefix, known));
    for (const auto& one : scalars) {
      if (map[one.key]) SEGUE_TRY(read_scalar(map[one.key], prefix, one));
    }
    return {};
  }

  Result<void> read_scalar(const YAML::Node& node, const std::string& prefix, const Scalar& one) {
    SEGUE_ASSIGN(std::string value, yaml_.scalar(node, prefix + one.key));
    if (one.kind == Scalar::Kind::seconds) {
      double seconds = -1;
      if (!YAML::convert<double>::decode(node, seconds) || !(seconds >= 0) ||
          seconds > kMaxSeconds) {
        return fail(ErrorCode::invalid_argument, "{}: {}{}: '{}' is not a time in seconds, 0 to {}",
                    yaml_.at(node), prefix, one.key, value, kMaxSeconds);
      }
      value = fmt::to_string(std::llround(seconds * 1000));
    }
    if (one.kind == Scalar::Kind::flag) {
      bool is_set = false;
      if (!YAML::convert<bool>::decode(node, is_set)) {
        return fail(ErrorCode::invalid_argument, "{}: {}{}: '{}' is neither true nor false",
                    yaml_.at(node), prefix, one.key, value);
      }
      value = is_set ? "1" : "0";
    }
    control::Request probe{"run", {{one.option, value}}, {}};
    control::ContractOptions ignored;
    const auto contract = control::assign_contract_option(probe.options.front(), ignored);
    if (!contract) {
      return fail(ErrorCode::invalid_argument, "{}: {}", yaml_.at(node),
                  contract.error().message());
    }
    request_.options.push_back(std::move(probe.options.front()));
    return {};
  }

  Result<void> read_name_and_command(const YAML::Node& root, ComponentFile& file) {
    if (!root["name"] || !root["command"]) {
      return fail(ErrorCode::invalid_argument, "{}: '{}' is missing", yaml_.path(),
                  root["name"] ? "command" : "name");
    }
    SEGUE_ASSIGN(file.name, yaml_.scalar(root["name"], "name"));
    if (const auto fine = control::check_name(file.name); !fine) {
      return fail(ErrorCode::invalid_argument, "{}: {}", yaml_.at(root["name"]),
                  fine.error().message());
    }
    const YAML::Node command = root["command"];
    if (!command.IsSequence() || command.size() == 0) {
      return fail(ErrorCode::invalid_argument,
                  "{}: command is not a list of words: write [PROGRAM, ARGUMENT, …]",
                  yaml_.at(command));
    }
    for (const auto& word : command) {
      SEGUE_ASSIGN(std::string text, yaml_.scalar(word, "a word of the command"));
      file.command.push_back(std::move(text));
    }
    if (root["directory"]) {
      SEGUE_ASSIGN(file.directory, yaml_.scalar(root["directory"], "directory"));
    }
    return {};
  }

  const config::YamlReader& yaml_;
  control::Request request_{"run", {}, {}};
};

}  // namespace

Result<ComponentFile> parse_component_file(const std::string& path, const std::string& text) {
  return config::read_yaml<ComponentFile>(
      path, text,
      [](const YAML::Node& root, const config::YamlReader& yaml) -> Result<ComponentFile> {
        if (root.IsMap() && root["components"]) {
          return fail(ErrorCode::invalid_argument,
                      "{}: this is a service's file, which `segue check` reads; one component's "
                      "has 'name' and 'command'",
                      yaml.at(root));
        }
        return Reader(yaml).read(root);
      });
}

Result<ComponentFile> read_component_file(const std::string& path) {
  const auto text = os::read_file(path, kMaxComponentFileBytes);
  if (!text) return fail(text.error().with("cannot read " + path));
  SEGUE_ASSIGN(auto file, parse_component_file(path, *text));
  if (file.directory.empty()) {
    file.directory = std::filesystem::absolute(path).parent_path().string();
  }
  return file;
}

Result<void> apply_component_file(Arguments& arguments) {
  if (arguments.file.empty()) return {};
  SEGUE_ASSIGN(auto file, read_component_file(arguments.file));
  arguments.name = std::move(file.name);
  arguments.program = std::move(file.command);
  arguments.cwd = std::move(file.directory);
  arguments.env = std::move(file.env);
  if (arguments.attempt.health_cmd.empty() && arguments.attempt.health_tcp.empty()) {
    arguments.attempt.health_cmd = std::move(file.attempt.health_cmd);
    arguments.attempt.health_tcp = std::move(file.attempt.health_tcp);
    arguments.attempt.health_timeout_ms = file.attempt.health_timeout_ms;
  }
  if (arguments.attempt.on_crash.empty()) {
    arguments.attempt.on_crash = std::move(file.attempt.on_crash);
  }
  if (arguments.command != Command::run) return {};
  file.run.unsafe_fault = std::move(arguments.run.unsafe_fault);
  arguments.run = std::move(file.run);
  arguments.contract = std::move(file.contract);
  return {};
}

}  // namespace segue::cli
