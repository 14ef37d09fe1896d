// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>

#include "base/utf8.h"
#include "runtime/container_spec.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxNameBytes = 128;
constexpr std::size_t kMaxTextBytes = std::size_t{64} << 10;
constexpr std::size_t kMaxItems = 512;  // of each list
constexpr std::size_t kDigestDigits = 64;
constexpr std::uint64_t kMinMemoryBytes = std::uint64_t{6} << 20;  // Docker's
constexpr auto kMaxGrace = std::chrono::hours(1);
constexpr std::string_view kOwnLabels = "segue.";

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool all_of(std::string_view text, std::string_view more) {
  return std::ranges::all_of(
      text, [&](char c) { return is_letter_or_digit(c) || more.find(c) != more.npos; });
}

// What engines take as the name of a container or of a volume.
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kMaxNameBytes && is_letter_or_digit(text.front()) &&
         all_of(text, "_.-");
}

bool is_digest(std::string_view text) {
  constexpr std::string_view kAlgorithm = "sha256:";
  return text.starts_with(kAlgorithm) && text.size() == kAlgorithm.size() + kDigestDigits &&
         std::ranges::all_of(text.substr(kAlgorithm.size()), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

Result<void> check_text(std::string_view what, std::string_view text) {
  if (text.size() > kMaxTextBytes) {
    return fail(ErrorCode::invalid_argument, "{} has {} bytes; {} are allowed", what, text.size(),
                kMaxTextBytes);
  }
  // Engines are told everything in JSON.
  if (text.find('\0') != text.npos || base::utf8_prefix(text) != text.size()) {
    return fail(ErrorCode::invalid_argument, "{} is not text", what);
  }
  return {};
}

Result<void> check_count(std::string_view what, std::size_t count) {
  if (count <= kMaxItems) return {};
  return fail(ErrorCode::invalid_argument, "there are {} {}; {} are allowed", count, what,
              kMaxItems);
}

Result<void> check_path(std::string_view what, std::string_view path) {
  SEGUE_TRY(check_text(what, path));
  const std::string slashed = std::string(path) + "/";
  const bool goes_up = slashed.find("/../") != slashed.npos;
  // Engines write mounts as SOURCE:TARGET:OPTIONS somewhere.
  const bool is_fine =
      path.size() > 1 && path.front() == '/' && !goes_up && path.find_first_of(":,\n") == path.npos;
  if (is_fine) return {};
  return fail(ErrorCode::invalid_argument,
              "{} '{}' is not an absolute path, without '..', ':' and ',', and other than /", what,
              path);
}

Result<void> check_names(const ContainerSpec& spec) {
  if (!is_name(spec.name)) {
    return fail(ErrorCode::invalid_argument,
                "'{}' is no name of a container: at most {} letters, digits and _.-", spec.name,
                kMaxNameBytes);
  }
  if (spec.identity.component.empty()) {
    return fail(ErrorCode::invalid_argument, "container '{}' belongs to no component", spec.name);
  }
  SEGUE_TRY(check_text("the component's name", spec.identity.component));
  SEGUE_TRY(check_text("the slot", spec.identity.slot));
  SEGUE_TRY(check_text("the release", spec.identity.release));
  const auto at = spec.image.find('@');
  const bool fixed = at == std::string::npos
                         ? is_digest(spec.image)
                         : at > 0 && is_digest(std::string_view(spec.image).substr(at + 1));
  if (!fixed || !all_of(std::string_view(spec.image).substr(0, at), "_.-/:")) {
    return fail(ErrorCode::invalid_argument,
                "image '{}' may be another one tomorrow: name it by sha256:… or NAME@sha256:…",
                spec.image);
  }
  SEGUE_TRY(check_count("labels", spec.labels.size()));
  for (const auto& [name, value] : spec.labels) {
    if (name.empty() || name.starts_with(kOwnLabels)) {
      return fail(ErrorCode::invalid_argument, "label '{}': those of {}* are Segue's own", name,
                  kOwnLabels);
    }
    SEGUE_TRY(check_text("a label's name", name));
    SEGUE_TRY(check_text(name, value));
  }
  return {};
}

Result<void> check_process(const ContainerSpec& spec) {
  SEGUE_TRY(check_count("words of the entrypoint", spec.entrypoint.size()));
  SEGUE_TRY(check_count("arguments", spec.arguments.size()));
  SEGUE_TRY(check_count("variables", spec.environment.size()));
  for (const std::string& word : spec.entrypoint) SEGUE_TRY(check_text("the entrypoint", word));
  for (const std::string& word : spec.arguments) SEGUE_TRY(check_text("an argument", word));
  for (const auto& [name, value] : spec.environment) {
    if (name.empty() || name.find('=') != name.npos) {
      return fail(ErrorCode::invalid_argument, "'{}' is no name of a variable", name);
    }
    SEGUE_TRY(check_text("a variable's name", name));
    SEGUE_TRY(check_text(name, value));
  }
  if (!spec.working_directory.empty() && spec.working_directory != "/") {
    SEGUE_TRY(check_path("working directory", spec.working_directory));
  }
  if (!all_of(spec.user, "_.-:")) {
    return fail(ErrorCode::invalid_argument, "user '{}' is not USER or USER:GROUP", spec.user);
  }
  const bool is_signal = spec.stop_signal.starts_with("SIG") && all_of(spec.stop_signal, "+-");
  if (!is_signal) {
    return fail(ErrorCode::invalid_argument, "stop signal '{}' is not SIGTERM or the like",
                spec.stop_signal);
  }
  if (spec.stop_grace < base::Duration(0) || spec.stop_grace > kMaxGrace) {
    return fail(ErrorCode::invalid_argument, "the grace at a stop is not between 0 and 1 h");
  }
  return {};
}

struct MountCheck {
  Result<void> operator()(const BindMount& mount) const {
    SEGUE_TRY(check_path("what is mounted", mount.source));
    return check_path("mounted at", mount.target);
  }
  Result<void> operator()(const VolumeMount& mount) const {
    if (!is_name(mount.name)) {
      return fail(ErrorCode::invalid_argument, "'{}' is no name of a volume", mount.name);
    }
    return check_path("mounted at", mount.target);
  }
  Result<void> operator()(const MemoryMount& mount) const {
    if (mount.size_bytes == 0 || mount.mode > 07777) {
      return fail(ErrorCode::invalid_argument, "a tmpfs of {} bytes and mode {:o}",
                  mount.size_bytes, mount.mode);
    }
    return check_path("mounted at", mount.target);
  }
};

Result<void> check_mounts(const ContainerSpec& spec) {
  SEGUE_TRY(check_count("mounts", spec.mounts.size()));
  SEGUE_TRY(check_count("secrets", spec.secrets.size()));
  std::set<std::string> targets;
  const auto add = [&](const std::string& target) -> Result<void> {
    if (targets.insert(target).second) return {};
    return fail(ErrorCode::invalid_argument, "two things are mounted at {}", target);
  };
  for (const Mount& mount : spec.mounts) {
    SEGUE_TRY(std::visit(MountCheck(), mount));
    SEGUE_TRY(add(std::visit([](const auto& any) { return any.target; }, mount)));
  }
  for (const SecretFile& secret : spec.secrets) {
    SEGUE_TRY(check_path("secret", secret.source));
    SEGUE_TRY(check_path("secret at", secret.target));
    SEGUE_TRY(add(secret.target));
    if (!is_digest(secret.content_digest)) {
      return fail(ErrorCode::invalid_argument, "secret {} has no digest of its contents",
                  secret.target);
    }
  }
  return {};
}

Result<void> check_network(const ContainerSpec& spec) {
  SEGUE_TRY(check_count("ports", spec.ports.size()));
  if (!spec.ports.empty() && spec.network != NetworkMode::bridge) {
    return fail(ErrorCode::invalid_argument,
                "ports are published on a bridge only; with the host's network they are its own");
  }
  for (const PublishedPort& port : spec.ports) {
    if (port.host_port == 0 || port.container_port == 0) {
      return fail(ErrorCode::invalid_argument, "a published port is 0");
    }
    if (!all_of(port.host_address, ".:")) {
      return fail(ErrorCode::invalid_argument, "'{}' is not an IP address", port.host_address);
    }
  }
  return {};
}

Result<void> check_limit(const Limit& limit) {
  const bool is_known =
      std::ranges::all_of(limit.name, [](char c) { return c >= 'a' && c <= 'z'; });
  if (limit.name.empty() || !is_known || limit.soft > limit.hard || limit.hard > INT64_MAX) {
    return fail(ErrorCode::invalid_argument, "limit '{}' {}:{} is not NAME SOFT:HARD", limit.name,
                limit.soft, limit.hard);
  }
  return {};
}

Result<void> check_limits(const ContainerSpec& spec) {
  if (spec.memory_bytes != 0 && spec.memory_bytes < kMinMemoryBytes) {
    return fail(ErrorCode::invalid_argument, "a memory limit of {} bytes; at least {} are needed",
                spec.memory_bytes, kMinMemoryBytes);
  }
  if (spec.memory_bytes > INT64_MAX || spec.log_bytes < 2 || spec.log_bytes > INT64_MAX) {
    return fail(ErrorCode::invalid_argument, "a limit of bytes that no file has");
  }
  SEGUE_TRY(check_count("limits", spec.limits.size()));
  if (spec.descriptors.name != "nofile" || spec.processes.name != "nproc") {
    return fail(ErrorCode::invalid_argument, "the limits nofile and nproc have other names");
  }
  SEGUE_TRY(check_limit(spec.descriptors));
  SEGUE_TRY(check_limit(spec.processes));
  std::set<std::string> names{"nofile", "nproc"};
  for (const Limit& limit : spec.limits) {
    SEGUE_TRY(check_limit(limit));
    if (!names.insert(limit.name).second) {
      return fail(ErrorCode::invalid_argument, "limit '{}' is given twice", limit.name);
    }
  }
  SEGUE_TRY(check_count("capabilities", spec.dropped_capabilities.size()));
  SEGUE_TRY(check_count("capabilities", spec.added_capabilities.size()));
  for (const auto* list : {&spec.dropped_capabilities, &spec.added_capabilities}) {
    for (const std::string& name : *list) {
      const bool is_fine =
          !name.empty() && !name.starts_with("CAP_") &&
          std::ranges::all_of(name, [](char c) { return (c >= 'A' && c <= 'Z') || c == '_'; });
      if (!is_fine) {
        return fail(ErrorCode::invalid_argument, "'{}' is no capability, as NET_BIND_SERVICE is",
                    name);
      }
    }
  }
  return {};
}

}  // namespace

Result<void> check(const ContainerSpec& spec) {
  SEGUE_TRY(check_names(spec));
  SEGUE_TRY(check_process(spec));
  SEGUE_TRY(check_mounts(spec));
  SEGUE_TRY(check_network(spec));
  return check_limits(spec);
}

}  // namespace segue::runtime
