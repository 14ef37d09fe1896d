// SPDX-License-Identifier: Apache-2.0
#include "service/component_keys.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

#include "fleet/component_check.h"
#include "service/gate_keys.h"
#include "service/option_keys.h"
#include "service/rollout_keys.h"
#include "service/values.h"

namespace segue::service {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using config::Findings;
using config::Key;
using config::Keys;
using config::Layers;
using config::Place;
using fleet::HealthCheck;

// A section whose layers go one over the other.
template <class Make, class Value>
Key section_key(std::string name, Make make, Value& value, Findings& findings) {
  return {std::move(name), [make, &value, &findings](const Layers& layers) {
            read_section(layers, make(value, findings), findings);
          }};
}

// NAME=value, one in place of another of the same name.
void set_variable(std::vector<std::string>& environment, const std::string& name,
                  const std::string& value) {
  const auto same = [&](const std::string& one) { return one.starts_with(name + "="); };
  const auto found = std::ranges::find_if(environment, same);
  if (found != environment.end()) {
    *found = name + "=" + value;
  } else if (environment.size() <= fleet::kMaxWords) {  // one too many is refused later
    environment.push_back(name + "=" + value);
  }
}

// Each layer's names with their values.
Key names_key(std::string name, Findings& findings,
              std::function<void(const std::string&, std::string, const Place&)> set) {
  return {std::move(name), [set = std::move(set), &findings](const Layers& layers) {
            for (const auto& layer : layers) {
              config::each_entry({layer}, findings, [&](const std::string& one, const Place& at) {
                if (auto value = config::read_text(at, findings)) set(one, *std::move(value), at);
              });
            }
          }};
}

Key environment_key(std::vector<std::string>& environment, Findings& findings) {
  return names_key("environment", findings,
                   [&environment, &findings](const std::string& name, const std::string& value,
                                             const Place& at) {
                     if (name.find('=') != std::string::npos || name.empty()) {
                       findings.add(at, "a variable's name is not empty and has no '='");
                     } else {
                       set_variable(environment, name, value);
                     }
                   });
}

Key secrets_key(std::vector<fleet::Secret>& secrets, Findings& findings) {
  return names_key("secrets", findings,
                   [&secrets](const std::string& name, std::string file, const Place&) {
                     const auto found = std::ranges::find(secrets, name, &fleet::Secret::name);
                     if (found != secrets.end()) {
                       found->file = std::move(file);
                     } else if (secrets.size() <= fleet::kMaxPlaces) {
                       secrets.push_back({name, std::move(file)});
                     }
                   });
}

Key listen_key(control::ContractOptions& contract, Findings& findings) {
  return {"listen", [&contract, &findings](const Layers& layers) {
            contract.listen.clear();
            config::each_entry(layers, findings, [&](const std::string& name, const Place& at) {
              auto listen = config::read_parsed(at, findings, [&](const std::string& address) {
                return control::parse_listen(name + "=" + address);
              });
              if (listen) contract.listen.push_back(*std::move(listen));
            });
          }};
}

Key ports_key(std::vector<fleet::PublishedPort>& ports, Findings& findings) {
  return {"ports", [&ports, &findings](const Layers& layers) {
            ports.clear();
            config::each_member(layers.back(), findings, [&](const Place& member) {
              auto port = config::read_parsed(member, findings, parse_port);
              // One that is wrong keeps its number.
              ports.push_back(port.value_or(fleet::PublishedPort{"0.0.0.0", 1, 1}));
            });
          }};
}

Key volumes_key(std::vector<fleet::Volume>& volumes, Findings& findings) {
  return {"volumes", [&volumes, &findings](const Layers& layers) {
            volumes.clear();
            config::each_member(layers.back(), findings, [&](const Place& member) {
              fleet::Volume volume;
              if (member.node.IsMap()) {
                read_section({member}, volume_keys(volume, findings), findings);
              } else if (auto parsed = config::read_parsed(member, findings, parse_volume)) {
                volume = *std::move(parsed);
              } else {
                volume = {"/", fmt::format("/{}", volumes.size()), false};
              }
              volumes.push_back(std::move(volume));
            });
          }};
}

Result<std::uint16_t> parse_port_number(const std::string& text) {
  std::uint16_t number = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem == std::errc() && end == text.data() + text.size() && number > 0) return number;
  return fail(ErrorCode::invalid_argument, "'{}' is not a port, 1 to 65535", text.substr(0, 40));
}

// Of `health`, which says its kind by the key of its target.
Key health_kind_key(const char* name, HealthCheck::Kind kind, HealthCheck& health,
                    Findings& findings) {
  return {name, [kind, &health, &findings](const Layers& layers) {
            if (health.kind != HealthCheck::Kind::none) {
              findings.add(layers.back(), "one check is enough: leave the other out");
            }
            health.kind = kind;
            take(layers.back(), health.target, findings);
          }};
}

Key time_key(const char* name, std::uint32_t& time_ms, Findings& findings) {
  return {name, [&time_ms, &findings](const Layers& layers) {
            take_ms(layers.back(), time_ms, findings);
          }};
}

void append(Keys& keys, Keys more) {
  keys.insert(keys.end(), std::make_move_iterator(more.begin()),
              std::make_move_iterator(more.end()));
}

}  // namespace

Keys release_keys(fleet::ReleaseSource& release, Findings& findings) {
  return {value_key("library", release.library, findings),
          value_key("component", release.component, findings),
          value_key("version", release.version, findings),
          value_key("root", release.root, findings)};
}

Keys limit_keys(fleet::Limits& limits, Findings& findings) {
  return {
      {"memory",
       [&limits, &findings](const Layers& layers) {
         limits.memory_bytes =
             config::read_parsed(layers.back(), findings, config::parse_size_bytes).value_or(0);
       }},
      {"cpus",
       [&limits, &findings](const Layers& layers) {
         limits.cpu_thousandths =
             config::read_parsed(layers.back(), findings, config::parse_thousandths).value_or(0);
       }},
      value_key("processes", limits.processes, findings),
      value_key("descriptors", limits.descriptors, findings)};
}

Keys health_keys(HealthCheck& health, Findings& findings) {
  using Kind = HealthCheck::Kind;
  return {health_kind_key("http", Kind::http, health, findings),
          health_kind_key("tcp", Kind::tcp, health, findings),
          health_kind_key("exec", Kind::exec, health, findings),
          health_kind_key("grpc", Kind::grpc, health, findings),
          time_key("interval", health.interval_ms, findings),
          time_key("timeout", health.timeout_ms, findings),
          value_key("good", health.good_in_row, findings),
          value_key("bad", health.bad_in_row, findings)};
}

Keys sharing_keys(fleet::Sharing& sharing, Findings& findings) {
  return {value_key("kind", sharing.kind, findings),
          value_key("pick", sharing.pick, findings),
          value_key("proxy_host", sharing.proxy_host, findings),
          value_key("proxy_socket", sharing.proxy_socket, findings),
          value_key("backend", sharing.backend, findings),
          value_key("stable_server", sharing.stable_server, findings),
          value_key("canary_server", sharing.canary_server, findings),
          value_key("map", sharing.map, findings),
          value_key("routed", sharing.routed, findings),
          value_key("map_value", sharing.map_value, findings)};
}

Keys host_keys(fleet::HostSelector& hosts, Findings& findings) {
  Keys keys{value_key("names", hosts.names, findings), value_key("sites", hosts.sites, findings)};
  keys.push_back(names_key("labels", findings,
                           [&hosts](const std::string& name, const std::string& value,
                                    const Place&) { set_variable(hosts.labels, name, value); }));
  return keys;
}

Keys volume_keys(fleet::Volume& volume, Findings& findings) {
  return {value_key("source", volume.source, findings),
          value_key("target", volume.target, findings),
          value_key("read_only", volume.read_only, findings)};
}

Keys component_keys(ServiceComponent& component, Findings& findings) {
  fleet::ComponentSpec& spec = component.spec;
  const auto options = [&spec, &findings](const char* section) {
    return Key{section, [section, &spec, &findings](const Layers& layers) {
                 read_section(layers, option_readers(section, spec, findings), findings);
               }};
  };
  Keys keys{value_key("driver", spec.driver, findings),
            section_key("release", release_keys, spec.release, findings),
            {"image",
             [&spec, &findings](const Layers& layers) {
               take(layers.back(), spec.release.registry, findings);
               if (layers.back().node.IsScalar() && spec.release.registry.empty()) {
                 findings.add(layers.back(), "without a name; as redis:7");
               }
             }},
            value_key("command", spec.command, findings),
            environment_key(spec.environment, findings),
            secrets_key(spec.secrets, findings),
            volumes_key(spec.volumes, findings),
            value_key("network", spec.network, findings),
            ports_key(spec.ports, findings),
            value_key("capabilities", spec.capabilities, findings),
            section_key("limits", limit_keys, spec.limits, findings),
            {"health",
             [&spec, &findings](const Layers& layers) {
               read_section({layers.back()}, health_keys(spec.health, findings), findings);
               const YAML::Node& node = layers.back().node;
               if (node.IsMap() && node.size() > 0 && spec.health.kind == HealthCheck::Kind::none) {
                 findings.add(layers.back(),
                              "which check? One of 'http', 'tcp', 'exec' and 'grpc'");
               }
             }},
            {"sharing",
             [&spec, &findings](const Layers& layers) {
               read_section({layers.back()}, sharing_keys(spec.sharing, findings), findings);
             }},
            section_key("hosts", host_keys, spec.hosts, findings),
            listen_key(spec.contract, findings)};
  append(keys, option_readers("", spec, findings));
  append(keys, {options("stop"),
                options("signal"),
                options("handoff"),
                {"rollout",
                 [&component, &findings](const Layers& layers) {
                   read_rollout(layers, component.strategy, findings);
                 }},
                {"gates", [&component, &findings](const Layers& layers) {
                   read_gates(layers, component.strategy.gates, findings);
                 }}});
  return keys;
}

Result<fleet::PublishedPort> parse_port(const std::string& text) {
  const std::size_t last = text.rfind(':');
  if (last == std::string::npos || last == 0) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is not [ADDRESS:]HOST_PORT:PORT, as 8080:80 or 127.0.0.1:8080:80",
                text.substr(0, 80));
  }
  fleet::PublishedPort port;
  SEGUE_ASSIGN(port.port, parse_port_number(text.substr(last + 1)));
  const std::size_t before = text.rfind(':', last - 1);
  const std::size_t begin = before == std::string::npos ? 0 : before + 1;
  SEGUE_ASSIGN(port.host_port, parse_port_number(text.substr(begin, last - begin)));
  if (before == std::string::npos) return port;
  port.host = text.substr(0, before);
  if (port.host.starts_with('[') && port.host.ends_with(']')) {
    port.host = port.host.substr(1, port.host.size() - 2);
  }
  return port;
}

Result<fleet::Volume> parse_volume(const std::string& text) {
  const std::size_t colon = text.find(':');
  if (colon != std::string::npos) {
    fleet::Volume volume{text.substr(0, colon), text.substr(colon + 1), false};
    if (volume.target.ends_with(":ro")) {
      volume.target.resize(volume.target.size() - 3);
      volume.read_only = true;
    }
    if (volume.target.find(':') == std::string::npos) return volume;
  }
  return fail(ErrorCode::invalid_argument,
              "'{}' is not SOURCE:TARGET or SOURCE:TARGET:ro; paths with ':' are written as "
              "{{source: …, target: …}}",
              text.substr(0, 80));
}

std::string key_of_field(const std::string& field) {
  static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kNames = {
      {{"limits.memory_bytes", "limits.memory"},
       {"limits.cpu_thousandths", "limits.cpus"},
       {"health.interval_ms", "health.interval"},
       {"health.timeout_ms", "health.timeout"},
       {"health.good_in_row", "health.good"},
       {"health.bad_in_row", "health.bad"},
       {"health.target", "health"},
       {"release.registry", "image"},
       {"contract", "upgrade"},
       {"attempt", "handoff"},
       {"run", "max_restarts"}}};
  for (const auto& [known, key] : kNames) {
    if (known == field) return std::string(key);
  }
  return field;
}

}  // namespace segue::service
