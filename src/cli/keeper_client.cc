// SPDX-License-Identifier: Apache-2.0
#include "cli/keeper_client.h"

#include "control/reply.h"
#include "control/text.h"
#include "os/unix_socket.h"

namespace segue::cli {

using base::ErrorCode;
using base::fail;
using base::Result;

Result<void> KeeperClient::send(const control::Request& request) {
  SEGUE_ASSIGN(const std::string message, control::encode(request));
  SEGUE_TRY(os::set_timeout(socket_, kAnswerLimit));
  SEGUE_ASSIGN(const std::size_t sent, os::send_message(socket_, message));
  if (sent == 0) return fail(ErrorCode::unavailable, "the keeper does not read: is it stopped?");
  return {};
}

Result<Json> KeeperClient::receive(base::Duration silence,
                                   const std::function<void(const Json&)>& on_reply) {
  SEGUE_TRY(os::set_timeout(socket_, silence));
  while (true) {
    SEGUE_ASSIGN(const auto received, os::receive_message(socket_, control::kMaxReplyBytes));
    if (received.kind == os::Received::Kind::would_block) {
      return fail(ErrorCode::deadline_exceeded,
                  "the keeper has said nothing for {}: look with `segue status`",
                  control::seconds_text(static_cast<std::uint64_t>(silence.count())));
    }
    if (received.kind == os::Received::Kind::closed) {
      return fail(ErrorCode::unknown_outcome,
                  "the keeper ended before it answered: look with `segue status`");
    }
    Json reply = Json::parse(received.bytes, nullptr, false);
    if (!reply.is_object()) return fail(ErrorCode::data_loss, "the keeper's answer is not JSON");
    if (reply.value(control::reply::kDone, false)) return reply;
    on_reply(reply);
  }
}

Result<Json> KeeperClient::ask(const control::Request& request) {
  SEGUE_TRY(send(request));
  return receive(kAnswerLimit, [](const Json&) {});
}

Result<std::vector<KeeperClient::NamedSocket>> KeeperClient::ask_sockets() {
  SEGUE_TRY(send({"sockets", {}, {}}));
  SEGUE_TRY(os::set_timeout(socket_, kAnswerLimit));
  SEGUE_ASSIGN(auto received, os::receive_message(socket_, control::kMaxReplyBytes));
  if (received.kind != os::Received::Kind::message) {
    return fail(ErrorCode::unavailable, "the keeper did not answer: look with `segue status`");
  }
  const Json reply = Json::parse(received.bytes, nullptr, false);
  const auto names = reply.is_object() ? reply.find(control::reply::kSockets) : reply.end();
  if (!reply.is_object() || names == reply.end() || !names->is_array()) {
    return fail(ErrorCode::failed_precondition,
                "its keeper is older than this command: `segue keeper upgrade` first");
  }
  if (names->size() != received.fds.size()) {
    return fail(ErrorCode::data_loss, "the keeper named {} sockets and sent {}", names->size(),
                received.fds.size());
  }
  std::vector<NamedSocket> sockets;
  for (std::size_t i = 0; i < names->size(); ++i) {
    const Json& name = names->at(i);
    sockets.push_back(
        {name.is_string() ? name.get<std::string>() : "", std::move(received.fds[i])});
  }
  return sockets;
}

}  // namespace segue::cli
