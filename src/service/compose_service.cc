// SPDX-License-Identifier: Apache-2.0
#include "service/compose_service.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "fleet/component_check.h"
#include "service/compose_keys.h"
#include "service/compose_places.h"
#include "service/compose_values.h"
#include "service/service_file.h"
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

constexpr std::uint32_t kUnlimitedRestarts = 1'000'000;

// Where a compose.yaml says what a component's field holds. A list that more than one key fills, or
// that is sorted, has no place for a single member.
std::string compose_key_of(const std::string& field) {
  constexpr std::array<std::pair<std::string_view, std::string_view>, 9> kKeys = {
      {{"release", "image"},
       {"environment", "environment"},
       {"capabilities", "cap_add"},
       {"health", "healthcheck"},
       {"limits.memory_bytes", "mem_limit"},
       {"limits.cpu_thousandths", "cpus"},
       {"limits.processes", "pids_limit"},
       {"limits.descriptors", "ulimits"},
       {"contract", "stop_signal"}}};
  for (const auto& [begin, key] : kKeys) {
    if (field.starts_with(begin)) return std::string(key);
  }
  return field;
}

class ServiceReader {
 public:
  ServiceReader(const std::string& name, const ComposeTop& top, const ComposeOptions& options,
                Findings& findings)
      : top_(top), options_(options), findings_(findings) {
    spec().name = name;
    spec().driver = fleet::Driver::container;
    spec().network = fleet::Network::bridge;
    spec().contract.upgrade = "restart";  // few images link libsegue, and none says so
    spec().run.max_restarts = 0;          // until it says something else
  }

  ComposeService read(const Place& place) {
    place_ = place;
    result_.line = findings_.line_of(place.where).value_or(1);
    read_section({place}, keys(), findings_, is_extension);
    if (place.node.IsMap() && !place.node["image"]) findings_.add(place, "'image' is missing");
    finish();
    return std::move(result_);
  }

 private:
  fleet::ComponentSpec& spec() { return result_.component.spec; }

  template <class... Args>
  void comment(fmt::format_string<Args...> format, Args&&... args) {
    result_.comments.push_back(fmt::format(format, std::forward<Args>(args)...));
  }

  // A key with one value that `take` gets.
  Key key(const char* name, void (ServiceReader::*take)(const Place&)) {
    return {name, [this, take](const Layers& layers) { (this->*take)(layers.back()); }};
  }

  Keys keys() {
    Keys keys{key("image", &ServiceReader::image),
              key("container_name", &ServiceReader::container_name),
              key("command", &ServiceReader::command),
              key("env_file", &ServiceReader::env_file),
              key("environment", &ServiceReader::environment),
              key("network_mode", &ServiceReader::network_mode),
              key("ports", &ServiceReader::ports),
              key("expose", &ServiceReader::expose),
              key("volumes", &ServiceReader::volumes),
              key("secrets", &ServiceReader::secrets),
              key("cap_drop", &ServiceReader::cap_drop),
              key("cap_add", &ServiceReader::cap_add),
              key("read_only", &ServiceReader::read_only),
              key("mem_limit", &ServiceReader::memory),
              key("cpus", &ServiceReader::cpus),
              key("pids_limit", &ServiceReader::processes),
              key("ulimits", &ServiceReader::ulimits),
              key("deploy", &ServiceReader::deploy),
              key("healthcheck", &ServiceReader::healthcheck),
              key("restart", &ServiceReader::restart),
              key("stop_signal", &ServiceReader::stop_signal),
              key("stop_grace_period", &ServiceReader::stop_grace_period),
              key("depends_on", &ServiceReader::depends_on),
              key("labels", &ServiceReader::labels)};
    add_refused_keys(keys, findings_);
    return keys;
  }

  void image(const Place& place) {
    if (auto name = read_plain(place, findings_)) spec().release.registry = *std::move(name);
  }

  void container_name(const Place& place) {
    if (const auto name = read_plain(place, findings_)) comment("was the container '{}'", *name);
  }

  void command(const Place& place) {
    if (place.node.IsSequence()) {
      spec().command = texts(place);
    } else if (auto words = read_as(place, findings_, split_words)) {
      spec().command = *std::move(words);
    }
  }

  std::vector<std::string> texts(const Place& place) {
    std::vector<std::string> result;
    each_member(place, findings_, [&](const Place& member) {
      if (auto text = read_plain(member, findings_)) result.push_back(*std::move(text));
    });
    return result;
  }

  void set_variable(const std::string& name, const std::string& value) {
    auto& all = spec().environment;
    std::erase_if(all, [&](const std::string& one) { return one.starts_with(name + "="); });
    if (all.size() <= fleet::kMaxWords) all.push_back(name + "=" + value);  // refused later
  }

  void env_file(const Place& place) {
    std::vector<std::string> paths;
    if (place.node.IsSequence()) {
      paths = texts(place);
    } else if (auto path = read_plain(place, findings_)) {
      paths.push_back(*std::move(path));
    }
    for (const auto& path : paths) {
      const auto whole = absolute_path(path, options_.directory);
      auto text = whole && options_.read_file
                      ? options_.read_file(*whole)
                      : Result<std::string>(fail(ErrorCode::not_found, "it cannot be read"));
      const auto variables =
          text ? parse_environment_file(*text)
               : Result<std::vector<Variable>>(tl::unexpected(std::move(text).error()));
      if (!variables) {
        findings_.add(place, fmt::format("{}: {}", path, variables.error().message()));
        continue;
      }
      for (const auto& [name, value] : *variables) set_variable(name, value);
    }
  }

  // NAME: VALUE, or a list of NAME=VALUE.
  void pairs(const Place& place,
             const std::function<void(const std::string&, const std::string&)>& take,
             const char* without_value) {
    if (place.node.IsSequence()) {
      each_member(place, findings_, [&](const Place& member) {
        const auto text = read_plain(member, findings_);
        if (!text) return;
        const std::size_t equals = text->find('=');
        if (equals == std::string::npos || equals == 0) {
          findings_.add(member, fmt::format("'{}': {}", text->substr(0, 40), without_value));
        } else {
          take(text->substr(0, equals), text->substr(equals + 1));
        }
      });
      return;
    }
    each_entry({place}, findings_, [&](const std::string& name, const Place& value) {
      if (value.node.IsNull()) {
        findings_.add(value, without_value);
      } else if (const auto text = read_plain(value, findings_)) {
        take(name, *text);
      }
    });
  }

  void environment(const Place& place) {
    pairs(
        place, [this](const auto& name, const auto& value) { set_variable(name, value); },
        "Compose would take it from whoever runs it: write the value");
  }

  void labels(const Place& place) {
    pairs(
        place, [this](const auto& name, const auto& value) { comment("label {}={}", name, value); },
        "a label without a value");
  }

  void network_mode(const Place& place) {
    const auto mode = read_plain(place, findings_);
    if (!mode) return;
    if (const auto network = fleet::network_of(*mode)) {
      spec().network = *network;
    } else {
      findings_.add(place, fmt::format("'{}' is none of host, bridge, none", mode->substr(0, 40)));
    }
  }

  void ports(const Place& place) { spec().ports = read_compose_ports(place, findings_); }

  // Says nothing to a host: containers of one network reach each other anyway.
  void expose(const Place& place) { texts(place); }

  void volumes(const Place& place) {
    read_compose_volumes(place, top_, options_, result_, findings_);
  }

  void secrets(const Place& place) {
    spec().secrets = read_compose_secrets(place, top_, findings_);
  }

  std::vector<std::string> capability_names(const Place& place) {
    std::vector<std::string> names = texts(place);
    for (auto& name : names) {
      if (name.starts_with("CAP_")) name = name.substr(4);
    }
    return names;
  }

  void cap_drop(const Place& place) {
    for (const auto& name : capability_names(place)) {
      if (name == "ALL" || name == "all") {
        capabilities_.clear();
      } else {
        std::erase(capabilities_, name);
      }
    }
  }

  void cap_add(const Place& place) {
    for (const auto& name : capability_names(place)) {
      if (name == "ALL" || name == "all") {
        findings_.add(place, "'ALL': name the capabilities that it needs");
      } else if (std::ranges::find(capabilities_, name) == capabilities_.end() &&
                 capabilities_.size() < fleet::kMaxPlaces) {
        capabilities_.push_back(name);
      }
    }
  }

  void read_only(const Place& place) { take(place, is_root_read_only_, findings_); }

  void memory(const Place& place) {
    if (const auto size = read_as(place, findings_, parse_compose_size)) {
      limit(place, spec().limits.memory_bytes, *size);
    }
  }

  void cpus(const Place& place) {
    if (const auto cpus = read_as(place, findings_, config::parse_thousandths)) {
      limit(place, spec().limits.cpu_thousandths, *cpus);
    }
  }

  void processes(const Place& place) {
    if (place.node.IsScalar() && place.node.Scalar() == "-1") return;  // none
    std::uint32_t number = 0;
    take(place, number, findings_);
    limit(place, spec().limits.processes, number);
  }

  template <class T>
  void limit(const Place& place, T& its, T number) {
    if (its != 0 && its != number) findings_.add(place, "said twice, and not the same");
    its = number;
  }

  void ulimits(const Place& place) {
    read_section({place}, {key("nofile", &ServiceReader::descriptors)}, findings_, is_extension);
  }

  void descriptors(const Place& place) {
    std::uint32_t soft = 0;
    std::uint32_t hard = 0;
    if (place.node.IsMap()) {
      read_section({place},
                   {value_key("soft", soft, findings_), value_key("hard", hard, findings_)},
                   findings_);
      if (soft != hard) findings_.add(place, "soft and hard have to be the same here");
    } else {
      take(place, soft, findings_);
    }
    spec().limits.descriptors = soft;
  }

  void deploy(const Place& place) {
    read_section(
        {place},
        {key("replicas", &ServiceReader::replicas), key("resources", &ServiceReader::resources),
         key("labels", &ServiceReader::labels),
         refused_key("mode", "one instance runs on each of the component's hosts", findings_),
         refused_key("placement", "say it in segue.yaml: 'hosts'", findings_),
         refused_key("restart_policy", "say it as 'restart'", findings_),
         refused_key("update_config", "say it in segue.yaml: 'rollout'", findings_),
         refused_key("rollback_config", "say it in segue.yaml: 'rollout'", findings_),
         refused_key("endpoint_mode", "clients find the host themselves", findings_)},
        findings_, is_extension);
  }

  void replicas(const Place& place) {
    std::uint32_t number = 1;
    take(place, number, findings_);
    if (number != 1) {
      findings_.add(place,
                    "one instance of a component runs on each of its hosts: make it 1, and "
                    "name the hosts in segue.yaml");
    }
  }

  void resources(const Place& place) {
    read_section({place},
                 {{"limits",
                   [this](const Layers& layers) {
                     read_section(
                         layers,
                         {key("cpus", &ServiceReader::cpus), key("memory", &ServiceReader::memory),
                          key("pids", &ServiceReader::processes),
                          refused_key("devices", "there are none", findings_)},
                         findings_);
                   }},
                  refused_key("reservations", "nothing is reserved for a component", findings_)},
                 findings_, is_extension);
  }

  void healthcheck(const Place& place) {
    HealthCheck& check = spec().health;
    // Those of Compose.
    check = {.kind = HealthCheck::Kind::none,
             .target = {},
             .interval_ms = 30'000,
             .timeout_ms = 30'000,
             .good_in_row = 1,
             .bad_in_row = 3};
    bool is_disabled = false;
    std::uint32_t start_ms = 0;
    const auto time = [this](const char* name, std::uint32_t& time_ms) {
      return Key{name, [this, &time_ms](const Layers& layers) {
                   take_ms(layers.back(), time_ms, findings_);
                 }};
    };
    read_section(
        {place},
        {key("test", &ServiceReader::health_test), time("interval", check.interval_ms),
         time("timeout", check.timeout_ms), value_key("retries", check.bad_in_row, findings_),
         time("start_period", start_ms), value_key("disable", is_disabled, findings_),
         refused_key("start_interval", "checks come at one interval", findings_)},
        findings_, is_extension);
    if (start_ms != 0) spec().run.start_ms = spec().attempt.start_ms = start_ms;
    if (is_disabled || is_health_off_) {
      check = {};
    } else if (place.node.IsMap() && !place.node["test"]) {
      findings_.add(place, "'test' is missing; a check that only the image knows is not made");
    }
  }

  void health_test(const Place& place) {
    std::vector<std::string> words;
    if (place.node.IsSequence()) {
      words = texts(place);
    } else if (auto text = read_plain(place, findings_)) {
      words = {"CMD-SHELL", *std::move(text)};
    }
    if (words.size() == 1 && words[0] == "NONE") {
      is_health_off_ = true;
    } else if (words.size() == 2 && words[0] == "CMD-SHELL") {
      health_command(words[1]);
    } else if (words.size() > 1 && words[0] == "CMD") {
      health_command(shell_command({words.begin() + 1, words.end()}));
    } else {
      findings_.add(place, "neither [CMD, PROGRAM, …], [CMD-SHELL, COMMAND] nor [NONE]");
    }
  }

  void health_command(std::string command) {
    spec().health.kind = HealthCheck::Kind::exec;
    spec().health.target = std::move(command);
  }

  void restart(const Place& place) {
    const auto policy = read_plain(place, findings_);
    if (!policy) return;
    auto& max_restarts = spec().run.max_restarts;
    if (*policy == "no") {
      max_restarts = 0;
    } else if (*policy == "always" || *policy == "unless-stopped" || *policy == "on-failure") {
      max_restarts = kUnlimitedRestarts;
    } else if (policy->starts_with("on-failure:")) {
      Place number = place;
      number.node = YAML::Node(policy->substr(policy->find(':') + 1));
      take(number, max_restarts, findings_);
    } else {
      findings_.add(place, fmt::format("'{}' is none of no, always, unless-stopped, on-failure, "
                                       "on-failure:N",
                                       policy->substr(0, 40)));
    }
  }

  void stop_signal(const Place& place) {
    const auto signal = read_as(place, findings_, [](const std::string& text) {
      return control::parse_signal(text).map([&](int) { return text; });
    });
    if (signal) spec().contract.stop_signal = *signal;
  }

  void stop_grace_period(const Place& place) { take_ms(place, spec().run.grace_ms, findings_); }

  void condition(const Place& place) {
    const auto word = read_plain(place, findings_);
    if (!word || *word == "service_started" || *word == "service_healthy") return;
    if (*word == "service_completed_successfully") {
      findings_.add(place, "a component serves; what ends is part of a build or of a start");
    } else {
      findings_.add(place, fmt::format("'{}' is none of service_started, service_healthy",
                                       word->substr(0, 40)));
    }
  }

  void depends_on(const Place& place) {
    if (place.node.IsSequence()) {
      result_.after = texts(place);
      if (result_.after.size() > kMaxComponents) {
        findings_.add(place, fmt::format("more than {} services", kMaxComponents));
        result_.after.clear();
      }
      return;
    }
    each_entry({place}, findings_, [this](const std::string& name, const Place& entry) {
      if (result_.after.size() < kMaxComponents) result_.after.push_back(name);
      bool is_required = true;
      bool restarts = false;
      read_section({entry},
                   {key("condition", &ServiceReader::condition),
                    value_key("required", is_required, findings_),
                    value_key("restart", restarts, findings_)},
                   findings_);
      if (restarts) findings_.add(entry, "'restart': a component is not restarted for another's");
    });
  }

  void finish() {
    spec().capabilities = std::move(capabilities_);
    std::ranges::sort(spec().capabilities);
    if (!is_root_read_only_) {
      comment(
          "its files outside of 'volumes' cannot be written to: give each directory that it "
          "writes to a volume");
    }
    spec().service = "service";  // not yet known; checked for itself
    if (!findings_.empty()) return;
    for (const auto& problem : fleet::problems_of(spec())) {
      const std::string where = place_.where + "." + compose_key_of(problem.field);
      findings_.add_at(line_near(where), where, problem.text);
    }
  }

  // What was read as this, or what it is in.
  [[nodiscard]] int line_near(std::string where) const {
    while (!where.empty()) {
      if (const auto line = findings_.line_of(where)) return *line;
      const std::size_t end = where.find_last_of(".[");
      where.resize(end == std::string::npos ? 0 : end);
    }
    return result_.line;
  }

  const ComposeTop& top_;
  const ComposeOptions& options_;
  Findings& findings_;
  Place place_;
  ComposeService result_;
  std::vector<std::string> capabilities_ = usual_capabilities();
  bool is_root_read_only_ = false;
  bool is_health_off_ = false;
};

}  // namespace

ComposeService read_compose_service(const std::string& name, const Place& place,
                                    const ComposeTop& top, const ComposeOptions& options,
                                    Findings& findings) {
  return ServiceReader(name, top, options, findings).read(place);
}

}  // namespace segue::service
