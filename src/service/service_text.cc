// SPDX-License-Identifier: Apache-2.0
#include "service/service_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "config/quantities.h"
#include "service/gate_text.h"
#include "service/option_keys.h"
#include "service/rollout_text.h"
#include "service/yaml_text.h"

namespace segue::service {
namespace {

using fleet::ComponentSpec;
using fleet::HealthCheck;

std::string time_text(std::uint32_t time_ms) {
  return config::time_span_text(std::uint64_t{time_ms} * 1'000);
}

void write_pairs(YamlText& yaml, const char* key, const std::vector<std::string>& pairs) {
  if (pairs.empty()) return;
  yaml.begin(key);
  for (const auto& pair : pairs) {
    const std::size_t equals = std::min(pair.find('='), pair.size());
    yaml.line(yaml_scalar(pair.substr(0, equals)),
              yaml_scalar(equals == pair.size() ? "" : pair.substr(equals + 1)));
  }
  yaml.end();
}

void write_release(YamlText& yaml, const fleet::ReleaseSource& release) {
  if (!release.registry.empty()) {
    yaml.line("image", yaml_scalar(release.registry));
    return;
  }
  yaml.begin("release");
  yaml.text("library", release.library);
  yaml.text("component", release.component);
  yaml.text("version", release.version);
  yaml.text("root", release.root);
  yaml.end();
}

void write_places(YamlText& yaml, const ComponentSpec& spec) {
  if (!spec.secrets.empty()) {
    yaml.begin("secrets");
    for (const auto& secret : spec.secrets) {
      yaml.line(yaml_scalar(secret.name), yaml_scalar(secret.file));
    }
    yaml.end();
  }
  if (!spec.volumes.empty()) {
    yaml.begin("volumes");
    for (const auto& volume : spec.volumes) {
      if (volume.source.find(':') == std::string::npos &&
          volume.target.find(':') == std::string::npos) {
        yaml.item(yaml_scalar(
            fmt::format("{}:{}{}", volume.source, volume.target, volume.read_only ? ":ro" : "")));
      } else {
        yaml.item(fmt::format("{{source: {}, target: {}, read_only: {}}}",
                              yaml_scalar(volume.source), yaml_scalar(volume.target),
                              volume.read_only));
      }
    }
    yaml.end();
  }
}

void write_network(YamlText& yaml, const ComponentSpec& spec) {
  if (yaml.shows(spec.network == fleet::Network::host)) {
    yaml.line("network", to_string(spec.network));
  }
  if (!spec.ports.empty()) {
    yaml.begin("ports");
    for (const auto& port : spec.ports) {
      const bool v6 = port.host.find(':') != std::string::npos;
      yaml.item(fmt::format("\"{}{}{}:{}:{}\"", v6 ? "[" : "", port.host, v6 ? "]" : "",
                            port.host_port, port.port));
    }
    yaml.end();
  }
  yaml.list("capabilities", spec.capabilities);
}

void write_limits(YamlText& yaml, const fleet::Limits& limits) {
  if (limits == fleet::Limits{}) return;
  yaml.begin("limits");
  if (limits.memory_bytes != 0) yaml.line("memory", config::size_text(limits.memory_bytes));
  if (limits.cpu_thousandths != 0) {
    yaml.line("cpus", config::thousandths_text(limits.cpu_thousandths));
  }
  if (limits.processes != 0) yaml.line("processes", fmt::to_string(limits.processes));
  if (limits.descriptors != 0) yaml.line("descriptors", fmt::to_string(limits.descriptors));
  yaml.end();
}

void write_health(YamlText& yaml, const HealthCheck& health) {
  const HealthCheck usual;
  if (health == usual) return;
  yaml.begin("health");
  if (health.kind != HealthCheck::Kind::none) {
    yaml.line(to_string(health.kind), yaml_scalar(health.target));
  }
  const auto time = [&](const char* key, std::uint32_t its, std::uint32_t usual_ms) {
    if (yaml.shows(its == usual_ms)) yaml.line(key, time_text(its));
  };
  time("interval", health.interval_ms, usual.interval_ms);
  time("timeout", health.timeout_ms, usual.timeout_ms);
  if (yaml.shows(health.good_in_row == usual.good_in_row)) {
    yaml.line("good", fmt::to_string(health.good_in_row));
  }
  if (yaml.shows(health.bad_in_row == usual.bad_in_row)) {
    yaml.line("bad", fmt::to_string(health.bad_in_row));
  }
  yaml.end();
}

void write_sharing(YamlText& yaml, const fleet::Sharing& sharing) {
  if (sharing == fleet::Sharing{}) return;
  yaml.begin("sharing");
  yaml.line("kind", to_string(sharing.kind));
  if (sharing.pick != fleet::Sharing::Pick::random) yaml.line("pick", to_string(sharing.pick));
  yaml.text("proxy_host", sharing.proxy_host);
  yaml.text("proxy_socket", sharing.proxy_socket);
  yaml.text("backend", sharing.backend);
  yaml.text("stable_server", sharing.stable_server);
  yaml.text("canary_server", sharing.canary_server);
  yaml.text("map", sharing.map);
  yaml.list("routed", sharing.routed);
  yaml.text("map_value", sharing.map_value);
  yaml.end();
}

void write_hosts(YamlText& yaml, const fleet::HostSelector& hosts) {
  if (hosts == fleet::HostSelector{}) return;
  yaml.begin("hosts");
  yaml.list("names", hosts.names);
  yaml.list("sites", hosts.sites);
  write_pairs(yaml, "labels", hosts.labels);
  yaml.end();
}

std::string option_text(const OptionKey& key, const std::string& value) {
  const auto time = [&](std::uint64_t factor) {
    return config::time_span_text(std::stoull(value) * factor);
  };
  switch (key.unit) {
    case OptionKey::Unit::truth:
      return value == "1" ? "true" : "false";
    case OptionKey::Unit::number:
      return value;
    case OptionKey::Unit::time_ms:
      return time(1'000);
    case OptionKey::Unit::time_us:
      return time(1);
    case OptionKey::Unit::text:
      break;
  }
  return yaml_scalar(value);
}

// Options that are not at their default, under the keys of the section.
void write_options(YamlText& yaml, std::string_view section, const ComponentSpec& spec) {
  control::Request contract;
  control::Request run;
  control::Request attempt;
  control::append_options(contract, spec.contract);
  control::append_options(run, spec.run);
  control::append_options(attempt, spec.attempt);
  const bool says_start = spec.run.start_ms != control::RunOptions{}.start_ms;
  bool open = section.empty();
  const auto line = [&](const OptionKey& key, const std::string& value) {
    if (!open) yaml.begin(section);
    open = true;
    yaml.line(key.key, option_text(key, value));
  };
  for (const OptionKey& key : option_keys(section)) {
    using Of = OptionKey::Of;
    const auto& its = key.of == Of::contract ? contract : key.of == Of::attempt ? attempt : run;
    if (key.option == "upgrade") {
      const std::string& upgrade = spec.contract.upgrade;
      if (yaml.shows(upgrade == kUsualUpgrade)) line(key, upgrade);
      continue;
    }
    if (key.of == Of::attempt && key.option == "start-ms") {
      // `start` says it of both.
      const bool differs = says_start ? spec.attempt.start_ms != spec.run.start_ms
                                      : spec.attempt.start_ms != control::AttemptOptions{}.start_ms;
      if (differs) line(key, fmt::to_string(spec.attempt.start_ms));
      continue;
    }
    const auto found = std::ranges::find(its.options, key.option, &control::Request::Option::key);
    if (found != its.options.end()) line(key, found->value);
  }
  if (open && !section.empty()) yaml.end();
}

void write_listen(YamlText& yaml, const std::vector<control::Listen>& listen) {
  if (listen.empty()) return;
  yaml.begin("listen");
  for (const auto& one : listen) {
    const std::string text = control::to_string(one);
    yaml.line(yaml_scalar(one.name), yaml_scalar(text.substr(one.name.size() + 1)));
  }
  yaml.end();
}

void write_component(YamlText& yaml, const ServiceComponent& component) {
  const ComponentSpec& spec = component.spec;
  yaml.begin(yaml_scalar(spec.name));
  if (yaml.shows(spec.driver == fleet::Driver::process)) {
    yaml.line("driver", to_string(spec.driver));
  }
  write_release(yaml, spec.release);
  yaml.list("command", spec.command);
  write_pairs(yaml, "environment", spec.environment);
  write_places(yaml, spec);
  write_network(yaml, spec);
  write_limits(yaml, spec.limits);
  write_health(yaml, spec.health);
  write_sharing(yaml, spec.sharing);
  write_hosts(yaml, spec.hosts);
  write_listen(yaml, spec.contract.listen);
  for (const auto& section : option_sections()) write_options(yaml, section.section, spec);
  write_rollout(yaml, component.strategy);
  write_gates(yaml, component.strategy.gates);
  yaml.end();
}

}  // namespace

std::string service_text(const Service& service, const TextOptions& options) {
  YamlText yaml(options.with_defaults);
  for (const auto& line : options.heading) yaml.comment(line);
  yaml.line("service", yaml_scalar(service.name));
  yaml.begin("components");
  for (const auto& component : service.components) {
    if (const auto found = options.comments.find(component.spec.name);
        found != options.comments.end()) {
      for (const auto& line : found->second) yaml.comment(line);
    }
    write_component(yaml, component);
  }
  yaml.end();
  return std::move(yaml).take();
}

}  // namespace segue::service
