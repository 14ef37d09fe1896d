// SPDX-License-Identifier: Apache-2.0
#include "keeper/control_server.h"

#include <sys/epoll.h>
#include <unistd.h>

#include <utility>

namespace segue::keeper {

using base::ErrorCode;
using base::fail;
using base::Result;

ControlServer::~ControlServer() {
  for (auto& [id, client] : clients_) loop_.unwatch(client.fd.get());
  if (!listener_) return;
  loop_.unwatch(listener_.get());
  ::unlink(path_.c_str());
}

Result<void> ControlServer::listen(const std::string& path) {
  SEGUE_ASSIGN(listener_, os::listen_unix(path, os::SocketType::seqpacket));
  path_ = path;
  return loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); });
}

std::vector<ControlServer::Seat> ControlServer::seats() const {
  std::vector<Seat> seats;
  for (const auto& [id, client] : clients_) {
    seats.push_back({id, client.fd.get(), client.asked, client.finished, client.queue});
  }
  return seats;
}

Result<void> ControlServer::resume(os::UniqueFd listener, const std::string& path, RequestId last,
                                   std::vector<Seat> seats) {
  listener_ = std::move(listener);
  path_ = path;
  last_ = last;
  SEGUE_TRY(loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); }));
  for (auto& seat : seats) {
    const RequestId id = seat.id;
    Client client{.fd = os::UniqueFd(seat.fd),
                  .queue = std::move(seat.queue),
                  .asked = seat.asked,
                  .finished = seat.finished,
                  .interest = EPOLLIN};
    SEGUE_TRY(loop_.watch(client.fd.get(), EPOLLIN, [this, id](std::uint32_t) { on_ready(id); }));
    clients_.emplace(id, std::move(client));
    flush(id);
  }
  return {};
}

void ControlServer::on_connection() {
  auto accepted = os::accept_unix(listener_);
  if (!accepted || !*accepted) return;
  os::UniqueFd fd = *std::move(*accepted);
  const auto peer = os::peer_credentials(fd);
  if (!peer || (peer->uid != ::geteuid() && peer->uid != 0)) return;
  (void)add(std::move(fd), false);
}

Result<RequestId> ControlServer::adopt(os::UniqueFd client) {
  return add(std::move(client), true);
}

Result<RequestId> ControlServer::add(os::UniqueFd fd, bool asked) {
  if (clients_.size() >= kMaxClients) {
    return fail(ErrorCode::resource_exhausted, "{} clients are connected already", kMaxClients);
  }
  const RequestId id = ++last_;
  SEGUE_TRY(loop_.watch(fd.get(), EPOLLIN, [this, id](std::uint32_t) { on_ready(id); }));
  Client client;
  client.fd = std::move(fd);
  client.asked = asked;
  client.interest = EPOLLIN;
  clients_.emplace(id, std::move(client));
  return id;
}

void ControlServer::on_ready(RequestId id) {
  flush(id);
  if (clients_.contains(id)) read(id);
}

void ControlServer::read(RequestId id) {
  Client& client = clients_.at(id);
  auto received = os::receive_message(client.fd, control::kMaxRequestBytes);
  if (received && received->kind == os::Received::Kind::would_block) return;
  // Whoever goes away early may do so: what was asked for goes on.
  if (received && received->kind == os::Received::Kind::closed) return drop(id);
  if (received && client.asked) return drop(id);  // one request per connection
  client.asked = true;
  if (!received) return on_request_(id, fail(std::move(received).error()));
  on_request_(id, control::decode(received->bytes));
}

void ControlServer::send(RequestId id, std::string reply, Weight weight) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second.finished) return;
  Client& client = found->second;
  if (weight == Weight::droppable && !client.queue.empty()) return;
  if (client.queue.size() >= kMaxQueued) return drop(id);
  client.queue.push_back(std::move(reply));
  flush(id);
}

void ControlServer::finish(RequestId id, std::string reply) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second.finished) return;
  found->second.queue.push_back(std::move(reply));
  found->second.finished = true;
  flush(id);
}

void ControlServer::finish_with(RequestId id, std::string_view reply, std::span<const int> fds) {
  const auto found = clients_.find(id);
  if (found == clients_.end() || found->second.finished) return;
  (void)os::send_message(found->second.fd, reply, fds);
  drop(id);
}

void ControlServer::flush(RequestId id) {
  Client& client = clients_.at(id);
  while (!client.queue.empty()) {
    const auto sent = os::send_message(client.fd, client.queue.front());
    if (!sent) return drop(id);
    if (*sent == 0) break;
    client.queue.pop_front();
  }
  if (client.finished && client.queue.empty()) return drop(id);
  const std::uint32_t wanted = client.queue.empty() ? EPOLLIN : EPOLLIN | EPOLLOUT;
  if (wanted == std::exchange(client.interest, wanted)) return;
  if (!loop_.change(client.fd.get(), wanted)) drop(id);
}

void ControlServer::drop(RequestId id) {
  const auto found = clients_.find(id);
  if (found == clients_.end()) return;
  loop_.unwatch(found->second.fd.get());
  clients_.erase(found);
}

}  // namespace segue::keeper
