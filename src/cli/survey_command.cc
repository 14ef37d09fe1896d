// SPDX-License-Identifier: Apache-2.0
// segue doctor NAME|PID: what of a program would survive an upgrade.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "cli/commands.h"
#include "cli/keeper_client.h"
#include "cli/survey.h"
#include "control/reply.h"
#include "control/text.h"

namespace segue::cli {
namespace {

using base::Result;
using control::ExitCode;

constexpr std::uint64_t kMaxDescriptor = 1 << 24;

// The kinds of K_PONG's records (protocol/handoff.md).
enum class Kind { connections = 1, listener = 2, descriptor = 3, arena = 4, table = 5, own = 6 };

std::set<int> descriptors_in(const Json& entry) {
  std::set<int> fds;
  for (const auto& range : entry.value("fds", Json::array())) {
    if (!range.is_array() || range.size() != 2 || !range[0].is_number_unsigned() ||
        !range[1].is_number_unsigned()) {
      continue;
    }
    const auto first = range[0].get<std::uint64_t>();
    const auto count = range[1].get<std::uint64_t>();
    if (first > kMaxDescriptor || count > kMaxDescriptor) continue;
    for (std::uint64_t i = 0; i < count; ++i) fds.insert(static_cast<int>(first + i));
  }
  return fds;
}

Registered registered_of(const Json& entries) {
  Registered registered;
  for (const auto& entry : entries) {
    registered.is_known = true;
    const std::string name = entry.value("name", "");
    const std::set<int> fds = descriptors_in(entry);
    const int first = fds.empty() ? -1 : *fds.begin();
    switch (static_cast<Kind>(entry.value("kind", 0))) {
      case Kind::connections:
        registered.connections[name] = fds;
        break;
      case Kind::listener:
        registered.listeners[name] = first;
        break;
      case Kind::descriptor:
        registered.descriptors[name] = first;
        break;
      case Kind::arena:
        registered.arenas[name] = entry.value("number", std::uint64_t{0});
        registered.own.insert(fds.begin(), fds.end());
        break;
      case Kind::table:
        registered.tables.insert(name);
        break;
      case Kind::own:
        registered.own.insert(fds.begin(), fds.end());
        break;
    }
  }
  return registered;
}

std::optional<pid_t> pid_of(const std::string& text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error != std::errc() || end != text.data() + text.size() || pid <= 0) return std::nullopt;
  return pid;
}

// The component that this process serves, if any does.
std::optional<std::string> component_of(const ComponentFolders& folders, pid_t pid) {
  for (const auto& name : folders.names()) {
    const auto status = ask_status(folders, name);
    if (status && status->value("pid", 0) == pid) return name;
  }
  return std::nullopt;
}

Result<Registered> ask_registered(const ComponentFolders& folders, const std::string& name) {
  SEGUE_ASSIGN(auto socket, folders.connect(name));
  SEGUE_ASSIGN(const Json reply, KeeperClient(std::move(socket)).ask({"registered", {}, {}}));
  return registered_of(reply.value(control::reply::kRegistered, Json::array()));
}

std::string_view word_of(Fate fate) {
  switch (fate) {
    case Fate::moves:
      return "moves";
    case Fate::remade:
      return "made anew";
    case Fate::lost:
      return "lost";
  }
  return "?";
}

ExitCode print_survey(Output& output, pid_t pid, const std::string& name, const ProcessFacts& facts,
                      const Registered& registered) {
  const auto rows = judge(facts, registered);
  Json objects = Json::array();
  for (const auto& row : rows) {
    output.print(fmt::format("{:9}  {:>9}  {}: {}", word_of(row.fate),
                             control::with_thousands(row.count), row.what, row.why));
    if (!row.remedy.empty()) output.print(fmt::format("{:22} → {}", "", row.remedy));
    objects.push_back({{"what", row.what},
                       {"count", row.count},
                       {"fate", word_of(row.fate)},
                       {"why", row.why},
                       {"remedy", row.remedy}});
  }
  std::string text = fmt::format("{} (pid {}): {}", name.empty() ? facts.program : name, pid,
                                 survey_summary(rows));
  if (!registered.is_known) {
    text += name.empty() ? ". It is not under Segue: it has to link libsegue, or to take its "
                           "listening sockets from its starter (LISTEN_FDS), and to be started by "
                           "`segue run`"
                         : ". It has not said what it has registered: its library is too old, or "
                           "it does not link libsegue";
  }
  if (!output.json()) return output.finish(ExitCode::done, text);
  output.print_json(Json{{"done", true},
                         {"exit", 0},
                         {"text", text},
                         {"pid", pid},
                         {"name", name},
                         {"program", facts.program},
                         {"registered", registered.is_known},
                         {"rows", objects}});
  return ExitCode::done;
}

}  // namespace

ExitCode survey(const Context& context) {
  Output& output = context.output;
  std::string name = context.arguments.name;
  auto pid = pid_of(name);
  if (pid) {
    name = component_of(context.folders, *pid).value_or("");
  } else {
    const auto status = ask_status(context.folders, name);
    if (!status) return output.fail(status.error());
    pid = status->value("pid", 0);
  }
  // What is registered first: a connection that ends meanwhile is missed, none is called lost.
  Registered registered;
  if (!name.empty()) {
    auto asked = ask_registered(context.folders, name);
    if (!asked) return output.fail(asked.error());
    registered = *std::move(asked);
  }
  const auto facts = read_process(*pid);
  if (!facts) return output.fail(facts.error());
  return print_survey(output, *pid, name, *facts, registered);
}

}  // namespace segue::cli
