// SPDX-License-Identifier: Apache-2.0
#include "load/connection.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cerrno>

namespace segue::load {
namespace {

// Well below the 28,232 ports of Linux's default range.
constexpr std::uint32_t kConnectionsPerSource = 12'000;
constexpr std::uint32_t kFirstSource = 0x7f000002;  // 127.0.0.2

const sockaddr* as_sockaddr(const sockaddr_in& address) {
  return reinterpret_cast<const sockaddr*>(&address);
}

void set_option(int fd, int level, int name, int value) {
  // Best effort: every option set here is for speed.
  (void)::setsockopt(fd, level, name, &value, sizeof value);
}

}  // namespace

base::Result<Route> Route::to(const std::string& host, std::uint16_t port,
                              std::uint32_t connections) {
  Route route;
  route.target_.sin_family = AF_INET;
  route.target_.sin_port = htons(port);
  if (::inet_pton(AF_INET, host.c_str(), &route.target_.sin_addr) != 1) {
    return base::fail(base::ErrorCode::invalid_argument, "'{}' is not an IPv4 address", host);
  }
  const bool is_loopback = ntohl(route.target_.sin_addr.s_addr) >> 24 == 127;
  route.spread_sources_ = is_loopback && connections > kConnectionsPerSource;
  return route;
}

base::Result<os::UniqueFd> Route::connect(std::optional<std::uint32_t> index) const {
  os::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(base::errno_error("make a socket", errno));
  set_option(fd.get(), IPPROTO_TCP, TCP_NODELAY, 1);
  if (index && spread_sources_) {
    set_option(fd.get(), IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1);
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr.s_addr = htonl(kFirstSource + *index / kConnectionsPerSource);
    if (::bind(fd.get(), as_sockaddr(source), sizeof source) != 0) {
      return fail(base::errno_error("bind a source address", errno));
    }
  }
  if (::connect(fd.get(), as_sockaddr(target_), sizeof target_) != 0 && errno != EINPROGRESS) {
    return fail(base::errno_error("connect", errno));
  }
  return fd;
}

base::Result<os::UniqueFd> Route::connect_blocking(base::Duration deadline) const {
  os::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fail(base::errno_error("make a socket", errno));
  const timeval limit{.tv_sec = deadline.count() / 1'000'000'000,
                      .tv_usec = deadline.count() % 1'000'000'000 / 1'000};
  for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
    if (::setsockopt(fd.get(), SOL_SOCKET, option, &limit, sizeof limit) != 0) {
      return fail(base::errno_error("set a socket's deadline", errno));
    }
  }
  if (::connect(fd.get(), as_sockaddr(target_), sizeof target_) != 0) {
    return fail(base::errno_error("connect", errno));
  }
  return fd;
}

}  // namespace segue::load
