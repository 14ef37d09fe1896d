// SPDX-License-Identifier: Apache-2.0
#include "keeper/metrics_server.h"

#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <utility>

#include "handoff/sockets.h"
#include "keeper/http_request.h"
#include "os/unix_socket.h"

namespace segue::keeper {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int kBacklog = 16;
constexpr std::string_view kTextFormat = "text/plain; version=0.0.4; charset=utf-8";
constexpr std::string_view kPlain = "text/plain; charset=utf-8";

}  // namespace

MetricsServer::~MetricsServer() {
  for (const auto& listener : listeners_) loop_.unwatch(listener.get());
  while (!clients_.empty()) drop(clients_.begin()->first);
}

Result<void> MetricsServer::watch(os::UniqueFd listener) {
  const int fd = listener.get();
  SEGUE_TRY(loop_.watch(fd, EPOLLIN, [this, fd](std::uint32_t) { on_connection(fd); }));
  listeners_.push_back(std::move(listener));
  return {};
}

Result<void> MetricsServer::listen_unix(const std::string& path) {
  SEGUE_ASSIGN(auto listener, os::listen_unix(path, os::SocketType::stream));
  return watch(std::move(listener));
}

Result<void> MetricsServer::listen_tcp(const std::string& address) {
  if (!address.starts_with("127.") && !address.starts_with("[::1]:")) {
    return fail(ErrorCode::invalid_argument,
                "metrics-listen: {} is not an address of this host alone, as 127.0.0.1:9100 is",
                address);
  }
  handoff::UniqueFd fd;
  if (const auto status = handoff::bind_listener("tcp:" + address, kBacklog, fd); !status.ok()) {
    return fail(ErrorCode::unavailable, "metrics-listen: {}", status.text);
  }
  return watch(os::UniqueFd(fd.release()));
}

void MetricsServer::on_connection(int listener) {
  os::UniqueFd fd(::accept4(listener, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd || clients_.size() >= kMaxClients) return;
  const int raw = fd.get();
  auto timer = loop_.call_at(clock_.monotonic_now() + kLimit, [this, raw] { drop(raw); });
  if (!timer) return;
  if (!loop_.watch(raw, EPOLLIN, [this, raw](std::uint32_t) { on_ready(raw); })) {
    loop_.cancel(*timer);
    return;
  }
  clients_.emplace(raw, Client{std::move(fd), "", "", 0, *timer});
}

void MetricsServer::on_ready(int fd) {
  Client& client = clients_.at(fd);
  if (client.answer.empty()) {
    read(client);
  } else {
    flush(client);
  }
}

void MetricsServer::read(Client& client) {
  std::array<char, kMaxHttpRequestBytes> buffer{};
  const ssize_t got = ::recv(client.fd.get(), buffer.data(), buffer.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return drop(client.fd.get());
  client.request.append(buffer.data(), static_cast<std::size_t>(got));
  const HttpRequest request = parse_http_request(client.request);
  switch (request.state) {
    case HttpRequest::State::incomplete:
      return;
    case HttpRequest::State::bad:
      client.answer = http_response(400, kPlain, "this answers GET /metrics\n", false);
      break;
    case HttpRequest::State::whole:
      if (!request.is_get && !request.is_head) {
        client.answer = http_response(405, kPlain, "this answers GET /metrics\n", false);
      } else if (request.target != "/metrics") {
        client.answer = http_response(404, kPlain, "there is only /metrics\n", request.is_head);
      } else {
        client.answer = http_response(200, kTextFormat, text_(), request.is_head);
      }
      break;
  }
  flush(client);
}

void MetricsServer::flush(Client& client) {
  const int fd = client.fd.get();
  while (client.sent < client.answer.size()) {
    const ssize_t sent = ::send(fd, client.answer.data() + client.sent,
                                client.answer.size() - client.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) {
      if (!loop_.change(fd, EPOLLOUT)) drop(fd);
      return;
    }
    if (sent < 0) return drop(fd);
    client.sent += static_cast<std::size_t>(sent);
  }
  drop(fd);
}

void MetricsServer::drop(int fd) {
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  loop_.cancel(found->second.timer);
  loop_.unwatch(fd);
  clients_.erase(found);
}

}  // namespace segue::keeper
