// SPDX-License-Identifier: Apache-2.0
// segue events and history of the fleet.
#include <fmt/format.h>
#include <poll.h>

#include <algorithm>

#include "cli/commands.h"
#include "cli/server_client.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::Result;
using control::ExitCode;

constexpr int kPauseMs = 1'000;
constexpr int kMaxUnheard = 60;  // times that nothing came, one after the other
constexpr std::size_t kMaxEventBytes = std::size_t{1} << 20;

std::string event_text(const Json& event) {
  const std::string by = text_of(event, "by");
  return fmt::format("{}  {:<7} {} {}{}{}", time_text(event.value("time_ms", std::uint64_t{0})),
                     text_of(event, "severity"), text_of(event, "object"), text_of(event, "text"),
                     text_of(event, "host").empty() || event["host"] == event["object"]
                         ? ""
                         : " (" + text_of(event, "host") + ")",
                     by.empty() || by == "server" || by == "engine" ? "" : ", by " + by);
}

// Server-sent events, put together from the pieces that they come in
// (https://html.spec.whatwg.org/multipage/server-sent-events.html).
class EventReader {
 public:
  // False: this is no stream of events.
  bool take(std::string_view bytes, const std::function<void(const Json&)>& on_event) {
    rest_ += bytes;
    for (auto end = rest_.find("\n\n"); end != std::string::npos; end = rest_.find("\n\n")) {
      constexpr std::string_view kData = "\ndata: ";
      const std::string block = "\n" + rest_.substr(0, end);
      rest_.erase(0, end + 2);
      const auto data = block.find(kData);
      if (data == std::string::npos) continue;
      const auto from = data + kData.size();
      const Json event =
          Json::parse(block.substr(from, block.find('\n', from) - from), nullptr, false);
      if (!event.is_object()) return false;
      on_event(event);
    }
    return rest_.size() <= kMaxEventBytes;
  }
  void restart() { rest_.clear(); }

 private:
  std::string rest_;
};

void print_event(Output& output, const Json& event, std::uint64_t& last) {
  output.print(event_text(event));
  output.print_json(event);
  last = std::max(last, event.value("number", last));
}

// Until the user has seen enough (an interrupt), or the server is gone for good.
ExitCode follow(Output& output, const ServerClient& server, const std::string& of,
                std::uint64_t last) {
  int unheard = 0;
  EventReader reader;
  while (true) {
    bool is_sound = true;
    const auto ended = server.follow(
        fmt::format("/v1/events/stream?after={}{}", last, of), [&](std::string_view bytes) {
          unheard = 0;
          is_sound =
              reader.take(bytes, [&](const Json& event) { print_event(output, event, last); });
          return is_sound;
        });
    if (!is_sound) {
      return output.finish(ExitCode::failed, "the server sends something that is no event");
    }
    reader.restart();
    if (++unheard > kMaxUnheard) {
      return ended ? output.finish(ExitCode::failed, "the server ends the stream again and again")
                   : output.fail(ended.error());
    }
    (void)::poll(nullptr, 0, kPauseMs);
  }
}

ExitCode fleet_events(const Context& context, const ServerClient& server) {
  Output& output = context.output;
  const bool is_named = !context.arguments.fleet.object.empty();
  const std::string& object = is_named ? context.arguments.fleet.object : context.arguments.name;
  const std::string of = object.empty() ? "" : "&object=" + url_escaped(object);
  std::uint64_t last = 0;
  while (true) {  // page by page; the server keeps a bounded number of them
    const auto answer = server.ask("GET", fmt::format("/v1/events?after={}{}", last, of));
    if (!answer) return output.fail(answer.error());
    const Json events = answer->value("events", Json::array());
    for (const auto& event : events) print_event(output, event, last);
    if (!events.empty()) continue;
    last = std::max(last, answer->value("last", last));
    break;
  }
  if (context.arguments.follow) return follow(output, server, of, last);
  return ExitCode::done;
}

std::string history_text(const Json& rollout) {
  const std::string from = text_of(rollout, "base_version");
  const std::string text = text_of(rollout, "text");
  return fmt::format("{:<23}  {:<16} {:<10} {} -> {}  {} (by {}){}",
                     time_text(rollout.value("created_ms", std::uint64_t{0})),
                     text_of(rollout, "id"), text_of(rollout, "phase"), from.empty() ? "-" : from,
                     text_of(rollout, "target_version"), text_of(rollout, "title"),
                     text_of(rollout, "author"), text.empty() ? "" : ": " + text);
}

ExitCode fleet_history_of(const Context& context, const ServerClient& server) {
  Output& output = context.output;
  const std::string& component = context.arguments.name;
  const auto answer = server.ask("GET", "/v1/rollouts");
  if (!answer) return output.fail(answer.error());
  std::vector<Json> rollouts;
  for (const auto& rollout : answer->value("rollouts", Json::array())) {
    if (component.empty() || text_of(rollout, "component") == component)
      rollouts.push_back(rollout);
  }
  std::ranges::stable_sort(rollouts, {}, [](const Json& rollout) {
    return rollout.value("created_ms", std::uint64_t{0});
  });
  const std::size_t last = context.arguments.last.value_or(rollouts.size());
  if (rollouts.size() > last)
    rollouts.erase(rollouts.begin(), rollouts.end() - static_cast<std::ptrdiff_t>(last));
  std::vector<std::string> lines;
  for (const auto& rollout : rollouts) lines.push_back(history_text(rollout));
  if (lines.empty()) {
    lines.push_back(component.empty() ? "nothing has been rolled out so far"
                                      : fmt::format("'{}' has not been rolled out", component));
  }
  return show(output, Json{{"history", rollouts}}, lines);
}

}  // namespace

ExitCode show_fleet(const Context& context) {
  const auto server = ServerClient::open(context.arguments.fleet);
  if (!server) return context.output.fail(server.error());
  return context.arguments.command == Command::events ? fleet_events(context, *server)
                                                      : fleet_history_of(context, *server);
}

}  // namespace segue::cli
