// SPDX-License-Identifier: Apache-2.0
#include "tcp/socket_options.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>

#include "tcp/kernel.h"

namespace segue::tcp {
namespace {

using enum OptionMoment;
using enum OptionFamily;

constexpr std::array kOptions = {
    SocketOption{1, IPPROTO_IPV6, IPV6_V6ONLY, before_bind, ipv6, "IPV6_V6ONLY"},
    SocketOption{kReuseAddress, SOL_SOCKET, SO_REUSEADDR, after_leave, any, "SO_REUSEADDR"},
    SocketOption{3, SOL_SOCKET, SO_KEEPALIVE, before_leave, any, "SO_KEEPALIVE"},
    SocketOption{4, SOL_SOCKET, SO_OOBINLINE, before_leave, any, "SO_OOBINLINE"},
    SocketOption{5, SOL_SOCKET, SO_PRIORITY, before_leave, any, "SO_PRIORITY"},
    SocketOption{6, SOL_SOCKET, SO_MARK, before_bind, any, "SO_MARK"},
    SocketOption{7, SOL_SOCKET, SO_RCVLOWAT, after_leave, any, "SO_RCVLOWAT"},
    SocketOption{8, IPPROTO_IP, IP_TOS, before_bind, ipv4, "IP_TOS"},
    SocketOption{9, IPPROTO_IPV6, IPV6_TCLASS, before_bind, ipv6, "IPV6_TCLASS"},
    SocketOption{10, IPPROTO_TCP, TCP_NODELAY, before_leave, any, "TCP_NODELAY"},
    SocketOption{11, IPPROTO_TCP, TCP_KEEPIDLE, before_leave, any, "TCP_KEEPIDLE"},
    SocketOption{12, IPPROTO_TCP, TCP_KEEPINTVL, before_leave, any, "TCP_KEEPINTVL"},
    SocketOption{13, IPPROTO_TCP, TCP_KEEPCNT, before_leave, any, "TCP_KEEPCNT"},
    SocketOption{14, IPPROTO_TCP, TCP_USER_TIMEOUT, after_leave, any, "TCP_USER_TIMEOUT"},
    SocketOption{15, IPPROTO_TCP, TCP_NOTSENT_LOWAT, after_leave, any, "TCP_NOTSENT_LOWAT"},
    SocketOption{16, IPPROTO_TCP, kTcpRtoMaxMs, after_leave, any, "TCP_RTO_MAX_MS"},
};

static_assert(std::is_sorted(kOptions.begin(), kOptions.end(),
                             [](const auto& a, const auto& b) { return a.id < b.id; }));

}  // namespace

std::span<const SocketOption> socket_options() {
  return kOptions;
}

const SocketOption* find_option(std::uint16_t id) {
  const auto* const found =
      std::find_if(kOptions.begin(), kOptions.end(),
                   [id](const SocketOption& option) { return option.id == id; });
  return found == kOptions.end() ? nullptr : found;
}

}  // namespace segue::tcp
