// SPDX-License-Identifier: Apache-2.0
#include "control/container_options.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <limits>
#include <utility>

#include "control/name.h"
#include "control/option_rows.h"
#include "control/options.h"

namespace segue::control {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::string_view, 3> kNetworks = {"none", "host", "bridge"};
constexpr std::string_view kUnix = "unix://";
constexpr std::uint32_t kMillicores = 1'000;  // of a CPU
constexpr std::uint32_t kMaxCpus = 4'096;
constexpr std::uint32_t kMostDescriptors = 1U << 30;
constexpr std::uint32_t kMostProcesses = 4'194'304;  // PID_MAX_LIMIT
constexpr std::size_t kMaxValueBytes = std::size_t{64} << 10;

Result<void> assign_network(const std::string& value, ContainerOptions& options) {
  if (std::find(kNetworks.begin(), kNetworks.end(), value) == kNetworks.end()) {
    return fail(ErrorCode::invalid_argument, "network: '{}' is none of none, host, bridge", value);
  }
  options.network = value;
  return {};
}

Result<void> assign_engine(const std::string& value, ContainerOptions& options) {
  if (!value.starts_with(kUnix) || value.size() == kUnix.size() || value[kUnix.size()] != '/') {
    return fail(ErrorCode::invalid_argument,
                "engine: '{}' is not unix:///PATH, as unix:///run/podman/podman.sock", value);
  }
  options.engine = value;
  return {};
}

// 0.5, 2: CPUs.
Result<void> assign_cpus(const std::string& value, ContainerOptions& options) {
  char* end = nullptr;
  const double cpus = std::strtod(value.c_str(), &end);
  const bool is_number = !value.empty() && *end == '\0' && std::isfinite(cpus);
  if (!is_number || cpus < 0.001 || cpus > kMaxCpus) {
    return fail(ErrorCode::invalid_argument, "cpus: '{}' is not a number of CPUs, as 0.5", value);
  }
  options.cpu_millicores = static_cast<std::uint32_t>(std::lround(cpus * kMillicores));
  return {};
}

template <class T>
Result<void> append(std::string_view key, std::vector<T>& list, T item) {
  if (list.size() >= kMaxContainerItems) {
    return fail(ErrorCode::invalid_argument, "{}: more than {}", key, kMaxContainerItems);
  }
  list.push_back(std::move(item));
  return {};
}

Result<void> append_mount(const std::string& value, ContainerOptions& options) {
  const auto first = value.find(':');
  const auto second = first == std::string::npos ? first : value.find(':', first + 1);
  ContainerMount mount{.source = value.substr(0, first), .target = ""};
  if (first != std::string::npos) mount.target = value.substr(first + 1, second - first - 1);
  const std::string mode = second == std::string::npos ? "" : value.substr(second + 1);
  mount.is_read_only = mode == "ro";
  const bool mode_is_fine = second == std::string::npos || mode == "ro" || mode == "rw";
  if (!mode_is_fine || !mount.source.starts_with('/') || !mount.target.starts_with('/')) {
    return fail(ErrorCode::invalid_argument,
                "mount: '{}' is not /SOURCE:/TARGET, or /SOURCE:/TARGET:ro", value);
  }
  return append("mount", options.mounts, std::move(mount));
}

Result<void> append_secret(const std::string& value, ContainerOptions& options) {
  const auto equals = value.find('=');
  ContainerSecret secret{.name = value.substr(0, equals), .file = ""};
  if (equals != std::string::npos) secret.file = value.substr(equals + 1);
  if (!check_name(secret.name) || !secret.file.starts_with('/')) {
    return fail(ErrorCode::invalid_argument, "secret: '{}' is not NAME=/PATH", value);
  }
  return append("secret", options.secrets, std::move(secret));
}

Result<void> append_port(const std::string& value, ContainerOptions& options) {
  const auto last = value.rfind(':');
  const auto host = parse_host_port(value.substr(0, last));
  if (last == std::string::npos || !host) {
    return fail(ErrorCode::invalid_argument,
                "publish: '{}' is not ADDRESS:HOST_PORT:PORT, as 127.0.0.1:8080:80", value);
  }
  ContainerPort port{.address = host->host, .host_port = host->port};
  SEGUE_ASSIGN(port.port,
               parse_number<std::uint16_t>("publish", std::string_view(value).substr(last + 1), 1,
                                           std::numeric_limits<std::uint16_t>::max()));
  return append("publish", options.ports, std::move(port));
}

Result<void> append_variable(const std::string& value, ContainerOptions& options) {
  if (value.find('=') == std::string::npos || value.starts_with('=')) {
    return fail(ErrorCode::invalid_argument, "env {}: write NAME=value", value);
  }
  return append("env", options.env, value);
}

Result<void> append_capability(const std::string& value, ContainerOptions& options) {
  std::string name = value.starts_with("CAP_") ? value.substr(4) : value;
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::toupper(c)); });
  const bool is_name = !name.empty() && std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'A' && c <= 'Z') || c == '_';
  });
  if (!is_name) {
    return fail(ErrorCode::invalid_argument, "cap-add: '{}' is no capability, as NET_BIND_SERVICE",
                value);
  }
  return append("cap-add", options.cap_add, std::move(name));
}

Result<void> check_dropped(const std::string& value) {
  if (value == "all" || value == "ALL") return {};
  return fail(ErrorCode::invalid_argument,
              "cap-drop: all capabilities are dropped; name those that are needed with --cap-add");
}

}  // namespace

Result<std::uint64_t> parse_bytes(std::string_view key, const std::string& text) {
  std::uint64_t unit = 1;
  std::string digits = text;
  const char last = text.empty() ? '\0' : text.back();
  constexpr std::string_view kUnits = "kmg";
  if (const auto at = kUnits.find(static_cast<char>(std::tolower(last)));
      last != '\0' && at != kUnits.npos) {
    unit <<= 10 * (at + 1);
    digits.pop_back();
  }
  SEGUE_ASSIGN(
      const auto number,
      parse_number<std::uint64_t>(key, digits, 1, std::numeric_limits<std::int64_t>::max() / unit));
  return number * unit;
}

Result<bool> assign_container_option(std::string_view key, const std::string& value,
                                     ContainerOptions& options) {
  if (value.size() > kMaxValueBytes || value.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "{}: at most {} bytes of text", key, kMaxValueBytes);
  }
  Result<void> done;
  if (key == "image") {
    options.image = value;
  } else if (key == "image-id") {
    options.image_id = value;
  } else if (key == "user") {
    options.user = value;
  } else if (key == "engine") {
    done = assign_engine(value, options);
  } else if (key == "network") {
    done = assign_network(value, options);
  } else if (key == "cpus") {
    done = assign_cpus(value, options);
  } else if (key == "memory") {
    SEGUE_ASSIGN(options.memory_bytes, parse_bytes(key, value));
  } else if (key == "nofile") {
    SEGUE_ASSIGN(options.max_descriptors,
                 parse_number<std::uint32_t>(key, value, 64, kMostDescriptors));
  } else if (key == "pids") {
    SEGUE_ASSIGN(options.max_processes, parse_number<std::uint32_t>(key, value, 1, kMostProcesses));
  } else if (key == "secret") {
    done = append_secret(value, options);
  } else if (key == "publish") {
    done = append_port(value, options);
  } else if (key == "mount") {
    done = append_mount(value, options);
  } else if (key == "env") {
    done = append_variable(value, options);
  } else if (key == "cap-add") {
    done = append_capability(value, options);
  } else if (key == "cap-drop") {
    done = check_dropped(value);
  } else if (key == "writable-root") {
    SEGUE_ASSIGN(options.is_root_writable, parse_bool(key, value));
  } else {
    return false;
  }
  SEGUE_TRY(done);
  return true;
}

std::vector<std::string> container_words(const ContainerOptions& options) {
  std::vector<std::string> words{"--image=" + options.image};
  const auto add = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) words.push_back(fmt::format("--{}={}", key, value));
  };
  add("image-id", options.image_id);
  add("engine", options.engine);
  add("network", options.network);
  for (const auto& name : options.cap_add) add("cap-add", name);
  if (options.memory_bytes > 0) add("memory", fmt::to_string(options.memory_bytes));
  if (options.cpu_millicores > 0) {
    add("cpus", fmt::format("{}.{:03}", options.cpu_millicores / kMillicores,
                            options.cpu_millicores % kMillicores));
  }
  if (options.max_descriptors > 0) add("nofile", fmt::to_string(options.max_descriptors));
  if (options.max_processes > 0) add("pids", fmt::to_string(options.max_processes));
  for (const auto& mount : options.mounts) {
    add("mount",
        fmt::format("{}:{}{}", mount.source, mount.target, mount.is_read_only ? ":ro" : ""));
  }
  for (const auto& secret : options.secrets) {
    add("secret", fmt::format("{}={}", secret.name, secret.file));
  }
  for (const auto& port : options.ports) {
    const bool is_v6 = port.address.find(':') != std::string::npos;
    add("publish", fmt::format("{}{}{}:{}:{}", is_v6 ? "[" : "", port.address, is_v6 ? "]" : "",
                               port.host_port, port.port));
  }
  for (const auto& variable : options.env) add("env", variable);
  add("user", options.user);
  if (options.is_root_writable) add("writable-root", "1");
  return words;
}

}  // namespace segue::control
