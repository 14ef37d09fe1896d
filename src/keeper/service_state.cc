// SPDX-License-Identifier: Apache-2.0
#include "keeper/service_state.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace segue::keeper {
namespace {

constexpr std::string_view kColon = "%3a";
constexpr std::size_t kMaxStoredFds = 4096;

// Ends lines in the manager's protocol, and comes from programs.
std::string on_one_line(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, ' ');
  return text;
}

std::string status_of(const Decider& component) {
  const Instance* owner = component.find(component.owner());
  std::string status =
      owner == nullptr ? std::string(to_string(component.phase()))
                       : fmt::format("{}: {} (pid {}, generation {})", to_string(component.phase()),
                                     owner->label(), owner->pid, owner->generation);
  if (const auto& attempt = component.attempt()) {
    status +=
        fmt::format(", {} from {} to {}", to_string(attempt->kind), attempt->from, attempt->to);
  }
  return on_one_line(std::move(status));
}

template <class Number>
std::optional<Number> number_in(const std::string& text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

std::string_view prefix_of(Kept kind) {
  return kind == Kept::listener ? "segue." : "segue-stored.";
}

std::string take(std::vector<std::string>& environment, std::string_view name) {
  std::string value;
  std::erase_if(environment, [&](const std::string& variable) {
    if (!variable.starts_with(name) || variable.size() == name.size() ||
        variable[name.size()] != '=') {
      return false;
    }
    value = variable.substr(name.size() + 1);
    return true;
  });
  return value;
}

std::vector<std::string> split_names(const std::string& text, std::size_t count) {
  std::vector<std::string> names;
  std::size_t start = 0;
  while (names.size() < count) {
    const std::size_t end = std::min(text.find(':', start), text.size());
    names.push_back(text.substr(start, end - start));
    if (end == text.size()) break;
    start = end + 1;
  }
  names.resize(count);
  return names;
}

}  // namespace

ServiceState service_state_of(const Decider& component, const ServiceState& before) {
  const Phase phase = component.phase();
  const auto& attempt = component.attempt();
  ServiceState state;
  state.stopping = phase == Phase::stopping || phase == Phase::stopped;
  state.ready = before.ready || component.owner() != 0;
  state.reloading = state.ready && !state.stopping && attempt && attempt->kind != Kind::rehearse;
  state.status = status_of(component);
  return state;
}

std::string notification(const ServiceState& before, const ServiceState& now,
                         base::MonotonicTime at) {
  std::string text;
  if (now.stopping) {
    if (!before.stopping) text += "STOPPING=1\n";
  } else if (now.reloading && !before.reloading) {
    if (!before.ready) text += "READY=1\n";
    const auto us = std::chrono::duration_cast<std::chrono::microseconds>(at.time_since_epoch());
    text += fmt::format("RELOADING=1\nMONOTONIC_USEC={}\n", us.count());
  } else if (now.ready && !now.reloading && (!before.ready || before.reloading)) {
    text += "READY=1\n";
  }
  if (now.status != before.status) text += "STATUS=" + now.status + "\n";
  if (!text.empty()) text.pop_back();
  return text;
}

ManagerVariables take_manager_variables(std::vector<std::string>& environment, std::int32_t pid) {
  ManagerVariables variables;
  variables.notify_socket = take(environment, "NOTIFY_SOCKET");
  const std::string watchdog_pid = take(environment, "WATCHDOG_PID");
  const auto watchdog_us = number_in<std::int64_t>(take(environment, "WATCHDOG_USEC"));
  if (watchdog_us && *watchdog_us > 0 &&
      (watchdog_pid.empty() || number_in<std::int32_t>(watchdog_pid) == pid)) {
    variables.watchdog = std::chrono::microseconds(*watchdog_us);
  }
  const auto listen_pid = number_in<std::int32_t>(take(environment, "LISTEN_PID"));
  const auto count = number_in<std::size_t>(take(environment, "LISTEN_FDS"));
  const std::string names = take(environment, "LISTEN_FDNAMES");
  if (listen_pid == pid && count && *count <= kMaxStoredFds) {
    variables.fd_names = split_names(names, *count);
  }
  return variables;
}

std::string kept_name_of(Kept kind, const std::string& name) {
  std::string kept_name(prefix_of(kind));
  for (const char c : name) {
    if (c == ':') {
      kept_name += kColon;
    } else {
      kept_name += c;
    }
  }
  return kept_name;
}

std::optional<std::string> name_of_kept(Kept kind, const std::string& kept_name) {
  const std::string_view prefix = prefix_of(kind);
  if (!kept_name.starts_with(prefix)) return std::nullopt;
  std::string name = kept_name.substr(prefix.size());
  for (auto at = name.find(kColon); at != std::string::npos; at = name.find(kColon, at + 1)) {
    name.replace(at, kColon.size(), ":");
  }
  return name;
}

}  // namespace segue::keeper
