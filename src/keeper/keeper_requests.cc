// SPDX-License-Identifier: Apache-2.0
// Requests from the control socket.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "base/json_writer.h"
#include "control/reply.h"
#include "keeper/keeper.h"
#include "os/files.h"

namespace segue::keeper {
namespace {

using control::ExitCode;

constexpr std::size_t kMaxHistoryBytes = std::size_t{2} << 20;

// A line that was torn by a full disk is left out.
bool is_whole(std::string_view line) {
  return line.starts_with('{') && line.ends_with('}');
}

base::Result<void> check_program(const control::Launch& launch) {
  if (launch.argv.empty()) {
    return base::fail(base::ErrorCode::invalid_argument, "no program was named");
  }
  const std::string& path = launch.argv.front();
  if (::access(path.c_str(), F_OK) != 0) {
    return base::fail(base::ErrorCode::not_found, "there is no program {}", path);
  }
  if (::access(path.c_str(), X_OK) != 0) {
    return base::fail(base::ErrorCode::permission_denied, "{} cannot be executed: chmod +x it",
                      path);
  }
  return {};
}

}  // namespace

void Keeper::on_request(RequestId id, base::Result<control::Request> request) {
  if (!request) return end_request(id, ExitCode::usage, request.error().message());
  const auto parsed = control::parse_options(*request);
  if (!parsed) return end_request(id, ExitCode::usage, parsed.error().message());
  const std::string& command = request->command;
  if (command == "status") return answer_status(id);
  if (command == "history") return answer_history(id);
  if (command == "events") return answer_events(id, *parsed);
  if (command == "metrics") return answer_metrics(id);
  if (command == "undo-losses") return answer_undo_losses(id);
  if (command == "registered") return ask_registered(id);
  if (command == "sockets") return answer_sockets(id);
  if (command == "keeper-upgrade") return replace_keeper(id, *parsed);
  if (command == "eject") {
    EjectRequested event{id, parsed->attempt.force};
    if (programs_) {
      event.stored = programs_->stored_names().size();
      event.only_stored = programs_->only_stored();
    }
    post(std::move(event));
    return settle();
  }
  if (command == "stop") {
    post(StopRequested{id});
  } else if (command == "undo") {
    return request_undo(id, parsed->attempt);
  } else if (command == "upgrade" || command == "rehearse") {
    if (const auto fine = check_program(parsed->launch); !fine) {
      return end_request(id, ExitCode::refused,
                         fmt::format("{} was not changed: {}", line_.name, fine.error().message()));
    }
    const Kind kind = command == "rehearse" ? Kind::rehearse : Kind::upgrade;
    return admit(id, UpgradeRequested{id, kind, parsed->launch, parsed->attempt}, parsed->attempt);
  } else {
    return end_request(
        id, ExitCode::usage,
        fmt::format("this keeper does not know the command '{}'", command.substr(0, 80)));
  }
  settle();
}

void Keeper::end_request(RequestId id, ExitCode exit, const std::string& text) {
  server_.finish(id, last_reply(line_.name, exit, text, nullptr, now()));
}

void Keeper::answer_status(RequestId id) {
  Surroundings surroundings{.keeper_pid = ::getpid(),
                            .keeper_since = since_,
                            .keeper_replaced = replaced_,
                            .epoch = page_.look().epoch,
                            .listeners = {},
                            .stored = {},
                            .log_lines_lost = step_log_.lines_lost() + history_log_.lines_lost()};
  for (const auto& [name, fd] : listeners_) surroundings.listeners.push_back(name);
  if (programs_) {
    surroundings.listeners = programs_->listener_names();
    surroundings.stored = programs_->stored_names();
  }
  server_.finish(id, last_reply_with("status", status_json(*component_, surroundings, now())));
}

// Copies of the listening sockets, for who decides which new connections they get.
void Keeper::answer_sockets(RequestId id) {
  base::JsonWriter names;
  std::vector<int> fds;
  const auto add = [&](const std::string& name, int fd) {
    names.value(name);
    fds.push_back(fd);
  };
  names.begin_array();
  if (programs_) {
    for (const auto& socket : programs_->sockets()) add(socket.listen.name, socket.fd.get());
  } else {
    for (const auto& [name, fd] : listeners_) add(name, fd.get());
  }
  names.end();
  server_.finish_with(id, last_reply_with(control::reply::kSockets, std::move(names).take()), fds);
}

void Keeper::answer_history(RequestId id) {
  for (const auto& json : history_) {
    server_.send(id, wrapped_reply("attempt", json), ControlServer::Weight::needed);
  }
  end_request(id, ExitCode::done, fmt::format("{} attempts", history_.size()));
}

void Keeper::answer_events(RequestId id, const control::ParsedRequest& request) {
  for (const auto& [number, json] : steps_) {
    if (number <= request.after) continue;
    server_.send(id, wrapped_reply("event", json), ControlServer::Weight::needed);
  }
  if (request.follow) {
    followers_.push_back(id);
  } else {
    end_request(id, ExitCode::done, "");
  }
}

void Keeper::load_history() {
  const auto text = os::read_file(history_log_.path(), kMaxHistoryBytes);
  if (!text) return;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) break;
    if (is_whole(rest.substr(0, end))) history_.emplace_back(rest.substr(0, end));
    if (history_.size() > kMaxHistory) history_.pop_front();
    rest.remove_prefix(end + 1);
  }
}

}  // namespace segue::keeper
