// SPDX-License-Identifier: Apache-2.0
#include "health/health_check.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "control/options.h"
#include "control/text.h"
#include "health/http_answer.h"

namespace segue::health {
namespace {

// A command that was killed is dead at once, but for the kernel's own work.
constexpr base::Duration kReapLimit = std::chrono::milliseconds(200);

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Only numbers: a name server must not be able to stop the keeper. The command line resolves names.
std::optional<SocketAddress> numeric_address(const control::HostPort& target) {
  SocketAddress address;
  sockaddr_in v4{};
  sockaddr_in6 v6{};
  if (inet_pton(AF_INET, target.host.c_str(), &v4.sin_addr) == 1) {
    v4.sin_family = AF_INET;
    v4.sin_port = htons(target.port);
    std::memcpy(&address.storage, &v4, sizeof v4);
    address.size = sizeof v4;
    return address;
  }
  if (inet_pton(AF_INET6, target.host.c_str(), &v6.sin6_addr) == 1) {
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(target.port);
    std::memcpy(&address.storage, &v6, sizeof v6);
    address.size = sizeof v6;
    return address;
  }
  return std::nullopt;
}

}  // namespace

HealthCheck::HealthCheck(os::EpollLoop& loop, const os::Clock& clock, Settings settings,
                         OnResult on_result)
    : loop_(loop),
      clock_(clock),
      settings_(std::move(settings)),
      on_result_(std::move(on_result)) {}

HealthCheck::~HealthCheck() {
  release();
}

void HealthCheck::start() {
  auto timer = loop_.call_at(clock_.monotonic_now() + settings_.limit, [this] { timed_out(); });
  if (!timer) return done(false, timer.error().message());
  timer_ = *timer;
  if (!settings_.command.empty()) return run_command();
  check_tcp();
}

void HealthCheck::run_command() {
  const os::SpawnOptions options{.argv = {"/bin/sh", "-c", settings_.command},
                                 .env = settings_.environment,
                                 .cwd = "/",
                                 .fds = {}};
  auto child = os::spawn(options);
  if (!child) return done(false, child.error().to_string());
  child_ = *std::move(child);
  auto watched =
      loop_.watch(child_.pidfd.get(), EPOLLIN, [this](std::uint32_t) { command_ended(); });
  if (!watched) done(false, watched.error().message());
}

void HealthCheck::command_ended() {
  const auto status = os::wait_for_exit(child_.pidfd, base::Duration(0));
  if (status && !*status) return;
  loop_.unwatch(child_.pidfd.get());
  child_ = {};
  if (!status) return done(false, status.error().message());
  if (!(*status)->success()) {
    return done(false, fmt::format("'{}' {}", settings_.command, (*status)->to_string()));
  }
  if (settings_.tcp.empty() && settings_.http.empty()) {
    return done(true, fmt::format("'{}' is content", settings_.command));
  }
  check_tcp();
}

void HealthCheck::check_tcp() {
  if (settings_.tcp.empty()) return check_http();
  connect(settings_.tcp);
}

void HealthCheck::check_http() {
  const auto target = parse_http_target(settings_.http);
  if (!target) return done(false, target.error().message());
  request_ = http_request(*target);
  connect(target->address);
}

void HealthCheck::connect(const std::string& text) {
  address_ = text;
  const auto target = control::parse_host_port(address_);
  if (!target) return done(false, target.error().message());
  const auto address = numeric_address(*target);
  if (!address) return done(false, fmt::format("'{}' is not an IP address", target->host));
  socket_.reset(
      ::socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket_) return done(false, base::errno_error("make a socket", errno).to_string());
  const int connected_now =
      ::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address->storage), address->size);
  if (connected_now != 0 && errno != EINPROGRESS) {
    return done(false, base::errno_error("connect to " + address_, errno).to_string());
  }
  auto watched = loop_.watch(socket_.get(), EPOLLOUT, [this](std::uint32_t) { connected(); });
  if (!watched) done(false, watched.error().message());
}

void HealthCheck::connected() {
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  loop_.unwatch(socket_.get());
  if (error != 0) {
    return done(false, base::errno_error("connect to " + address_, error).to_string());
  }
  if (request_.empty()) {
    socket_.reset();
    if (!settings_.http.empty()) return check_http();
    return done(true, address_ + " accepts connections");
  }
  // It is shorter than any socket's buffer.
  const ssize_t sent = ::send(socket_.get(), request_.data(), request_.size(), MSG_NOSIGNAL);
  if (sent != static_cast<ssize_t>(request_.size())) {
    return done(false, base::errno_error("ask " + settings_.http, errno).to_string());
  }
  auto watched = loop_.watch(socket_.get(), EPOLLIN, [this](std::uint32_t) { read_answer(); });
  if (!watched) done(false, watched.error().message());
}

void HealthCheck::read_answer() {
  std::array<char, kMaxStatusLineBytes> bytes;
  const ssize_t got = ::recv(socket_.get(), bytes.data(), bytes.size(), 0);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got < 0) return done(false, base::errno_error("read from " + address_, errno).to_string());
  answer_.append(bytes.data(), static_cast<std::size_t>(got));
  const HttpAnswer answer = parse_http_answer(answer_);
  if (got > 0 && !answer.is_whole) return;
  if (answer.status == 0) return done(false, settings_.http + " does not answer as HTTP does");
  done(answer.status >= 200 && answer.status < 400,
       fmt::format("{} answers with {}", settings_.http, answer.status));
}

void HealthCheck::timed_out() {
  timer_.reset();
  const auto limit = control::seconds_text(static_cast<std::uint64_t>(settings_.limit.count()));
  if (child_.pidfd) {
    return done(false, fmt::format("'{}' did not end within {}", settings_.command, limit));
  }
  done(false, request_.empty() ? fmt::format("{} did not accept within {}", address_, limit)
                               : fmt::format("{} did not answer within {}", settings_.http, limit));
}

void HealthCheck::done(bool good, std::string text) {
  release();
  const OnResult on_result = std::exchange(on_result_, nullptr);
  if (on_result) on_result({good, std::move(text)});
}

void HealthCheck::release() {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  if (socket_) loop_.unwatch(socket_.get());
  socket_.reset();
  if (!child_.pidfd) return;
  loop_.unwatch(child_.pidfd.get());
  ::kill(-child_.pid, SIGKILL);  // with what it started: it has a process group of its own
  (void)os::wait_for_exit(child_.pidfd, kReapLimit);
  child_ = {};
}

}  // namespace segue::health
