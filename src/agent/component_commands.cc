// SPDX-License-Identifier: Apache-2.0
#include "agent/component_commands.h"

#include <array>
#include <charconv>

#include "control/confinement_options.h"
#include "control/request.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using fleet::OrderResult;
using nlohmann::json;

constexpr std::string_view kRevisions = "/revisions/";
constexpr std::string_view kStarter = "/segue-container";
constexpr std::string_view kConfined = "/confined/";
constexpr std::string_view kConfiner = "/segue-confine";
constexpr int kRefused = 4;

void append_settings(Words& words, const control::Request& request) {
  for (const auto& option : request.options) {
    words.emplace_back("--set");
    words.push_back(option.key + "=" + option.value);
  }
}

// What a process may take, and is given.
control::ConfinementOptions confinement_of(const fleet::ComponentSpec& spec) {
  control::ConfinementOptions options{.memory_bytes = spec.limits.memory_bytes,
                                      .cpu_millicores = spec.limits.cpu_thousandths,
                                      .max_processes = spec.limits.processes,
                                      .max_descriptors = spec.limits.descriptors,
                                      .secrets = {}};
  for (const auto& secret : spec.secrets) options.secrets.push_back({secret.name, secret.file});
  return options;
}

// What a component says of its container, as `segue run` takes it.
control::ContainerOptions container_of(const InstanceHome& home, const fleet::ComponentSpec& spec,
                                       const std::string& image) {
  const auto& release = spec.release;
  control::ContainerOptions options;
  options.image =
      !release.registry.empty()
          ? release.registry
          : (release.component.empty() ? spec.name : release.component) + ":" + release.version;
  options.image_id = image;
  options.engine = home.engine;
  options.network = to_string(spec.network);
  options.cap_add = spec.capabilities;
  options.memory_bytes = spec.limits.memory_bytes;
  options.cpu_millicores = spec.limits.cpu_thousandths;
  options.max_processes = spec.limits.processes;
  options.max_descriptors = spec.limits.descriptors;
  for (const auto& volume : spec.volumes) {
    options.mounts.push_back({volume.source, volume.target, volume.read_only});
  }
  for (const auto& secret : spec.secrets) options.secrets.push_back({secret.name, secret.file});
  for (const auto& port : spec.ports) {
    options.ports.push_back({port.host, port.host_port, port.port});
  }
  options.env = spec.environment;
  return options;
}

void append_container(Words& words, const InstanceHome& home, const fleet::ComponentSpec& spec,
                      fleet::Revision revision, const std::string& image) {
  constexpr std::string_view kImage = "--image=";
  for (const auto& word : control::container_words(container_of(home, spec, image))) {
    words.push_back(word.starts_with(kImage) ? "--container=" + word.substr(kImage.size()) : word);
  }
  words.insert(words.end(), {"--start-link", revision_link(home, revision) + std::string(kStarter),
                             "--cwd", home.place, home.name, "--"});
  words.insert(words.end(), spec.command.begin(), spec.command.end());
}

void append_program(Words& words, const InstanceHome& home, const fleet::ComponentSpec& spec,
                    fleet::Revision revision, const std::string& digest) {
  if (spec.driver == fleet::Driver::container) {
    return append_container(words, home, spec, revision, digest);
  }
  for (const auto& variable : spec.environment) {
    words.emplace_back("--env");
    words.push_back(variable);
  }
  const std::string link = revision_link(home, revision);
  auto options = confinement_of(spec);
  options.program_digest = digest;
  const auto confinement = control::confinement_words(options);
  if (!confinement.empty()) {
    words.insert(words.end(), confinement.begin(), confinement.end());
    words.insert(words.end(),
                 {"--start-link", confined_folder(home, revision) + std::string(kConfiner)});
  }
  words.insert(words.end(), {"--cwd", link, home.name, "--", link + "/" + spec.command.front()});
  words.insert(words.end(), spec.command.begin() + 1, spec.command.end());
}

// Nothing where the line is not what a command says last.
json object_of(const std::string& line) {
  const json object = json::parse(line, nullptr, false);
  return object.is_object() ? object : json();
}

std::string text_in(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

std::uint64_t number_in(const json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

fleet::HandoffFigures figures_of(const json& attempt) {
  return {.connections = number_in(attempt, "connections_moved"),
          .lost = number_in(attempt, "connections_lost"),
          .blackout_us = number_in(attempt, "blackout_ns") / 1'000};
}

}  // namespace

InstanceHome home_of(const std::string& segue, const std::string& directory,
                     const std::string& runtime, const reconcile::InstanceKey& key) {
  const bool is_canary = key.slot == fleet::Slot::canary;
  const std::string name = key.component + (is_canary ? ".canary" : "");
  return {segue, name, directory + "/" + name, runtime};
}

std::string revision_link(const InstanceHome& home, fleet::Revision revision) {
  return fmt::format("{}{}{}", home.place, kRevisions, revision);
}

std::string confined_folder(const InstanceHome& home, fleet::Revision revision) {
  return fmt::format("{}{}{}", home.place, kConfined, revision);
}

std::optional<fleet::Revision> revision_of(const InstanceHome& home, const std::string& program) {
  for (const std::string_view folder : {kRevisions, kConfined}) {
    const std::string prefix = home.place + std::string(folder);
    if (!program.starts_with(prefix)) continue;
    fleet::Revision revision = 0;
    const char* begin = program.data() + prefix.size();
    const auto [end, error] = std::from_chars(begin, program.data() + program.size(), revision);
    const bool is_whole = end != program.data() + program.size() && *end == '/';
    if (error == std::errc() && is_whole) return revision;
  }
  return std::nullopt;
}

Words stage_words(const InstanceHome& home, const fleet::ComponentSpec& spec) {
  const auto& release = spec.release;
  Words words = {
      home.segue,      "stage",     release.component.empty() ? spec.name : release.component,
      release.version, "--library", release.library,
      "--place",       home.place,  "--json"};
  if (!release.root.empty()) words.insert(words.end(), {"--root", release.root});
  return words;
}

namespace {

Words switch_words(const InstanceHome& home, const fleet::ComponentSpec& spec) {
  const auto& release = spec.release;
  return {home.segue,      "go-live",     home.place,
          release.version, "--component", release.component.empty() ? spec.name : release.component,
          "--json"};
}

}  // namespace

Words go_live_words(const InstanceHome& home, const fleet::ComponentSpec& spec) {
  Words words = switch_words(home, spec);
  if (spec.driver == fleet::Driver::process) {
    words.insert(words.end(), {"--program", spec.command.front()});
  }
  return words;
}

Words hand_back_words(const InstanceHome& home, const fleet::ComponentSpec& spec) {
  Words words = switch_words(home, spec);
  // However the old tree is by now, it is better than one that was found bad.
  words.insert(words.end(), {"--check", "none"});
  return words;
}

Words go_back_words(const InstanceHome& home, const std::string& version) {
  return {home.segue, "go-live", home.place, "--undo", "--if-live",
          version,    "--check", "none",     "--json"};
}

Words image_words(const InstanceHome& home, const fleet::ComponentSpec& spec,
                  const std::string& image) {
  Words words = {home.segue, "image"};
  if (!spec.release.registry.empty()) {
    words.insert(words.end(), {image.empty() ? spec.release.registry : image, "--pull"});
  } else {
    words.insert(words.end(), {home.place, "--version", spec.release.version, "--load"});
  }
  if (!home.engine.empty()) words.insert(words.end(), {"--engine", home.engine});
  words.emplace_back("--json");
  return words;
}

Words run_words(const InstanceHome& home, const fleet::ComponentSpec& spec,
                fleet::Revision revision, const std::string& digest) {
  control::ContractOptions contract = spec.contract;
  if (spec.driver == fleet::Driver::container &&
      contract.upgrade == to_string(control::Contract::automatic)) {
    contract.upgrade = to_string(control::Contract::libsegue);
  }
  control::Request request;
  control::append_options(request, spec.run);
  control::append_options(request, contract);
  Words words = {home.segue, "run", "--json"};
  append_settings(words, request);
  append_program(words, home, spec, revision, digest);
  return words;
}

Words upgrade_words(const InstanceHome& home, const fleet::ComponentSpec& spec,
                    fleet::Revision revision, const std::string& digest) {
  control::Request request;
  control::append_options(request, spec.attempt);
  Words words = {home.segue, "upgrade", "--json"};
  append_settings(words, request);
  append_program(words, home, spec, revision, digest);
  return words;
}

Words stop_words(const InstanceHome& home) {
  return {home.segue, "stop", "--json", home.name};
}
Words history_words(const InstanceHome& home) {
  return {home.segue, "history", "--json", "--last=1", home.name};
}

Answer read_answer(int exit_code, const std::string& last_line, const std::string& otherwise) {
  constexpr std::array<OrderResult, 6> kResults = {OrderResult::done,    OrderResult::failed,
                                                   OrderResult::refused, OrderResult::undone,
                                                   OrderResult::refused, OrderResult::unknown};
  const json object = object_of(last_line);
  Answer answer;
  if (exit_code >= 0 && static_cast<std::size_t>(exit_code) < kResults.size()) {
    answer.result = kResults.at(static_cast<std::size_t>(exit_code));
  }
  answer.text = text_in(object, "text");
  if (answer.text.empty()) answer.text = otherwise;
  if (const auto attempt = object.find("attempt");
      attempt != object.end() && attempt->is_object()) {
    answer.handoff = figures_of(*attempt);
  }
  return answer;
}

std::string read_program(const std::string& last_line) {
  return text_in(object_of(last_line), "program");
}

Result<std::string> read_image(const std::string& last_line) {
  constexpr std::string_view kDigest = "sha256:";
  std::string image = text_in(object_of(last_line), "image");
  if (image.starts_with(kDigest) && image.size() > kDigest.size()) return image;
  return fail(ErrorCode::data_loss, "which image it is was not said");
}

Result<Status> read_status(const InstanceHome& home, int exit_code, const std::string& last_line) {
  if (exit_code == kRefused) return Status{};
  const json object = object_of(last_line);
  const auto found = object.find("status");
  if (exit_code != 0 || found == object.end() || !found->is_object()) {
    return fail(ErrorCode::unavailable, "cannot tell how {} is: {}", home.name,
                text_in(object, "text"));
  }
  Status status{.runs = true, .serves = number_in(*found, "pid") != 0};
  const auto program = found->find("program");
  if (program != found->end() && program->is_array() && !program->empty() &&
      program->front().is_string() && status.serves) {
    status.revision = revision_of(home, program->front().get<std::string>());
  }
  const auto attempt = found->find("attempt");
  if (attempt != found->end() && attempt->is_object()) {
    status.activity = text_in(*attempt, "keeper_phase") == "probation"
                          ? fleet::Activity::probation
                          : fleet::Activity::handing_off;
  }
  status.generation = number_in(*found, "generation");
  status.connections = number_in(*found, "connections");
  status.crashes = number_in(*found, "restarts");
  return status;
}

std::string read_container(const std::string& description) {
  return text_in(object_of(description), "container");
}

Result<Answer> read_history(const InstanceHome& home, int exit_code, const std::string& last_line,
                            fleet::Revision to) {
  const json object = object_of(last_line);
  const auto history = object.find("history");
  if (exit_code == kRefused) return Answer{.result = OrderResult::none};
  if (exit_code != 0 || history == object.end() || !history->is_array()) {
    return fail(ErrorCode::unavailable, "the history of {} cannot be read: {}", home.name,
                text_in(object, "text"));
  }
  if (history->empty() || !history->back().is_object()) return Answer{.result = OrderResult::none};
  const json& last = history->back();
  if (revision_of(home, text_in(last, "program")) != to) return Answer{.result = OrderResult::none};
  const std::string outcome = text_in(last, "outcome");
  Answer answer{.result = OrderResult::refused, .text = text_in(last, "aftermath")};
  if (outcome == "done") answer.result = OrderResult::done;
  if (outcome == "running") answer.result = OrderResult::under_way;
  if (outcome == "undone") answer.result = OrderResult::undone;
  if (const std::string why = text_in(last, "why"); !why.empty()) answer.text = why;
  answer.handoff = figures_of(last);
  return answer;
}

}  // namespace segue::agent
