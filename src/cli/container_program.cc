// SPDX-License-Identifier: Apache-2.0
#include "cli/container_program.h"

#include <fmt/format.h>

#include <utility>

#include "cli/helper_program.h"
#include "cli/program_file.h"
#include "control/exit_code.h"
#include "control/name.h"
#include "os/files.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxDescriptionBytes = std::size_t{64} << 10;

// What the options say, and the settings in their place.
Result<control::ContractOptions> contract_of(const Arguments& arguments) {
  control::ContractOptions contract = arguments.contract;
  for (const auto& setting : arguments.settings) {
    const auto equals = setting.find('=');
    if (equals == std::string::npos) continue;
    SEGUE_TRY(control::assign_contract_option(
        {setting.substr(0, equals), setting.substr(equals + 1)}, contract));
  }
  return contract;
}

// A container's own network goes with it, and two cannot publish one port.
Result<void> check_bridge(const control::ContainerOptions& container,
                          const control::ContractOptions& contract) {
  constexpr const char* kInstead =
      "let the keeper bind it on the host (--listen NAME=tcp:HOST:PORT), or take --upgrade restart";
  if (!container.ports.empty()) {
    return fail(ErrorCode::invalid_argument,
                "--publish: a published port cannot be handed over to another container: {}",
                kInstead);
  }
  if (container.network == "bridge" && contract.listen.empty()) {
    return fail(ErrorCode::invalid_argument,
                "--network bridge: what it listens on there ends with its container and cannot be "
                "handed over: {}",
                kInstead);
  }
  return {};
}

// An engine passes no descriptors on: who does not ask for them can only be started again.
Result<void> settle_contract(Arguments& arguments) {
  SEGUE_ASSIGN(const control::ContractOptions contract, contract_of(arguments));
  SEGUE_ASSIGN(const control::Contract kind, control::parse_contract(contract.upgrade));
  if (kind == control::Contract::libsegue) return check_bridge(arguments.container, contract);
  if (kind != control::Contract::restart) {
    return fail(ErrorCode::invalid_argument,
                "--upgrade {}: a program in a container links libsegue, or is restarted (--upgrade "
                "restart)",
                contract.upgrade);
  }
  if (!contract.listen.empty()) {
    return fail(ErrorCode::invalid_argument,
                "--listen: only programs that link libsegue are given sockets into a container");
  }
  // segue-container says so once the container runs.
  if (contract.ready == to_string(control::Ready::automatic)) {
    arguments.contract.ready = to_string(control::Ready::notify);
  }
  return {};
}

}  // namespace

Result<void> expand_container(Arguments& arguments) {
  if (arguments.container.image.empty()) return {};
  if (arguments.command == Command::run) SEGUE_TRY(settle_contract(arguments));
  for (const auto& variable : arguments.env) {
    SEGUE_TRY(control::assign_container_option("env", variable, arguments.container));
  }
  arguments.env.clear();
  SEGUE_ASSIGN(const std::string helper, find_container_program());
  std::vector<std::string> words = {helper, "--resolve"};
  for (auto& word : control::container_words(arguments.container)) words.push_back(std::move(word));
  SEGUE_ASSIGN(const HelperAnswer told, ask_helper(words));
  if (told.exit_code != static_cast<int>(control::ExitCode::done)) {
    return fail(ErrorCode::failed_precondition, "--container {}: {}", arguments.container.image,
                told.text);
  }
  arguments.container.image_id = told.text;
  std::vector<std::string> program = {helper};
  if (!arguments.start_link.empty() && !arguments.dry_run) {
    SEGUE_TRY(make_start_link(arguments.start_link, helper));
    program.front() = arguments.start_link;
  }
  for (auto& word : control::container_words(arguments.container)) {
    program.push_back(std::move(word));
  }
  program.emplace_back("--");
  program.insert(program.end(), arguments.program.begin(), arguments.program.end());
  arguments.program = std::move(program);
  return {};
}

std::string program_text(const Arguments& arguments, const std::string& program) {
  const control::ContainerOptions& container = arguments.container;
  if (container.image.empty()) return program;
  return fmt::format("a container of {} ({}, network {})", container.image, container.image_id,
                     container.network);
}

void describe_containers(const ComponentFolders& folders, const std::string& name, Json& status) {
  const auto instances = status.find("instances");
  if (instances == status.end() || !instances->is_array()) return;
  for (auto& instance : *instances) {
    const auto generation = instance.value("generation", 0U);
    const auto text = os::read_file(
        fmt::format("{}/{}/{}.json", folders.runtime(name), control::kContainers, generation),
        kMaxDescriptionBytes);
    if (!text) continue;
    const Json container = Json::parse(*text, nullptr, false);
    if (!container.is_object()) continue;
    instance["container"] = container;
    if (generation == status.value("generation", 0U)) status["container"] = container;
  }
}

}  // namespace segue::cli
