// SPDX-License-Identifier: Apache-2.0
#include "fleet/component_check.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "control/name.h"
#include "fleet/component_document.h"
#include "fleet/endpoint.h"
#include "fleet/image_name.h"
#include "fleet/sharing_check.h"
#include "tuf/json.h"

namespace segue::fleet {
namespace {

constexpr std::size_t kMaxPathBytes = 4'095;
constexpr std::size_t kMaxTextBytes = 4'096;  // of a check
constexpr std::uint64_t kMinMemoryBytes = std::uint64_t{4} << 20U;
constexpr std::uint64_t kMaxMemoryBytes = std::uint64_t{1} << 50U;
constexpr std::uint32_t kMinCpuThousandths = 10;
constexpr std::uint32_t kMaxCpuThousandths = 4'096'000;
constexpr std::uint32_t kMaxProcesses = 4'194'304;  // PID_MAX_LIMIT
constexpr std::uint32_t kMinDescriptors = 16;
constexpr std::uint32_t kMaxDescriptors = 1'048'576;  // fs.nr_open as the kernel sets it
constexpr std::uint32_t kMinIntervalMs = 100;
constexpr std::uint32_t kMaxIntervalMs = 86'400'000;
constexpr std::uint32_t kMaxTimeoutMs = 600'000;
constexpr std::uint32_t kMaxInRow = 1'000;

// capabilities(7)
constexpr std::array<std::string_view, 41> kCapabilities = {"CHOWN",
                                                            "DAC_OVERRIDE",
                                                            "DAC_READ_SEARCH",
                                                            "FOWNER",
                                                            "FSETID",
                                                            "KILL",
                                                            "SETGID",
                                                            "SETUID",
                                                            "SETPCAP",
                                                            "LINUX_IMMUTABLE",
                                                            "NET_BIND_SERVICE",
                                                            "NET_BROADCAST",
                                                            "NET_ADMIN",
                                                            "NET_RAW",
                                                            "IPC_LOCK",
                                                            "IPC_OWNER",
                                                            "SYS_MODULE",
                                                            "SYS_RAWIO",
                                                            "SYS_CHROOT",
                                                            "SYS_PTRACE",
                                                            "SYS_PACCT",
                                                            "SYS_ADMIN",
                                                            "SYS_BOOT",
                                                            "SYS_NICE",
                                                            "SYS_RESOURCE",
                                                            "SYS_TIME",
                                                            "SYS_TTY_CONFIG",
                                                            "MKNOD",
                                                            "LEASE",
                                                            "AUDIT_WRITE",
                                                            "AUDIT_CONTROL",
                                                            "SETFCAP",
                                                            "MAC_OVERRIDE",
                                                            "MAC_ADMIN",
                                                            "SYSLOG",
                                                            "WAKE_ALARM",
                                                            "BLOCK_SUSPEND",
                                                            "AUDIT_READ",
                                                            "PERFMON",
                                                            "BPF",
                                                            "CHECKPOINT_RESTORE"};

std::string shown(std::string_view text) {
  return std::string(text.substr(0, 80));
}

// Absolute, and the shortest form of itself: nothing that climbs, no empty part.
bool is_path(std::string_view path) {
  if (!path.starts_with('/') || path.size() > kMaxPathBytes) return false;
  if (path == "/") return true;
  for (std::size_t begin = 1; begin <= path.size();) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == "..") return false;
    begin = end + 1;
  }
  return true;
}

bool is_below_a_tree(std::string_view path) {
  return !path.starts_with('/') && is_path("/" + std::string(path)) && !path.empty();
}

bool is_url(std::string_view text) {
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!text.starts_with(scheme)) continue;
    const std::string_view rest = text.substr(scheme.size());
    return !rest.empty() && rest.front() != '/' && text.size() <= kMaxTextBytes &&
           std::ranges::all_of(text, [](char c) { return c > ' ' && c < 0x7F; });
  }
  return false;
}

// What a health check can ask: without TLS, and of no name server.
bool is_asked_url(const std::string& url) {
  constexpr std::string_view kScheme = "http://";
  if (!is_url(url) || !url.starts_with(kScheme)) return false;
  const std::size_t end = std::min(url.find('/', kScheme.size()), url.size());
  const std::string address = url.substr(kScheme.size(), end - kScheme.size());
  const bool has_port = address.find(':') != std::string::npos && address.back() != ']';
  return is_numeric_endpoint(has_port ? address : address + ":80");
}

class Checker {
 public:
  explicit Checker(const ComponentSpec& spec) : spec_(spec) {}

  std::vector<ComponentProblem> run() {
    name("service", spec_.service, "a service");
    name("name", spec_.name, "a component");
    release();
    launch();
    secrets();
    volumes();
    network();
    capabilities();
    limits();
    health();
    sharing();
    hosts();
    upgrade();
    if (problems_.empty()) whole();
    return std::move(problems_);
  }

 private:
  template <class... Args>
  void add(std::string field, fmt::format_string<Args...> format, Args&&... args) {
    problems_.push_back({std::move(field), fmt::format(format, std::forward<Args>(args)...)});
  }

  // Under `field` unless the message says where itself.
  void add(const std::string& field, const base::Error& error) {
    problems_.push_back({field, error.message()});
  }

  void name(const std::string& field, const std::string& text, std::string_view what) {
    if (const auto fine = control::check_name(text, what); !fine) add(field, fine.error());
  }

  template <class T>
  void bounded(const std::string& field, T number, T min, T max, bool may_be_none) {
    if ((may_be_none && number == 0) || (number >= min && number <= max)) return;
    add(field, "{} is not {}{} to {}", number, may_be_none ? "0 (none) or " : "", min, max);
  }

  template <class Key>
  void only_once(const std::string& field, std::set<Key>& seen, const Key& key,
                 const std::string& text) {
    if (!seen.insert(key).second) add(field, "'{}' is there twice", shown(text));
  }

  bool count(const std::string& field, std::size_t number, std::size_t max) {
    if (number <= max) return true;
    add(field, "{} of them; at most {}", number, max);
    return false;
  }

  [[nodiscard]] bool is_container() const { return spec_.driver == Driver::container; }

  void release() {
    const ReleaseSource& source = spec_.release;
    if (!source.registry.empty()) {
      if (!is_container()) {
        add("release.registry", "only a container is made from a registry's image");
      }
      if (const auto fine = check_image_name(source.registry); !fine) {
        add("release.registry", fine.error());
      }
      if (source != ReleaseSource{.library = {},
                                  .component = {},
                                  .version = {},
                                  .root = {},
                                  .registry = source.registry}) {
        add("release", "an image is either of a registry or of a library: leave the other out");
      }
      return;
    }
    if (source.library.empty()) {
      add("release.library", "missing: the URL or the directory of a release library{}",
          is_container() ? ", or an image of a registry" : "");
    } else if (!is_path(source.library) && !is_url(source.library)) {
      add("release.library", "'{}' is neither an http URL nor an absolute path",
          shown(source.library));
    }
    if (!source.component.empty()) name("release.component", source.component, "a component");
    if (const auto fine = control::check_version(source.version); !fine) {
      add("release.version", fine.error());
    }
    if (!source.root.empty() && !is_path(source.root)) {
      add("release.root", "'{}' is not an absolute path", shown(source.root));
    }
  }

  void launch() {
    std::size_t bytes = 0;
    if (spec_.command.empty()) {
      if (!is_container()) add("command", "missing: [PROGRAM, ARGUMENT, …]");
    } else if (spec_.command.front().empty()) {
      add("command[0]", "the program is empty");
    } else if (!is_container() && !is_below_a_tree(spec_.command.front())) {
      add("command[0]", "'{}' is not a path below the release's tree, as bin/serve",
          shown(spec_.command.front()));
    }
    count("command", spec_.command.size(), kMaxWords);
    count("environment", spec_.environment.size(), kMaxWords);
    for (const auto& word : spec_.command) bytes += word.size() + 1;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < spec_.environment.size(); ++i) {
      bytes += spec_.environment[i].size() + 1;
      environment_variable(fmt::format("environment[{}]", i), spec_.environment[i], seen);
    }
    if (bytes > kMaxLaunchBytes) {
      add("environment", "it and the command have {} bytes; at most {}", bytes, kMaxLaunchBytes);
    }
  }

  void environment_variable(const std::string& field, const std::string& variable,
                            std::set<std::string>& seen) {
    const std::size_t equals = variable.find('=');
    const std::string variable_name = variable.substr(0, equals);
    const bool usable =
        equals != std::string::npos && !variable_name.empty() &&
        std::ranges::all_of(variable_name, [](char c) { return c > ' ' && c != 0x7F; });
    if (!usable) {
      add(field, "'{}' is not NAME=value", shown(variable));
    } else if (variable_name.starts_with("SEGUE_")) {
      add(field, "'{}' is Segue's own to set", shown(variable_name));
    } else {
      only_once(field, seen, variable_name, variable_name);
    }
  }

  void secrets() {
    if (!count("secrets", spec_.secrets.size(), kMaxPlaces)) return;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < spec_.secrets.size(); ++i) {
      const std::string field = fmt::format("secrets[{}]", i);
      const Secret& secret = spec_.secrets[i];
      name(field + ".name", secret.name, "a secret");
      only_once(field + ".name", seen, secret.name, secret.name);
      if (!is_path(secret.file) || secret.file == "/") {
        add(field + ".file", "'{}' is not the absolute path of a file", shown(secret.file));
      }
    }
  }

  void volumes() {
    if (!is_container() && !spec_.volumes.empty()) {
      add("volumes", "only a container has volumes: a process sees the host's directories");
      return;
    }
    if (!count("volumes", spec_.volumes.size(), kMaxPlaces)) return;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < spec_.volumes.size(); ++i) {
      const std::string field = fmt::format("volumes[{}]", i);
      const Volume& volume = spec_.volumes[i];
      if (!is_path(volume.source)) {
        add(field + ".source", "'{}' is not an absolute path without '.', '..' and '//'",
            shown(volume.source));
      }
      if (!is_path(volume.target) || volume.target == "/") {
        add(field + ".target", "'{}' is not an absolute path below /", shown(volume.target));
      }
      only_once(field + ".target", seen, volume.target, volume.target);
    }
  }

  void network() {
    if (!is_container() && spec_.network != Network::host) {
      add("network", "'{}' is a container's: a process is on the host's network",
          to_string(spec_.network));
    }
    if (spec_.ports.empty()) return;
    if (!is_container() || spec_.network != Network::bridge) {
      add("ports", "only a container with 'network: bridge' publishes ports");
      return;
    }
    if (!count("ports", spec_.ports.size(), kMaxPlaces)) return;
    std::set<std::pair<std::string, std::uint16_t>> seen;
    for (std::size_t i = 0; i < spec_.ports.size(); ++i) {
      const std::string field = fmt::format("ports[{}]", i);
      const PublishedPort& port = spec_.ports[i];
      if (!is_numeric_address(port.host)) {
        add(field + ".host", "'{}' is not a numeric address", shown(port.host));
      }
      if (port.host_port == 0) add(field + ".host_port", "0 is not 1 to 65535");
      if (port.port == 0) add(field + ".port", "0 is not 1 to 65535");
      only_once(field + ".host_port", seen, std::pair(port.host, port.host_port),
                fmt::format("{}:{}", port.host, port.host_port));
    }
  }

  void capabilities() {
    if (!is_container() && !spec_.capabilities.empty()) {
      add("capabilities", "only a container is given capabilities; a process keeps its user's");
      return;
    }
    std::set<std::string> seen;
    for (std::size_t i = 0; i < spec_.capabilities.size(); ++i) {
      const std::string field = fmt::format("capabilities[{}]", i);
      const std::string& capability = spec_.capabilities[i];
      if (std::ranges::find(kCapabilities, capability) == kCapabilities.end()) {
        add(field, "'{}' is none of capabilities(7); write it as NET_BIND_SERVICE",
            shown(capability));
        if (problems_.size() > kMaxPlaces) return;
      } else {
        only_once(field, seen, capability, capability);
      }
    }
  }

  void limits() {
    const Limits& its = spec_.limits;
    bounded("limits.memory_bytes", its.memory_bytes, kMinMemoryBytes, kMaxMemoryBytes, true);
    bounded("limits.cpu_thousandths", its.cpu_thousandths, kMinCpuThousandths, kMaxCpuThousandths,
            true);
    bounded("limits.processes", its.processes, 1U, kMaxProcesses, true);
    bounded("limits.descriptors", its.descriptors, kMinDescriptors, kMaxDescriptors, true);
  }

  void health() {
    const HealthCheck& check = spec_.health;
    bounded("health.interval_ms", check.interval_ms, kMinIntervalMs, kMaxIntervalMs, false);
    bounded("health.timeout_ms", check.timeout_ms, 1U, kMaxTimeoutMs, false);
    bounded("health.good_in_row", check.good_in_row, 1U, kMaxInRow, false);
    bounded("health.bad_in_row", check.bad_in_row, 1U, kMaxInRow, false);
    const std::string field = "health.target";
    switch (check.kind) {
      case HealthCheck::Kind::none:
        if (!check.target.empty()) add(field, "without a kind of check");
        return;
      case HealthCheck::Kind::http:
        if (!is_asked_url(check.target)) {
          add(field, "'{}' is not http://ADDRESS:PORT/PATH with a numeric address",
              shown(check.target));
        }
        return;
      case HealthCheck::Kind::exec:
        if (check.target.empty() || check.target.size() > kMaxTextBytes) {
          add(field, "a shell command of 1 to {} bytes is needed", kMaxTextBytes);
        }
        return;
      case HealthCheck::Kind::tcp:
        if (!is_numeric_endpoint(check.target)) {
          add(field, "'{}' is not HOST:PORT with a numeric host", shown(check.target));
        }
        return;
      case HealthCheck::Kind::grpc:
        if (!control::parse_host_port(check.target.substr(0, check.target.find('/')))) {
          add(field, "'{}' is not HOST:PORT or HOST:PORT/SERVICE", shown(check.target));
        }
    }
  }

  void sharing() {
    auto found = problems_of(spec_.sharing, spec_.hosts);
    std::ranges::move(found, std::back_inserter(problems_));
  }

  void hosts() {
    const auto names = [&](const char* field, const std::vector<std::string>& list,
                           const char* what) {
      if (!count(field, list.size(), kMaxSelected)) return;
      std::set<std::string> seen;
      for (std::size_t i = 0; i < list.size(); ++i) {
        const std::string place = fmt::format("{}[{}]", field, i);
        name(place, list[i], what);
        only_once(place, seen, list[i], list[i]);
      }
    };
    names("hosts.names", spec_.hosts.names, "a host");
    names("hosts.sites", spec_.hosts.sites, "a site");
    if (!count("hosts.labels", spec_.hosts.labels.size(), kMaxSelected)) return;
    std::set<std::string> seen;
    for (std::size_t i = 0; i < spec_.hosts.labels.size(); ++i) {
      const std::string field = fmt::format("hosts.labels[{}]", i);
      const std::string& label = spec_.hosts.labels[i];
      const std::size_t equals = label.find('=');
      if (equals == std::string::npos || !control::check_name(label.substr(0, equals)) ||
          !control::check_name(label.substr(equals + 1))) {
        add(field, "'{}' is not NAME=VALUE, both of letters, digits, '.', '_' and '-'",
            shown(label));
      }
      only_once(field, seen, label, label);
    }
  }

  void upgrade() {
    if (const auto fine = control::check_contract(spec_.contract); !fine) {
      add("contract", fine.error());
    }
    if (const auto fine = control::check_options(spec_.attempt); !fine) {
      add("attempt", fine.error());
    }
    if (!spec_.run.metrics_listen.empty() && !control::parse_host_port(spec_.run.metrics_listen)) {
      add("run", "metrics-listen: '{}' is not HOST:PORT", shown(spec_.run.metrics_listen));
    }
    if (!spec_.run.unsafe_fault.empty()) {
      add("run", "unsafe-fault: a fleet runs no faults; name it to a keeper itself");
    }
  }

  // What the fields' own rules leave open, once they hold.
  void whole() {
    for (const auto* words : {&spec_.command, &spec_.environment}) {
      const std::string field = words == &spec_.command ? "command" : "environment";
      for (std::size_t i = 0; i < words->size(); ++i) {
        text(fmt::format("{}[{}]", field, i), (*words)[i]);
      }
    }
    text("health.target", spec_.health.target);
    for (const auto& volume : spec_.volumes) {
      text("volumes", volume.source);
      text("volumes", volume.target);
    }
    for (const auto& secret : spec_.secrets) text("secrets", secret.file);
    text("release", spec_.release.library + spec_.release.root);
    text("attempt", spec_.attempt.health_cmd + spec_.attempt.health_tcp);
    text("run", spec_.run.metrics_listen);
    text("sharing", spec_.sharing.proxy_socket);
    text("contract", spec_.contract.new_pid);
    for (const auto& listen : spec_.contract.listen) text("contract", listen.host);
    if (const std::size_t bytes = write_component(spec_).size(); bytes > kMaxComponentBytes) {
      add("", "the component has {} bytes; at most {}", bytes, kMaxComponentBytes);
    }
  }

  void text(const std::string& field, const std::string& its) {
    if (its.find('\0') != std::string::npos) {
      add(field, "it holds a NUL");
    } else if (!tuf::canonical_json(its)) {
      add(field, "it is not UTF-8");
    }
  }

  const ComponentSpec& spec_;
  std::vector<ComponentProblem> problems_;
};

}  // namespace

std::vector<ComponentProblem> problems_of(const ComponentSpec& spec) {
  return Checker(spec).run();
}

base::Result<void> check_component(const ComponentSpec& spec) {
  const auto problems = problems_of(spec);
  if (problems.empty()) return {};
  const auto& first = problems.front();
  return base::fail(base::ErrorCode::invalid_argument, "{}{}{}", first.field,
                    first.field.empty() ? "" : ": ", first.text);
}

}  // namespace segue::fleet
