// SPDX-License-Identifier: Apache-2.0
#include "runtime/engine_answers.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "runtime/json_fields.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

struct PhaseName {
  ContainerPhase phase;
  std::string_view name;
};
// Docker's words; Podman also says "configured", "initialized", "stopped", "stopping" and "unknown"
// in places.
constexpr std::array kPhaseNames{
    PhaseName{ContainerPhase::created, "created"},
    PhaseName{ContainerPhase::running, "running"},
    PhaseName{ContainerPhase::paused, "paused"},
    PhaseName{ContainerPhase::restarting, "restarting"},
    PhaseName{ContainerPhase::removing, "removing"},
    PhaseName{ContainerPhase::exited, "exited"},
    PhaseName{ContainerPhase::dead, "dead"},
    PhaseName{ContainerPhase::created, "configured"},
    PhaseName{ContainerPhase::created, "initialized"},
    PhaseName{ContainerPhase::running, "stopping"},
    PhaseName{ContainerPhase::exited, "stopped"},
};

Result<ContainerPhase> parse_phase(std::string_view name) {
  const auto found = std::ranges::find(kPhaseNames, name, &PhaseName::name);
  if (found != kPhaseNames.end()) return found->phase;
  return fail(ErrorCode::data_loss, "'{}' is no state of a container", name.substr(0, 40));
}

struct ActionName {
  std::string_view name;
  EventKind kind;
};
constexpr std::array kActionNames{
    ActionName{"create", EventKind::created},  ActionName{"start", EventKind::started},
    ActionName{"die", EventKind::died},        ActionName{"oom", EventKind::out_of_memory},
    ActionName{"destroy", EventKind::removed},  // Docker
    ActionName{"remove", EventKind::removed},   // Podman
};

std::string without_slash(std::string name) {
  if (name.starts_with('/')) name.erase(0, 1);
  return name;
}

// Podman leaves the algorithm out in some places.
std::string image_id(std::string id) {
  constexpr std::size_t kDigits = 64;
  return id.size() == kDigits ? "sha256:" + id : id;
}

Result<ApiVersion> parse_api_version(const std::string& text) {
  ApiVersion version;
  const char* const end = text.data() + text.size();
  const auto [dot, problem] = std::from_chars(text.data(), end, version.major);
  if (problem == std::errc() && dot != end && *dot == '.') {
    const auto [last, bad] = std::from_chars(dot + 1, end, version.minor);
    if (bad == std::errc() && last == end && version.major >= 0 && version.minor >= 0) {
      return version;
    }
  }
  return fail(ErrorCode::data_loss, "'{}' is no version of an API", text.substr(0, 40));
}

Result<std::int32_t> small_integer(const Json& object, const char* name, std::int64_t missing) {
  SEGUE_ASSIGN(const std::int64_t value, integer_of(object, name, missing));
  if (value >= INT32_MIN && value <= INT32_MAX) return static_cast<std::int32_t>(value);
  return fail(ErrorCode::data_loss, "'{}' of the engine's answer is {}", name, value);
}

Result<Image> image_of(const Json& json, const Json& labelled) {
  Image image;
  SEGUE_ASSIGN(std::string id, text_of(json, "Id"));
  image.id = image_id(std::move(id));
  SEGUE_ASSIGN(image.names, texts_of(json, "RepoTags"));
  SEGUE_ASSIGN(image.digests, texts_of(json, "RepoDigests"));
  SEGUE_ASSIGN(image.labels, labels_in(labelled, "Labels"));
  SEGUE_ASSIGN(image.size_bytes, count_of(json, "Size", 0));
  return image;
}

Result<ContainerSummary> summary_of(const Json& json) {
  ContainerSummary summary;
  SEGUE_ASSIGN(summary.id, text_of(json, "Id"));
  SEGUE_ASSIGN(const std::vector<std::string> names, texts_of(json, "Names"));
  // More than one are those of Docker's links to it, after its own.
  if (!names.empty()) summary.name = without_slash(names.front());
  SEGUE_ASSIGN(std::string image, text_of(json, "ImageID", ""));
  summary.image_id = image_id(std::move(image));
  SEGUE_ASSIGN(summary.labels, labels_in(json, "Labels"));
  SEGUE_ASSIGN(const std::string state, text_of(json, "State"));
  SEGUE_ASSIGN(summary.phase, parse_phase(state));
  return summary;
}

}  // namespace

std::string_view to_string(EngineKind kind) {
  return kind == EngineKind::docker ? "Docker" : "Podman";
}

std::string_view to_string(ContainerPhase phase) {
  return std::ranges::find(kPhaseNames, phase, &PhaseName::phase)->name;
}

Result<EngineVersion> parse_ping(const std::map<std::string, std::string>& fields) {
  const auto field = [&](const char* name) {
    const auto found = fields.find(name);
    return found == fields.end() ? std::string() : found->second;
  };
  EngineVersion version;
  const std::string server = field("server");  // "Docker/20.10.24 (linux)"
  const std::size_t slash = std::min(server.find('/') + 1, server.size());
  version.version = server.substr(slash, server.find(' ', slash) - slash);
  SEGUE_ASSIGN(const ApiVersion newest, parse_api_version(field("api-version")));
  if (newest < kOldestApi) {
    return fail(ErrorCode::failed_precondition,
                "the engine (version {}) speaks no newer version of the API than {}.{}, and Segue "
                "{}.{} to {}.{}: install a newer engine",
                version.version.substr(0, 40), newest.major, newest.minor, kOldestApi.major,
                kOldestApi.minor, kNewestApi.major, kNewestApi.minor);
  }
  const ApiVersion spoken = std::min(newest, kNewestApi);
  version.api_version = fmt::format("{}.{}", spoken.major, spoken.minor);
  if (fields.contains("libpod-api-version")) version.kind = EngineKind::podman;
  return version;
}

Result<Image> parse_image(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_object(body));
  const auto config = json.find("Config");
  const bool has_config = config != json.end() && config->is_object();
  return image_of(json, has_config ? *config : Json::object());
}

Result<std::vector<Image>> parse_images(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_list(body));
  std::vector<Image> images;
  for (const Json& item : json) {
    SEGUE_ASSIGN(Image image, image_of(item, item));
    images.push_back(std::move(image));
  }
  return images;
}

Result<std::string> parse_created(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_object(body));
  SEGUE_ASSIGN(std::string id, text_of(json, "Id"));
  if (!id.empty()) return id;
  return fail(ErrorCode::data_loss, "the engine's answer has an empty 'Id'");
}

Result<ContainerState> parse_container(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_object(body));
  ContainerState container;
  SEGUE_ASSIGN(container.id, text_of(json, "Id"));
  SEGUE_ASSIGN(std::string name, text_of(json, "Name"));
  container.name = without_slash(std::move(name));
  SEGUE_ASSIGN(std::string image, text_of(json, "Image", ""));
  container.image_id = image_id(std::move(image));
  SEGUE_ASSIGN(const Json config, object_of(json, "Config"));
  SEGUE_ASSIGN(container.labels, labels_in(config, "Labels"));
  SEGUE_ASSIGN(const Json state, object_of(json, "State"));
  SEGUE_ASSIGN(const std::string phase, text_of(state, "Status"));
  SEGUE_ASSIGN(container.phase, parse_phase(phase));
  SEGUE_ASSIGN(container.pid, small_integer(state, "Pid", 0));
  SEGUE_ASSIGN(container.exit_code, small_integer(state, "ExitCode", 0));
  SEGUE_ASSIGN(container.was_out_of_memory, truth_of(state, "OOMKilled"));
  SEGUE_ASSIGN(container.error, text_of(state, "Error", ""));
  SEGUE_ASSIGN(container.started, time_of(state, "StartedAt"));
  SEGUE_ASSIGN(container.finished, time_of(state, "FinishedAt"));
  return container;
}

Result<std::vector<ContainerSummary>> parse_containers(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_list(body));
  std::vector<ContainerSummary> containers;
  for (const Json& item : json) {
    SEGUE_ASSIGN(ContainerSummary summary, summary_of(item));
    containers.push_back(std::move(summary));
  }
  return containers;
}

Result<int> parse_wait(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_object(body));
  if (const auto error = json.find("Error"); error != json.end() && error->is_object()) {
    SEGUE_ASSIGN(const std::string message, text_of(*error, "Message", ""));
    if (!message.empty()) return fail(ErrorCode::internal, "{}", message);
  }
  SEGUE_ASSIGN(const std::int64_t code, integer_of(json, "StatusCode"));
  if (code >= INT32_MIN && code <= INT32_MAX) return static_cast<int>(code);
  return fail(ErrorCode::data_loss, "{} is no exit code", code);
}

Result<ExecState> parse_exec(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_object(body));
  ExecState state;
  SEGUE_ASSIGN(state.is_running, truth_of(json, "Running"));
  SEGUE_ASSIGN(state.exit_code, small_integer(json, "ExitCode", 0));
  return state;
}

Result<ContainerStats> parse_stats(std::string_view body) {
  SEGUE_ASSIGN(const Json json, parse_object(body));
  ContainerStats stats;
  SEGUE_ASSIGN(const Json cpu, object_of(json, "cpu_stats"));
  SEGUE_ASSIGN(const Json usage, object_of(cpu, "cpu_usage"));
  SEGUE_ASSIGN(const std::int64_t cpu_ns, integer_of(usage, "total_usage"));
  stats.cpu_time = base::Duration(cpu_ns);
  SEGUE_ASSIGN(const Json memory, object_of(json, "memory_stats"));
  SEGUE_ASSIGN(stats.memory_bytes, count_of(memory, "usage", 0));
  SEGUE_ASSIGN(stats.memory_limit_bytes, count_of(memory, "limit", 0));
  SEGUE_ASSIGN(const Json processes, object_of(json, "pids_stats"));
  SEGUE_ASSIGN(stats.processes, count_of(processes, "current", 0));
  return stats;
}

Result<ContainerEvent> parse_event(std::string_view line) {
  SEGUE_ASSIGN(const Json json, parse_object(line));
  ContainerEvent event;
  SEGUE_ASSIGN(event.action, text_of(json, "Action"));
  const auto known = std::ranges::find(kActionNames, event.action, &ActionName::name);
  if (known != kActionNames.end()) event.kind = known->kind;
  SEGUE_ASSIGN(const Json actor, object_of(json, "Actor"));
  SEGUE_ASSIGN(event.container_id, text_of(actor, "ID"));
  SEGUE_ASSIGN(event.labels, labels_in(actor, "Attributes"));
  // The engine's own attributes stand among the labels.
  event.container_name = event.labels["name"];
  if (event.kind == EventKind::died) {
    const std::string text = event.labels["exitCode"];
    int code = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), code);
    if (problem == std::errc() && end == text.data() + text.size()) event.exit_code = code;
  }
  std::erase_if(event.labels, [](const auto& label) {
    constexpr std::array kOwn{"name",  "image",       "exitCode", "containerExitCode",
                              "podId", "execDuration"};
    return std::ranges::find(kOwn, label.first) != kOwn.end();
  });
  SEGUE_ASSIGN(const std::int64_t at, integer_of(json, "timeNano"));
  event.at = base::RealTime(base::Duration(at));
  return event;
}

Result<std::vector<std::string>> LineSplitter::take(std::string_view bytes) {
  std::vector<std::string> lines;
  for (auto end = bytes.find('\n'); end != bytes.npos; end = bytes.find('\n')) {
    rest_ += bytes.substr(0, end);
    bytes.remove_prefix(end + 1);
    if (rest_.ends_with('\r')) rest_.pop_back();
    if (!rest_.empty()) lines.push_back(std::exchange(rest_, {}));
  }
  if (bytes.size() > kMaxLineBytes - std::min(rest_.size(), kMaxLineBytes)) {
    return fail(ErrorCode::resource_exhausted, "a line of the engine's has more than {} bytes",
                kMaxLineBytes);
  }
  rest_ += bytes;
  return lines;
}

void ImageStream::note_loaded(std::string_view text) {
  // "Loaded image: NAME[,NAME]", "Loaded image ID: sha256:…"
  constexpr std::string_view kBegin = "Loaded image";
  if (!text.starts_with(kBegin)) return;
  const auto colon = text.find(": ");
  if (colon == text.npos) return;
  text.remove_prefix(colon + 2);
  while (!text.empty() && loaded_.size() < kMaxLoaded) {
    const auto end = std::min(text.find_first_of(",\n"), text.size());
    if (end > 0) loaded_.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

Result<Progress> ImageStream::take_line(std::string_view line) {
  SEGUE_ASSIGN(const Json json, parse_object(line));
  SEGUE_ASSIGN(const std::string error, text_of(json, "error", ""));
  if (!error.empty()) return fail(ErrorCode::internal, "{}", error);
  SEGUE_ASSIGN(const std::string stream, text_of(json, "stream", ""));
  note_loaded(stream);
  SEGUE_ASSIGN(const std::string id, text_of(json, "id", ""));
  const auto detail = json.find("progressDetail");
  const bool has_layer = layers_.contains(id) || layers_.size() < kMaxLayers;
  if (detail != json.end() && detail->is_object() && !detail->empty() && has_layer) {
    Layer& layer = layers_[id];
    SEGUE_ASSIGN(layer.done_bytes, count_of(*detail, "current", layer.done_bytes));
    SEGUE_ASSIGN(layer.total_bytes, count_of(*detail, "total", layer.total_bytes));
  }
  Progress progress;
  std::uint64_t total_bytes = 0;
  for (const auto& [name, layer] : layers_) {
    progress.done_bytes += layer.done_bytes;
    total_bytes += layer.total_bytes;
  }
  if (total_bytes > 0) progress.total_bytes = total_bytes;
  SEGUE_ASSIGN(progress.text, text_of(json, "status", stream));
  return progress;
}

}  // namespace segue::runtime
