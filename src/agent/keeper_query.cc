// SPDX-License-Identifier: Apache-2.0
#include "agent/keeper_query.h"

#include <sys/epoll.h>

#include <nlohmann/json.hpp>
#include <utility>

#include "control/exit_code.h"
#include "control/name.h"
#include "control/reply.h"
#include "control/request.h"
#include "os/unix_socket.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::Result;
using control::ExitCode;

// Where there is no keeper nothing was asked; otherwise it is not known how the component is.
ExitCode exit_code_of(const base::Error& error) {
  switch (error.code()) {
    case ErrorCode::not_found:
    case ErrorCode::permission_denied:
    case ErrorCode::failed_precondition:
    case ErrorCode::unavailable:
      return ExitCode::refused;
    default:
      return ExitCode::unknown;
  }
}

}  // namespace

KeeperQuery::KeeperQuery(os::EpollLoop& loop, const os::Clock& clock, std::string runtime,
                         std::string component, base::Duration limit, Take take)
    : loop_(loop),
      clock_(clock),
      folder_(std::move(runtime) + "/" + std::move(component)),
      limit_(limit),
      take_(std::move(take)) {}

KeeperQuery::~KeeperQuery() {
  if (timer_) loop_.cancel(*timer_);
  if (socket_) loop_.unwatch(socket_.get());
}

void KeeperQuery::start() {
  const auto timer = loop_.call_at(clock_.monotonic_now(), [this] {
    timer_.reset();
    ask();
  });
  if (timer) timer_ = *timer;
}

void KeeperQuery::ask() {
  const auto asked = [&]() -> Result<void> {
    SEGUE_ASSIGN(const std::string request, control::encode({"status", {}, {}}));
    SEGUE_ASSIGN(socket_, os::connect_private(folder_, control::kControlSocket,
                                              os::SocketType::seqpacket, os::Blocking::no));
    SEGUE_ASSIGN(const std::size_t sent, os::send_message(socket_, request));
    if (sent == 0) return base::fail(ErrorCode::resource_exhausted, "the keeper does not read");
    SEGUE_ASSIGN(timer_, loop_.call_at(clock_.monotonic_now() + limit_, [this] {
      timer_.reset();
      done({ErrorCode::deadline_exceeded, "the keeper says nothing: is it stopped?"});
    }));
    return loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { readable(); });
  }();
  if (!asked) done(asked.error());
}

void KeeperQuery::readable() {
  const auto received = os::receive_message(socket_, control::kMaxReplyBytes);
  if (!received) return done(received.error());
  if (received->kind == os::Received::Kind::would_block) return;
  if (received->kind == os::Received::Kind::closed) {
    return done({ErrorCode::unknown_outcome, "the keeper ended before it answered"});
  }
  const auto reply = nlohmann::json::parse(received->bytes, nullptr, false);
  if (!reply.is_object()) return done({ErrorCode::data_loss, "the keeper's answer is not JSON"});
  const auto is_last = reply.find(control::reply::kDone);
  if (is_last == reply.end() || *is_last != true) return;  // the time is limited
  const auto exit = reply.find(control::reply::kExit);
  const bool good = exit == reply.end() || *exit == 0;
  done({.exit_code = static_cast<int>(good ? ExitCode::done : ExitCode::unknown),
        .line = received->bytes});
}

void KeeperQuery::done(const base::Error& error) {
  done({.exit_code = static_cast<int>(exit_code_of(error)),
        .line = nlohmann::json{{control::reply::kText, error.message()}}.dump()});
}

void KeeperQuery::done(Answer answer) {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  if (socket_) loop_.unwatch(socket_.get());
  socket_.reset();
  const Take take = std::exchange(take_, nullptr);
  if (take) take(answer);
}

}  // namespace segue::agent
