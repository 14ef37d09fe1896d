// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_control.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// HAProxy takes a command in one buffer (tune.bufsize, 16 KiB).
constexpr std::size_t kMaxPayloadBytes = 8'192;
constexpr std::size_t kReadBytes = 65'536;

struct Target {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

Result<Target> target_of(const std::string& address) {
  Target target;
  if (address.starts_with('/')) {
    auto& un = reinterpret_cast<sockaddr_un&>(target.storage);
    if (address.size() >= sizeof un.sun_path) {
      return fail(ErrorCode::invalid_argument, "{} is longer than {} bytes", address,
                  sizeof un.sun_path - 1);
    }
    un.sun_family = AF_UNIX;
    address.copy(un.sun_path, sizeof un.sun_path - 1);
    target.size = sizeof un;
    return target;
  }
  const std::size_t colon = address.rfind(':');
  std::string host = address.substr(0, colon == std::string::npos ? 0 : colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const char* const last = address.data() + address.size();
  const auto parsed =
      std::from_chars(colon == std::string::npos ? last : address.data() + colon + 1, last, port);
  auto& v4 = reinterpret_cast<sockaddr_in&>(target.storage);
  auto& v6 = reinterpret_cast<sockaddr_in6&>(target.storage);
  if (parsed.ec == std::errc() && parsed.ptr == last && port != 0) {
    if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) {
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      target.size = sizeof v4;
      return target;
    }
    if (::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      target.size = sizeof v6;
      return target;
    }
  }
  return fail(ErrorCode::invalid_argument,
              "'{}' is no stats socket: an absolute path, or HOST:PORT with a numeric host",
              address);
}

// False: the time is over.
bool wait_for(const os::Clock& clock, int fd, short events, base::MonotonicTime until) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - clock.monotonic_now()).count();
    if (left <= 0) return false;
    pollfd wanted{fd, events, 0};
    const int ready = ::poll(&wanted, 1, static_cast<int>(left));
    if (ready > 0) return true;
    if (ready < 0 && errno != EINTR) return false;
  }
}

base::Error no_connection(const std::string& address, int error) {
  if (error == EACCES) {
    return {ErrorCode::permission_denied,
            fmt::format("{} does not let this user in: run as its user or group (stats socket … "
                        "user, group, mode)",
                        address)};
  }
  if (error == ENOENT || error == ECONNREFUSED) {
    return {ErrorCode::unavailable,
            fmt::format("nobody listens on {}: HAProxy does not run, or its `stats socket` is "
                        "another one",
                        address)};
  }
  return base::errno_error("connect to " + address, error);
}

tl::unexpected<base::Error> too_late(const std::string& address) {
  return fail(ErrorCode::deadline_exceeded, "HAProxy did not answer on {} within {} s", address,
              std::chrono::duration_cast<std::chrono::seconds>(ProxySocket::kAnswerLimit).count());
}

Result<void> replace_map(const ProxySocket& socket, const ReplaceMap& order) {
  const std::string prepare = "prepare map " + order.file;
  SEGUE_ASSIGN(const std::string prepared, socket.ask(prepare));
  SEGUE_TRY(check_refusal(prepare, prepared));
  SEGUE_ASSIGN(const std::uint32_t version, parse_map_version(prepared));
  const std::string head = fmt::format("add map @{} {} <<\n", version, order.file);
  std::string payload;
  const auto send = [&]() -> Result<void> {
    if (payload.empty()) return {};
    SEGUE_ASSIGN(const std::string answer, socket.ask(head + payload));
    payload.clear();
    return check_done(head.substr(0, head.size() - 1), answer);
  };
  for (const auto& [key, value] : order.entries) {
    if (payload.size() + key.size() + value.size() + 2 > kMaxPayloadBytes) SEGUE_TRY(send());
    payload += fmt::format("{} {}\n", key, value);
  }
  SEGUE_TRY(send());
  const std::string commit = fmt::format("commit map @{} {}", version, order.file);
  SEGUE_ASSIGN(const std::string answer, socket.ask(commit));
  return check_done(commit, answer);
}

}  // namespace

Result<ProxySocket> ProxySocket::at(const os::Clock& clock, std::string address) {
  SEGUE_TRY(target_of(address));
  return ProxySocket(clock, std::move(address));
}

Result<os::UniqueFd> ProxySocket::connect(base::MonotonicTime until) const {
  SEGUE_ASSIGN(const Target target, target_of(address_));
  os::UniqueFd fd(
      ::socket(target.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return fail(base::errno_error("make a socket", errno));
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&target.storage), target.size) !=
         0) {
    if (errno == EAGAIN) {  // a Unix socket whose queue is full
      if (clock_->monotonic_now() >= until) return too_late(address_);
      ::poll(nullptr, 0, 1);
      continue;
    }
    if (errno != EINPROGRESS) return fail(no_connection(address_, errno));
    if (!wait_for(*clock_, fd.get(), POLLOUT, until)) return too_late(address_);
    int error = 0;
    socklen_t size = sizeof error;
    ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) return fail(no_connection(address_, error));
    break;
  }
  return fd;
}

Result<std::string> ProxySocket::ask(const std::string& command) const {
  const base::MonotonicTime until = clock_->monotonic_now() + kAnswerLimit;
  SEGUE_ASSIGN(const os::UniqueFd fd, connect(until));
  const std::string line = command + "\n";
  for (std::size_t sent = 0; sent < line.size();) {
    const ssize_t got = ::send(fd.get(), line.data() + sent, line.size() - sent, MSG_NOSIGNAL);
    if (got > 0) {
      sent += static_cast<std::size_t>(got);
    } else if (errno != EAGAIN && errno != EINTR) {
      return fail(no_connection(address_, errno));
    } else if (!wait_for(*clock_, fd.get(), POLLOUT, until)) {
      return too_late(address_);
    }
  }
  std::string answer;
  std::array<char, kReadBytes> room;
  while (answer.size() <= kMaxAnswerBytes) {
    const ssize_t got = ::recv(fd.get(), room.data(), room.size(), 0);
    if (got == 0) return answer;
    if (got > 0) {
      answer.append(room.data(), static_cast<std::size_t>(got));
    } else if (errno == ECONNRESET) {
      return fail(ErrorCode::unavailable, "HAProxy ended in the middle of an answer on {}",
                  address_);
    } else if (errno != EAGAIN && errno != EINTR) {
      return fail(base::errno_error("read from " + address_, errno));
    } else if (!wait_for(*clock_, fd.get(), POLLIN, until)) {
      return too_late(address_);
    }
  }
  return fail(ErrorCode::resource_exhausted, "HAProxy's answer to '{}' is longer than {} bytes",
              command, kMaxAnswerBytes);
}

Result<ProxySeen> observe(const ProxySocket& socket, const ProxyWanted& wanted) {
  ProxySeen seen;
  const auto ask = [&](const std::string& command) -> Result<std::string> {
    SEGUE_ASSIGN(std::string answer, socket.ask(command));
    SEGUE_TRY(check_refusal(command, answer));
    return answer;
  };
  SEGUE_ASSIGN(const std::string process, ask("show info"));
  SEGUE_ASSIGN(seen.process, parse_process(process));
  SEGUE_ASSIGN(const std::string servers, ask("show servers state " + wanted.backend));
  SEGUE_ASSIGN(seen.servers, parse_servers(servers));
  const std::string id =
      seen.servers.empty() ? wanted.backend : fmt::to_string(seen.servers.front().backend_id);
  SEGUE_ASSIGN(const std::string stat, ask("show stat " + id + " 6 -1"));
  SEGUE_ASSIGN(const ProxyFigures figures, parse_figures(stat));
  seen.mode = figures.mode;
  seen.algorithm = figures.algorithm;
  for (auto& server : seen.servers) {
    const auto found = figures.servers.find(server.name);
    if (found == figures.servers.end()) continue;
    server.sessions = found->second.sessions;
    server.current_sessions = found->second.current_sessions;
    server.is_backup = found->second.is_backup;
  }
  for (const auto& [file, entries] : wanted.maps) {
    SEGUE_ASSIGN(const std::string map, ask("show map " + file));
    SEGUE_ASSIGN(seen.maps[file], parse_map(map));
  }
  return seen;
}

Result<std::vector<std::string>> carry_out(const ProxySocket& socket,
                                           const std::vector<ProxyOrder>& orders) {
  std::vector<std::string> waiting;
  for (const auto& order : orders) {
    if (const auto* map = std::get_if<ReplaceMap>(&order)) {
      SEGUE_TRY(replace_map(socket, *map));
      continue;
    }
    const auto& command = std::get<ProxyCommand>(order);
    SEGUE_ASSIGN(const std::string answer, socket.ask(command.text));
    auto done = check_done(command.text, answer, command.done);
    if (!done && command.may_wait && done.error().code() == ErrorCode::unavailable) {
      waiting.push_back(done.error().message());
      continue;
    }
    SEGUE_TRY(std::move(done));
  }
  return waiting;
}

Result<ProxyReport> reconcile(const ProxySocket& socket, const ProxyWanted& wanted) {
  SEGUE_TRY(check_wanted(wanted));
  ProxyReport report;
  for (int round = 0; round < kMaxRounds; ++round) {
    SEGUE_ASSIGN(ProxySeen seen, observe(socket, wanted));
    report.decision = decide(wanted, seen);
    if (round == 0) report.seen = std::move(seen);
    if (report.decision.orders.empty()) return report;
    SEGUE_ASSIGN(auto waiting, carry_out(socket, report.decision.orders));
    report.orders += report.decision.orders.size() - waiting.size();
    if (waiting.size() == report.decision.orders.size()) {
      auto& problems = report.decision.problems;
      problems.insert(problems.end(), std::make_move_iterator(waiting.begin()),
                      std::make_move_iterator(waiting.end()));
      return report;
    }
  }
  return fail(ErrorCode::aborted,
              "somebody else changes backend {} of HAProxy again and again: end that first",
              wanted.backend);
}

}  // namespace segue::traffic
