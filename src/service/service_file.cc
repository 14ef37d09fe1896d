// SPDX-License-Identifier: Apache-2.0
#include "service/service_file.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "control/name.h"
#include "fleet/component_check.h"
#include "fleet/joint_check.h"
#include "service/component_keys.h"
#include "service/gate_keys.h"
#include "service/option_keys.h"
#include "service/rollout_keys.h"
#include "service/values.h"

namespace segue::service {
namespace {

using config::Findings;
using config::Keys;
using config::Layers;
using config::Place;

constexpr const char* kDefaults = "defaults";

bool has(const Place& map, const char* key) {
  return map.node.IsMap() && map.node[key].IsDefined();
}

// The key of what fleet::problems_of() calls `field`: lists of it may be maps of names here.
std::string key_of_problem(const fleet::ComponentSpec& spec, const std::string& field) {
  const std::size_t open = field.find('[');
  if (open == std::string::npos) {
    const bool is_target = field == "health.target";
    return is_target && spec.health.kind != fleet::HealthCheck::Kind::none
               ? fmt::format("health.{}", to_string(spec.health.kind))
               : key_of_field(field);
  }
  const std::string list = field.substr(0, open);
  std::size_t index = 0;
  std::from_chars(field.data() + open + 1, field.data() + field.size(), index);
  const auto name_of = [&](const std::vector<std::string>& all) {
    return list + "." + all.at(index).substr(0, all.at(index).find('='));
  };
  if (list == "environment") return name_of(spec.environment);
  if (list == "hosts.labels") return name_of(spec.hosts.labels);
  if (list == "secrets") return list + "." + spec.secrets.at(index).name;
  return field;
}

class Reader {
 public:
  explicit Reader(Findings& findings) : findings_(findings) {}

  Service read(const Place& root) {
    read_section({root},
                 {value_key("service", service_.name, findings_),
                  {kDefaults, [this](const Layers& layers) { read_defaults(layers.back()); }},
                  {"components",
                   [this](const Layers& layers) {
                     each_entry(layers, findings_,
                                [this](const std::string& name, const Place& at) {
                                  read_component(name, at);
                                });
                   }}},
                 findings_);
    if (!root.node.IsMap()) return {};
    if (!has(root, "service")) {
      findings_.add(root, "'service' is missing: the service's name");
    } else if (const auto fine = control::check_name(service_.name, "a service"); !fine) {
      findings_.add({root.node, "service"}, fine.error().message());
    }
    if (service_.components.empty() && findings_.empty()) {
      findings_.add({root.node, "components"}, "'components' names none");
    }
    return std::move(service_);
  }

 private:
  // What is wrong in them is said once, and of a component that none has overwritten.
  void read_defaults(const Place& place) {
    defaults_ = place;
    ServiceComponent ignored;
    read_section({place}, component_keys(ignored, findings_), findings_);
  }

  void read_component(const std::string& name, const Place& place) {
    if (service_.components.size() == kMaxComponents) {
      findings_.add({place.node, "components"},
                    fmt::format("more than {} components", kMaxComponents));
      return;
    }
    ServiceComponent& component = service_.components.emplace_back();
    component.spec.service = service_.name;
    component.spec.name = name;
    component.spec.contract.upgrade = kUsualUpgrade;
    if (!defaults_ || !place.node.IsMap()) {
      read_section({place}, component_keys(component, findings_), findings_);
    } else {
      read_section({*defaults_, place}, component_keys(component, findings_), findings_);
      // An image takes the place of a release of the defaults, and the other way round.
      fleet::ReleaseSource& release = component.spec.release;
      if (has(place, "image") && !has(place, "release")) {
        release = {.library = {},
                   .component = {},
                   .version = {},
                   .root = {},
                   .registry = release.registry};
      } else if (has(place, "release") && !has(place, "image")) {
        release.registry.clear();
      }
    }
    check(component, place);
  }

  void check(const ServiceComponent& component, const Place& place) {
    for (const auto& problem : fleet::problems_of(component.spec)) {
      if (problem.field == "service") continue;  // said of the file
      add_problem(place, component.spec, problem);
    }
    const auto checked = fleet::check(component.strategy);
    if (!checked) {
      const std::string& message = checked.error().message();
      const std::size_t colon = std::min(message.find(": "), message.size());
      const std::string field = message.substr(0, colon);
      add(place,
          field.starts_with("gates.") ? field
                                      : "rollout." + rollout_place_of(field, component.strategy),
          colon == message.size() ? message : message.substr(colon + 2));
    }
    if (!findings_.empty()) return;  // of each other they speak when each is in order
    for (const auto& problem : fleet::problems_between(component.spec, component.strategy)) {
      add(place, problem.field, problem.text);
    }
  }

  void add_problem(const Place& place, const fleet::ComponentSpec& spec,
                   const fleet::ComponentProblem& problem) {
    std::string key = key_of_problem(spec, problem.field);
    std::string_view text = problem.text;
    if (problem.field == "contract" || problem.field == "attempt" || problem.field == "run") {
      // "OPTION: …" or, of a contract, "upgrade WORD: …"
      const std::size_t colon = text.find(": ");
      const std::string_view option = text.substr(0, text.find_first_of(": "));
      if (colon != std::string_view::npos && key_of_option(option) != option) {
        key = key_of_option(option);
        if (colon == option.size()) text = text.substr(colon + 2);
      } else if (option == "listen" || option == "upgrade" || option == "ready") {
        key = option;
        if (colon == option.size()) text = text.substr(colon + 2);
      }
    }
    if (problem.field == "name") key.clear();
    add(place, key, text);
  }

  void add(const Place& place, const std::string& key, std::string_view text) {
    findings_.add_at(line_of(place, key), key.empty() ? place.where : place.where + "." + key,
                     text);
  }

  // Of `key` of the component, or of the defaults if that is where it was said; else of what is
  // around it.
  int line_of(const Place& place, std::string key) {
    while (!key.empty()) {
      if (const auto own = findings_.line_of(place.where + "." + key)) return *own;
      const auto common = findings_.line_of(std::string(kDefaults) + "." + key);
      if (defaults_ && common) return *common;
      const std::size_t end = key.find_last_of(".[");
      key.resize(end == std::string::npos ? 0 : end);
    }
    return findings_.line_of(place.where).value_or(1);
  }

  Findings& findings_;
  Service service_;
  std::optional<Place> defaults_;
};

void list(std::vector<std::string>& names, const std::string& prefix, const Keys& keys) {
  for (const auto& key : keys) names.push_back(prefix + key.name);
}

}  // namespace

ServiceReading read_service(const std::string& path, const std::string& text) {
  Findings findings(path);
  ServiceReading reading;
  try {
    if (const auto root = findings.load(text, kMaxServiceFileBytes)) {
      reading.service = Reader(findings).read({*root, ""});
    }
  } catch (const YAML::Exception& error) {  // none is expected of a tree that was loaded
    findings.add_at(error.mark.line + 1, "", error.msg);
  }
  if (!findings.empty()) reading.service.reset();
  reading.problems = findings.lines();
  return reading;
}

bool is_component_file(const std::string& text) {
  try {
    const YAML::Node root = text.size() > kMaxServiceFileBytes ? YAML::Node() : YAML::Load(text);
    return root.IsMap() && root["name"].IsDefined() && !root["components"].IsDefined();
  } catch (const YAML::Exception&) {
    return false;
  }
}

std::vector<std::string> service_file_keys() {
  Findings findings("");
  ServiceComponent component;
  fleet::Volume volume;
  fleet::Wave wave;
  fleet::StepLimits limits;
  fleet::CanaryStep step;
  std::vector<std::string> names = {"service", "defaults", "components"};
  list(names, "", component_keys(component, findings));
  list(names, "release.", release_keys(component.spec.release, findings));
  list(names, "volumes[].", volume_keys(volume, findings));
  list(names, "limits.", limit_keys(component.spec.limits, findings));
  list(names, "health.", health_keys(component.spec.health, findings));
  list(names, "sharing.", sharing_keys(component.spec.sharing, findings));
  list(names, "hosts.", host_keys(component.spec.hosts, findings));
  for (const auto& section : option_sections()) {
    if (section.section.empty()) continue;
    list(names, std::string(section.section) + ".",
         option_readers(section.section, component.spec, findings));
  }
  for (const auto kind : {fleet::GateKind::handoff, fleet::GateKind::health, fleet::GateKind::query,
                          fleet::GateKind::compare, fleet::GateKind::latency}) {
    fleet::Gate gate;
    list(names, "gates.NAME.", gate_keys(kind, gate, findings));
  }
  fleet::GateArm arm;
  for (const auto kind : {fleet::GateKind::compare, fleet::GateKind::latency}) {
    list(names, "gates.NAME.canary.", gate_arm_keys(kind, arm, findings));
    list(names, "gates.NAME.baseline.", gate_arm_keys(kind, arm, findings));
  }
  list(names, "rollout.", rollout_keys(component.strategy, findings));
  list(names, "rollout.waves[].", wave_keys(wave, limits, findings));
  list(names, "rollout.canary.", canary_keys(component.strategy, findings));
  list(names, "rollout.canary.steps[].", canary_step_keys(step, findings));
  return names;
}

}  // namespace segue::service
