// SPDX-License-Identifier: Apache-2.0
#include "builder/webhook_server.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/beast/http/error.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <utility>

#include "control/text.h"

namespace segue::builder {
namespace {

namespace http = boost::beast::http;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kBacklog = 64;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kBadRequest = 400;
constexpr int kPayloadTooLarge = 413;
constexpr int kServiceUnavailable = 503;

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Address> parse_address(const std::string& text) {
  const auto colon = text.rfind(':');
  const std::string port_text = colon == text.npos ? "" : text.substr(colon + 1);
  std::string host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  unsigned port = 0;
  const auto [end, problem] =
      std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  const bool is_port = problem == std::errc() && end == port_text.data() + port_text.size() &&
                       !port_text.empty() && port <= UINT16_MAX;
  Address address;
  sockaddr_in v4{.sin_family = AF_INET, .sin_port = htons(static_cast<std::uint16_t>(port))};
  sockaddr_in6 v6{.sin6_family = AF_INET6, .sin6_port = htons(static_cast<std::uint16_t>(port))};
  if (is_port && inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
    return address;
  }
  if (is_port && inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
    return address;
  }
  return fail(ErrorCode::invalid_argument,
              "listen: '{}' is not ADDRESS:PORT, such as 127.0.0.1:8790", text);
}

http::status status_of(int status) {
  return http::int_to_status(static_cast<unsigned>(status));
}

}  // namespace

struct WebhookServer::Client {
  os::UniqueFd fd;
  os::EpollLoop::TimerId timer;
  http::request_parser<http::string_body> parser;
  std::string unparsed;  // the beginning of a header that is not whole
  std::string answer;
  std::size_t sent = 0;
};

WebhookServer::WebhookServer(os::EpollLoop& loop, const os::Clock& clock, Answer answer)
    : loop_(loop), clock_(clock), answer_(std::move(answer)) {}

WebhookServer::~WebhookServer() {
  while (!clients_.empty()) drop(clients_.begin()->first);
  if (listener_) loop_.unwatch(listener_.get());
}

Result<std::uint16_t> WebhookServer::listen(const std::string& address) {
  SEGUE_ASSIGN(Address bound, parse_address(address));
  listener_.reset(::socket(bound.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const int yes = 1;
  if (!listener_ ||
      ::setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes) != 0 ||
      ::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&bound.storage), bound.size) != 0 ||
      ::listen(listener_.get(), kBacklog) != 0) {
    return fail(base::errno_error("listen on " + address, errno));
  }
  SEGUE_TRY(loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); }));
  socklen_t size = sizeof bound.storage;
  ::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&bound.storage), &size);
  return ntohs(bound.storage.ss_family == AF_INET
                   ? reinterpret_cast<const sockaddr_in*>(&bound.storage)->sin_port
                   : reinterpret_cast<const sockaddr_in6*>(&bound.storage)->sin6_port);
}

void WebhookServer::on_connection() {
  os::UniqueFd fd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!fd || clients_.size() >= kMaxClients) return;
  const int number = fd.get();
  auto timer = loop_.call_at(clock_.monotonic_now() + kLimit, [this, number] { drop(number); });
  if (!timer) return;
  auto client = std::make_unique<Client>();
  client->fd = std::move(fd);
  client->timer = *timer;
  client->parser.header_limit(kMaxHeaderBytes);
  client->parser.body_limit(kMaxWebhookBytes);
  clients_[number] = std::move(client);
  if (!loop_.watch(number, EPOLLIN, [this, number](std::uint32_t) { on_ready(number); })) {
    drop(number);
  }
}

void WebhookServer::on_ready(int fd) {
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  if (found->second->answer.empty()) {
    read(*found->second);
  } else {
    flush(*found->second);
  }
}

void WebhookServer::read(Client& client) {
  std::array<char, kReadBytes> buffer{};
  const ssize_t got = ::read(client.fd.get(), buffer.data(), buffer.size());
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return drop(client.fd.get());
  client.unparsed.append(buffer.data(), static_cast<std::size_t>(got));
  boost::system::error_code error;
  while (!client.unparsed.empty() && !client.parser.is_done()) {
    const std::size_t taken = client.parser.put(boost::asio::buffer(client.unparsed), error);
    client.unparsed.erase(0, taken);
    if (error == http::error::need_more) {
      error = {};
      break;
    }
    if (error || taken == 0) break;
  }
  if (error == http::error::body_limit) {
    return reply(client, kPayloadTooLarge, fmt::format("more than {} bytes", kMaxWebhookBytes));
  }
  if (error) return reply(client, kBadRequest, error.message());
  if (!client.parser.is_done()) return;
  const auto& message = client.parser.get();
  const WebhookAnswer answer = answer_({.method = std::string(message.method_string()),
                                        .target = std::string(message.target()),
                                        .body = message.body(),
                                        .header = [&](std::string_view name) {
                                          const auto value = message[{name.data(), name.size()}];
                                          return std::string(value.data(), value.size());
                                        }});
  reply(client, answer.status, answer.text);
}

void WebhookServer::reply(Client& client, int status, const std::string& text) {
  const auto reason = http::obsolete_reason(status_of(status));
  client.answer = fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {}\r\n{}"
      "Connection: close\r\n\r\n{}\n",
      status, std::string_view(reason.data(), reason.size()), text.size() + 1,
      status == kServiceUnavailable ? "Retry-After: 30\r\n" : "", text);
  (void)loop_.change(client.fd.get(), EPOLLOUT);
  flush(client);
}

void WebhookServer::flush(Client& client) {
  while (client.sent < client.answer.size()) {
    const ssize_t sent = ::send(client.fd.get(), client.answer.data() + client.sent,
                                client.answer.size() - client.sent, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent < 0 && errno == EAGAIN) return;
    if (sent <= 0) break;
    client.sent += static_cast<std::size_t>(sent);
  }
  drop(client.fd.get());
}

void WebhookServer::drop(int fd) {
  const auto found = clients_.find(fd);
  if (found == clients_.end()) return;
  loop_.unwatch(fd);
  loop_.cancel(found->second->timer);
  // What was not read would make the kernel reset the connection, and the answer be lost.
  ::shutdown(fd, SHUT_WR);
  std::array<char, 4'096> rest{};
  for (int round = 0; round < 64 && ::read(fd, rest.data(), rest.size()) > 0; ++round) {
  }
  clients_.erase(found);
}

}  // namespace segue::builder
