// SPDX-License-Identifier: Apache-2.0
#include "handoff/sockets.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>

namespace segue::handoff {
namespace {

Status invalid(std::string_view text, const char* why) {
  return Status::bad(SEGUE_INVALID, "address " + std::string(text) + ": " + why +
                                        "; write tcp:127.0.0.1:6379, tcp:[::1]:6379, udp:..., "
                                        "unix:/path or unixgram:/path");
}

bool starts_with(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<uint16_t> parse_port(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return port;
}

Status parse_unix(std::string_view text, std::string_view path, SocketAddress& address) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.empty() || path.front() != '/') return invalid(text, "the path must be absolute");
  if (path.size() >= sizeof name.sun_path) return invalid(text, "the path exceeds 107 bytes");
  memcpy(name.sun_path, path.data(), path.size());
  address.family = AF_UNIX;
  address.path = path;
  memcpy(&address.storage, &name, sizeof name);
  address.size = sizeof name;
  return Status::good();
}

Status parse_inet(std::string_view text, std::string_view rest, SocketAddress& address) {
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos) return invalid(text, "the port is missing");
  const auto port = parse_port(rest.substr(colon + 1));
  if (!port) return invalid(text, "the port must be a number from 0 to 65535");
  std::string host(rest.substr(0, colon));
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
    sockaddr_in6 name{};
    name.sin6_family = AF_INET6;
    name.sin6_port = htons(*port);
    if (inet_pton(AF_INET6, host.c_str(), &name.sin6_addr) != 1) {
      return invalid(text, "this is no IPv6 address");
    }
    address.family = AF_INET6;
    memcpy(&address.storage, &name, sizeof name);
    address.size = sizeof name;
    return Status::good();
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(*port);
  if (inet_pton(AF_INET, host.c_str(), &name.sin_addr) != 1) {
    return invalid(text, "this is no IPv4 address");
  }
  address.family = AF_INET;
  memcpy(&address.storage, &name, sizeof name);
  address.size = sizeof name;
  return Status::good();
}

// Removes a socket file that a dead process left behind.
void remove_stale(const SocketAddress& address) {
  struct stat info{};
  if (lstat(address.path.c_str(), &info) != 0 || !S_ISSOCK(info.st_mode)) return;
  const UniqueFd probe(socket(AF_UNIX, address.type | SOCK_CLOEXEC, 0));
  const auto* name = reinterpret_cast<const sockaddr*>(&address.storage);
  if (probe.valid() && connect(probe.get(), name, address.size) != 0 && errno == ECONNREFUSED) {
    unlink(address.path.c_str());
  }
}

// A reset is seen at once even if another process holds the socket: disconnecting sends it.
void reset_peer(int fd) {
  const linger at_once{1, 0};
  setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  sockaddr none{};
  none.sa_family = AF_UNSPEC;
  if (connect(fd, &none, sizeof none) != 0) shutdown(fd, SHUT_RDWR);
}

bool is_inet_stream(int fd) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return false;
  size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return false;
  return (domain == AF_INET || domain == AF_INET6) && type == SOCK_STREAM;
}

}  // namespace

Status parse_address(std::string_view text, SocketAddress& address) {
  std::string_view rest = text;
  address = {};
  if (starts_with(rest, "unix:")) return parse_unix(text, rest, address);
  if (starts_with(rest, "unixgram:")) {
    address.type = SOCK_DGRAM;
    return parse_unix(text, rest, address);
  }
  if (starts_with(rest, "tcp:")) return parse_inet(text, rest, address);
  if (starts_with(rest, "udp:")) {
    address.type = SOCK_DGRAM;
    return parse_inet(text, rest, address);
  }
  return invalid(text, "the kind is missing");
}

Status bind_listener(std::string_view text, int backlog, UniqueFd& fd) {
  SocketAddress address;
  if (Status status = parse_address(text, address); !status.ok()) return status;
  const std::string what = "listening at " + std::string(text);
  fd.reset(socket(address.family, address.type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return Status::system(what);
  const int on = 1;
  if (address.family == AF_UNIX) {
    remove_stale(address);
  } else if (address.type == SOCK_STREAM) {
    setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  }
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address.storage), address.size) != 0 ||
      (address.type == SOCK_STREAM && listen(fd.get(), backlog) != 0)) {
    Status status = Status::system(what);
    fd.reset();
    return status;
  }
  return Status::good();
}

void close_peer(int fd, segue_close_how how) {
  if (how == SEGUE_CLOSE_RST && is_inet_stream(fd)) {
    reset_peer(fd);
  } else {
    shutdown(fd, SHUT_RDWR);
  }
}

}  // namespace segue::handoff
