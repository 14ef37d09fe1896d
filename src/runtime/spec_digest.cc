// SPDX-License-Identifier: Apache-2.0
// A spec's digest outlives the program that made it: it is of the spec's own members, and not of
// what an engine is told, and a member at its default is left out, so that a later Segue that knows
// more members finds the same containers.
#include <nlohmann/json.hpp>

#include "crypto/digest.h"
#include "runtime/container_spec.h"

namespace segue::runtime {
namespace {

using Json = nlohmann::json;

constexpr int kForm = 1;

Json json_of(const Limit& limit) {
  return {limit.name, limit.soft, limit.hard};
}

struct MountJson {
  Json operator()(const BindMount& mount) const {
    return {"bind", mount.source, mount.target, mount.is_read_only};
  }
  Json operator()(const VolumeMount& mount) const {
    return {"volume", mount.name, mount.target, mount.is_read_only};
  }
  Json operator()(const MemoryMount& mount) const {
    return {"memory", mount.target, mount.size_bytes, mount.mode};
  }
};

template <class Items, class ToJson>
Json list_of(const Items& items, ToJson to_json) {
  Json list = Json::array();
  for (const auto& item : items) list.push_back(to_json(item));
  return list;
}

// Those that are not at their defaults.
class Members {
 public:
  template <class T>
  void add(const char* name, const T& value, const T& usual) {
    if (!(value == usual)) json_[name] = value;
  }
  template <class T, class ToJson>
  void add(const char* name, const T& value, const T& usual, ToJson to_json) {
    if (!(value == usual)) json_[name] = to_json(value);
  }
  [[nodiscard]] std::string text() const {
    return json_.dump(-1, ' ', true, Json::error_handler_t::replace);
  }

 private:
  Json json_{{"form", kForm}};
};

void add_process(Members& members, const ContainerSpec& spec, const ContainerSpec& usual) {
  members.add("image", spec.image, usual.image);
  members.add("entrypoint", spec.entrypoint, usual.entrypoint);
  members.add("arguments", spec.arguments, usual.arguments);
  members.add("environment", spec.environment, usual.environment);
  members.add("working_directory", spec.working_directory, usual.working_directory);
  members.add("user", spec.user, usual.user);
  members.add("stop_signal", spec.stop_signal, usual.stop_signal);
  members.add("stop_grace_ns", spec.stop_grace.count(), usual.stop_grace.count());
}

void add_surroundings(Members& members, const ContainerSpec& spec, const ContainerSpec& usual) {
  members.add("mounts", spec.mounts, usual.mounts, [](const auto& mounts) {
    return list_of(mounts, [](const Mount& mount) { return std::visit(MountJson(), mount); });
  });
  members.add("secrets", spec.secrets, usual.secrets, [](const auto& secrets) {
    return list_of(secrets, [](const SecretFile& secret) -> Json {
      return {secret.source, secret.target, secret.content_digest};
    });
  });
  members.add("network", static_cast<int>(spec.network), static_cast<int>(usual.network));
  members.add("ports", spec.ports, usual.ports, [](const auto& ports) {
    return list_of(ports, [](const PublishedPort& port) -> Json {
      return {port.host_address, port.host_port, port.container_port, port.is_udp};
    });
  });
}

void add_bounds(Members& members, const ContainerSpec& spec, const ContainerSpec& usual) {
  members.add("memory_bytes", spec.memory_bytes, usual.memory_bytes);
  members.add("cpu_millicores", spec.cpu_millicores, usual.cpu_millicores);
  members.add("max_processes", spec.max_processes, usual.max_processes);
  members.add("descriptors", spec.descriptors, usual.descriptors, json_of);
  members.add("processes", spec.processes, usual.processes, json_of);
  members.add("limits", spec.limits, usual.limits,
              [](const auto& limits) { return list_of(limits, json_of); });
  members.add("dropped_capabilities", spec.dropped_capabilities, usual.dropped_capabilities);
  members.add("added_capabilities", spec.added_capabilities, usual.added_capabilities);
  members.add("is_root_read_only", spec.is_root_read_only, usual.is_root_read_only);
  members.add("may_gain_privileges", spec.may_gain_privileges, usual.may_gain_privileges);
  members.add("log_bytes", spec.log_bytes, usual.log_bytes);
}

}  // namespace

std::string spec_digest(const ContainerSpec& spec) {
  const ContainerSpec usual;
  Members members;
  members.add("component", spec.identity.component, usual.identity.component);
  members.add("slot", spec.identity.slot, usual.identity.slot);
  members.add("release", spec.identity.release, usual.identity.release);
  members.add("labels", spec.labels, usual.labels);
  add_process(members, spec, usual);
  add_surroundings(members, spec, usual);
  add_bounds(members, spec, usual);
  return "sha256:" + crypto::to_hex(crypto::digest_of(members.text()));
}

}  // namespace segue::runtime
