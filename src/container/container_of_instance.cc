// SPDX-License-Identifier: Apache-2.0
#include "container/container_of_instance.h"

#include <fmt/format.h>

#include "control/name.h"

namespace segue::container {

using runtime::BindMount;
using runtime::ContainerPhase;
using runtime::NetworkMode;

std::string Place::instances_folder() const {
  return folder + "/containers";
}

std::string Place::meeting_folder() const {
  return fmt::format("{}/{}/{}", folder, control::kContainers, generation);
}

std::string Place::description() const {
  return fmt::format("{}/{}/{}.json", folder, control::kContainers, generation);
}

std::string Place::rendezvous_folder() const {
  return folder + "/rendezvous";
}

runtime::ContainerSpec container_of_instance(const Place& place,
                                             const control::ContainerOptions& options,
                                             const std::vector<std::string>& arguments,
                                             const std::string& image_id,
                                             const std::string& starter, bool links_libsegue) {
  runtime::ContainerSpec spec;
  spec.name = fmt::format("segue-{}-{}-{}", place.component, place.generation,
                          starter.substr(0, starter.find(' ')));
  // Not the name alone: agents look for the containers of their own components by that label.
  spec.identity = {.component = "keeper:" + place.component, .slot = "", .release = options.image};
  spec.labels = {{std::string(kFolderLabel), place.folder},
                 {std::string(kStarterLabel), starter},
                 {std::string(kMeetingLabel), place.meeting_folder()}};
  spec.image = image_id;
  spec.arguments = arguments;
  for (const auto& variable : options.env) {
    const auto equals = variable.find('=');
    spec.environment[variable.substr(0, equals)] = variable.substr(equals + 1);
  }
  spec.environment["SEGUE_NAME"] = place.component;
  spec.environment["SEGUE_GENERATION"] = fmt::to_string(place.generation);
  spec.user = options.user;
  for (const auto& mount : options.mounts) {
    spec.mounts.emplace_back(BindMount{mount.source, mount.target, mount.is_read_only});
  }
  for (const auto& port : options.ports) {
    spec.ports.push_back({.host_address = port.address,
                          .host_port = port.host_port,
                          .container_port = port.port,
                          .is_udp = false});
  }
  if (links_libsegue) {
    spec.environment["SEGUE_KEEPER_SOCKET"] =
        fmt::format("{}/{}", kInnerMeetingFolder, kMeetingSocket);
    spec.mounts.emplace_back(
        BindMount{place.meeting_folder(), std::string(kInnerMeetingFolder), true});
    spec.mounts.emplace_back(BindMount{place.rendezvous_folder(), place.folder, true});
  }
  spec.network = options.network == "host"     ? NetworkMode::host
                 : options.network == "bridge" ? NetworkMode::bridge
                                               : NetworkMode::none;
  spec.memory_bytes = options.memory_bytes;
  spec.cpu_millicores = options.cpu_millicores;
  spec.max_processes = options.max_processes;
  spec.added_capabilities = options.cap_add;
  spec.is_root_read_only = !options.is_root_writable;
  if (options.max_descriptors > 0) {
    spec.descriptors.soft = spec.descriptors.hard = options.max_descriptors;
  }
  return spec;
}

// One that was given the keeper's channel is an instance, whoever had started it: its keeper sees
// to it.
Leftover judge(const runtime::ContainerSummary& found, bool starter_lives, bool was_given) {
  if (starter_lives) return Leftover::keep;
  switch (found.phase) {
    case ContainerPhase::created:
    case ContainerPhase::exited:
    case ContainerPhase::dead:
      return Leftover::remove;
    case ContainerPhase::running:
    case ContainerPhase::paused:
    case ContainerPhase::restarting:
      return was_given ? Leftover::keep : Leftover::kill_and_remove;
    case ContainerPhase::removing:
      return Leftover::keep;
  }
  return Leftover::keep;
}

}  // namespace segue::container
