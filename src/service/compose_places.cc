// SPDX-License-Identifier: Apache-2.0
#include "service/compose_places.h"

#include <fmt/format.h>

#include <optional>
#include <utility>

#include "service/component_keys.h"
#include "service/compose_keys.h"
#include "service/values.h"

namespace segue::service {
namespace {

using config::Findings;
using config::Layers;
using config::Place;
using fleet::PublishedPort;
using fleet::Volume;

std::optional<PublishedPort> read_port_map(const Place& place, Findings& findings) {
  std::string target;
  std::string published;
  std::string address = "0.0.0.0";
  std::string protocol = "tcp";
  read_section({place},
               {plain_key("target", target, findings),
                plain_key("published", published, findings),
                plain_key("host_ip", address, findings),
                plain_key("protocol", protocol, findings),
                {"mode", [](const Layers&) {}},
                {"name", [](const Layers&) {}}},
               findings, is_extension);
  const bool v6 = address.find(':') != std::string::npos;
  const auto port = parse_compose_port(fmt::format("{}{}{}:{}:{}/{}", v6 ? "[" : "", address,
                                                   v6 ? "]" : "", published, target, protocol));
  if (port) return *port;
  findings.add(place, port.error().message());
  return std::nullopt;
}

struct VolumeEntry {
  Volume volume;
  std::string type;  // empty: by the look of its source
};

std::optional<VolumeEntry> read_volume_entry(const Place& place, Findings& findings) {
  VolumeEntry entry;
  if (!place.node.IsMap()) {
    auto volume = read_as(place, findings, [](const std::string& text) {
      return parse_volume(text.ends_with(":rw") ? text.substr(0, text.size() - 3) : text);
    });
    if (!volume) return std::nullopt;
    entry.volume = *std::move(volume);
    return entry;
  }
  read_section(
      {place},
      {plain_key("type", entry.type, findings), plain_key("source", entry.volume.source, findings),
       plain_key("target", entry.volume.target, findings),
       value_key("read_only", entry.volume.read_only, findings),
       refused_key("bind", "what it says has no equal", findings),
       refused_key("volume", "what it says has no equal", findings),
       refused_key("tmpfs", "there are only directories of the host", findings)},
      findings, is_extension);
  if (entry.type == "bind" || entry.type == "volume") return entry;
  findings.add(place, fmt::format("'type: {}' is neither bind nor volume", entry.type));
  return std::nullopt;
}

bool is_path(const VolumeEntry& entry) {
  const std::string& source = entry.volume.source;
  return entry.type == "bind" ||
         (entry.type.empty() &&
          (source.starts_with('/') || source.starts_with('.') || source.starts_with('~')));
}

}  // namespace

std::vector<PublishedPort> read_compose_ports(const Place& place, Findings& findings) {
  std::vector<PublishedPort> ports;
  each_member(place, findings, [&](const Place& member) {
    const auto port = member.node.IsMap() ? read_port_map(member, findings)
                                          : read_as(member, findings, parse_compose_port);
    if (port) ports.push_back(*port);
  });
  return ports;
}

void read_compose_volumes(const Place& place, const ComposeTop& top, const ComposeOptions& options,
                          ComposeService& service, Findings& findings) {
  each_member(place, findings, [&](const Place& member) {
    auto entry = read_volume_entry(member, findings);
    if (!entry) return;
    Volume& volume = entry->volume;
    const std::string name = volume.source.substr(0, 80);
    if (is_path(*entry)) {
      auto path = absolute_path(volume.source, options.directory);
      if (!path) {
        findings.add(member, path.error().message());
        return;
      }
      volume.source = *std::move(path);
    } else if (!top.volumes.contains(volume.source)) {
      findings.add(member, fmt::format("the volume '{}' is not among the file's 'volumes'", name));
      return;
    } else if (options.volumes.empty()) {
      findings.add(member, fmt::format("the volume '{}' is the engine's: say with --volumes in "
                                       "which directory of the host such volumes are to be",
                                       name));
      return;
    } else {
      volume.source = options.volumes + "/" + volume.source;
      service.comments.push_back(
          fmt::format("{} has to be there, with what the volume '{}' holds", volume.source, name));
    }
    service.component.spec.volumes.push_back(std::move(volume));
  });
}

std::vector<fleet::Secret> read_compose_secrets(const Place& place, const ComposeTop& top,
                                                Findings& findings) {
  constexpr const char* kWhy = "a secret is its component's user's alone";
  std::vector<fleet::Secret> secrets;
  each_member(place, findings, [&](const Place& member) {
    std::string source;
    std::string target;
    if (member.node.IsMap()) {
      read_section({member},
                   {plain_key("source", source, findings), plain_key("target", target, findings),
                    refused_key("uid", kWhy, findings), refused_key("gid", kWhy, findings),
                    refused_key("mode", kWhy, findings)},
                   findings, is_extension);
    } else if (auto name = read_plain(member, findings)) {
      source = *std::move(name);
    }
    const auto file = top.secret_files.find(source);
    if (file != top.secret_files.end()) {
      secrets.push_back({target.empty() ? source : target, file->second});
    } else {
      findings.add(member, fmt::format("the secret '{}' is not among the file's 'secrets'",
                                       source.substr(0, 40)));
    }
  });
  return secrets;
}

}  // namespace segue::service
