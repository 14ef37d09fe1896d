// SPDX-License-Identifier: Apache-2.0
#include "runtime/container_spec.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace segue::runtime {
namespace {

using Json = nlohmann::json;

// As large as Docker's default, which differs from Podman's.
constexpr std::uint64_t kSharedMemoryBytes = std::uint64_t{64} << 20;
constexpr std::int64_t kNanosPerMillicore = 1'000'000;
constexpr std::uint64_t kLogFiles = 2;  // the older goes when the newer is full

std::string_view name_of(NetworkMode mode) {
  switch (mode) {
    case NetworkMode::none:
      return "none";
    case NetworkMode::host:
      return "host";
    case NetworkMode::bridge:
      return "bridge";
  }
  return {};
}

Json json_of(const Mount& mount) {
  if (const auto* bind = std::get_if<BindMount>(&mount)) {
    return {{"Type", "bind"},
            {"Source", bind->source},
            {"Target", bind->target},
            {"ReadOnly", bind->is_read_only},
            {"BindOptions", {{"Propagation", "rprivate"}}}};
  }
  const auto& volume = std::get<VolumeMount>(mount);
  return {{"Type", "volume"},
          {"Source", volume.name},
          {"Target", volume.target},
          {"ReadOnly", volume.is_read_only}};
}

Json mounts_json(const ContainerSpec& spec) {
  Json mounts = Json::array();
  for (const Mount& mount : spec.mounts) {
    if (!std::holds_alternative<MemoryMount>(mount)) mounts.push_back(json_of(mount));
  }
  for (const SecretFile& secret : spec.secrets) {
    mounts.push_back(json_of(BindMount{secret.source, secret.target, true}));
  }
  return mounts;
}

Json memory_mounts_json(const ContainerSpec& spec) {
  Json mounts = Json::object();
  for (const Mount& mount : spec.mounts) {
    const auto* memory = std::get_if<MemoryMount>(&mount);
    if (memory == nullptr) continue;
    mounts[memory->target] =
        fmt::format("rw,nosuid,nodev,noexec,size={},mode={:04o}", memory->size_bytes, memory->mode);
  }
  return mounts;
}

Json limits_json(const ContainerSpec& spec) {
  Json limits = Json::array();
  const auto add = [&](const Limit& limit) {
    limits.push_back({{"Name", limit.name}, {"Soft", limit.soft}, {"Hard", limit.hard}});
  };
  add(spec.descriptors);
  add(spec.processes);
  for (const Limit& limit : spec.limits) add(limit);
  return limits;
}

std::string container_port(const PublishedPort& port) {
  return fmt::format("{}/{}", port.container_port, port.is_udp ? "udp" : "tcp");
}

Json port_bindings(const ContainerSpec& spec) {
  Json ports = Json::object();
  for (const PublishedPort& port : spec.ports) {
    ports[container_port(port)].push_back(
        {{"HostIp", port.host_address}, {"HostPort", std::to_string(port.host_port)}});
  }
  return ports;
}

Json host_config(const ContainerSpec& spec) {
  Json config{
      {"NetworkMode", name_of(spec.network)},
      {"PortBindings", port_bindings(spec)},
      {"Mounts", mounts_json(spec)},
      {"Tmpfs", memory_mounts_json(spec)},
      {"Ulimits", limits_json(spec)},
      {"CapDrop", spec.dropped_capabilities},
      {"CapAdd", spec.added_capabilities},
      {"ReadonlyRootfs", spec.is_root_read_only},
      {"RestartPolicy", {{"Name", "no"}}},  // who starts it again is not the engine
      {"AutoRemove", false},
      {"Privileged", false},
      {"Init", false},
      {"IpcMode", "private"},
      {"ShmSize", kSharedMemoryBytes},
      {"LogConfig",
       {{"Type", "json-file"},
        {"Config",
         {{"max-size", std::to_string(spec.log_bytes / kLogFiles)},
          {"max-file", std::to_string(kLogFiles)}}}}},
      // 0 would be the engine's default: 2,048 of Podman's.
      {"PidsLimit", spec.max_processes == 0 ? std::int64_t{-1} : std::int64_t{spec.max_processes}},
  };
  if (!spec.may_gain_privileges) config["SecurityOpt"] = Json::array({"no-new-privileges"});
  if (spec.memory_bytes != 0) {
    config["Memory"] = spec.memory_bytes;
    config["MemorySwap"] = spec.memory_bytes;  // both together: no swap
  }
  if (spec.cpu_millicores != 0) config["NanoCpus"] = spec.cpu_millicores * kNanosPerMillicore;
  return config;
}

std::vector<std::string> environment_words(const ContainerSpec& spec) {
  std::vector<std::string> words;
  for (const auto& [name, value] : spec.environment) words.push_back(name + "=" + value);
  return words;
}

std::int64_t whole_seconds(base::Duration duration) {
  return std::chrono::ceil<std::chrono::seconds>(duration).count();
}

}  // namespace

std::string create_body(const ContainerSpec& spec, EngineKind kind) {
  Json body{
      {"Image", spec.image},
      {"Labels", labels_of(spec)},
      {"Env", environment_words(spec)},
      {"StopSignal", spec.stop_signal},
      {"StopTimeout", whole_seconds(spec.stop_grace)},
      {"HostConfig", host_config(spec)},
  };
  // The image's own check is not run beside Segue's. Podman would make a timer of systemd's for
  // NONE.
  if (kind == EngineKind::docker) body["Healthcheck"]["Test"] = Json::array({"NONE"});
  if (!spec.entrypoint.empty()) body["Entrypoint"] = spec.entrypoint;
  if (!spec.arguments.empty()) body["Cmd"] = spec.arguments;
  if (!spec.working_directory.empty()) body["WorkingDir"] = spec.working_directory;
  if (!spec.user.empty()) body["User"] = spec.user;
  for (const PublishedPort& port : spec.ports) {
    body["ExposedPorts"][container_port(port)] = Json::object();
  }
  return body.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Labels labels_of(const ContainerSpec& spec) {
  Labels labels = spec.labels;
  labels[std::string(kComponentLabel)] = spec.identity.component;
  labels[std::string(kSlotLabel)] = spec.identity.slot;
  labels[std::string(kReleaseLabel)] = spec.identity.release;
  labels[std::string(kGenerationLabel)] = std::to_string(spec.identity.generation);
  labels[std::string(kSpecLabel)] = spec_digest(spec);
  return labels;
}

}  // namespace segue::runtime
