// SPDX-License-Identifier: Apache-2.0
#include "tcp/connection.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "tcp/kernel.h"

namespace segue::tcp {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::array<std::string_view, 13> kStateRefusals = {
    "",  // 0 is no state
    "",  // ESTABLISHED
    "its handshake is not complete (SYN_SENT): wait until it is connected",
    "its handshake is not complete (SYN_RECV): wait until it is connected",
    "this side has closed it (FIN_WAIT1): let it end here",
    "this side has closed it (FIN_WAIT2): let it end here",
    "it has ended (TIME_WAIT)",
    "it is not connected (CLOSE)",
    "the peer has closed its side (CLOSE_WAIT): let it end here",
    "both sides have closed it (LAST_ACK): let it end here",
    "it listens (LISTEN): open a listener at the destination instead",
    "both sides have closed it (CLOSING): let it end here",
    "its handshake is not complete (NEW_SYN_RECV): wait until it is connected",
};
constexpr std::uint8_t kEstablished = 1;  // TCP_ESTABLISHED

Result<tcp_info> read_info(int fd) {
  return get_option<tcp_info>(fd, IPPROTO_TCP, TCP_INFO, "TCP_INFO");
}

Result<void> check_state(const tcp_info& info) {
  if (info.tcpi_state == kEstablished) return {};
  const bool known = info.tcpi_state > 0 && info.tcpi_state < kStateRefusals.size();
  if (known) return fail(ErrorCode::failed_precondition, "{}", kStateRefusals.at(info.tcpi_state));
  return fail(ErrorCode::failed_precondition, "it is in the unknown state {}", info.tcpi_state);
}

Result<Family> check_kind(int fd) {
  SEGUE_ASSIGN(const int domain, get_option<int>(fd, SOL_SOCKET, SO_DOMAIN, "SO_DOMAIN"));
  SEGUE_ASSIGN(const int protocol, get_option<int>(fd, SOL_SOCKET, SO_PROTOCOL, "SO_PROTOCOL"));
  if (domain != AF_INET && domain != AF_INET6) {
    return fail(ErrorCode::invalid_argument, "it is no socket of IPv4 or IPv6 (family {})", domain);
  }
  constexpr int kMultipathTcp = 262;
  if (protocol == kMultipathTcp) {
    return fail(ErrorCode::invalid_argument, "it is Multipath TCP, which cannot be dumped");
  }
  if (protocol != IPPROTO_TCP) {
    return fail(ErrorCode::invalid_argument, "it is no TCP socket (protocol {})", protocol);
  }
  return domain == AF_INET ? Family::ipv4 : Family::ipv6;
}

// An option whose value is a text; empty where there is none, or the kernel does not know it.
std::string read_text(int fd, int level, int name) {
  std::array<char, 64> text{};
  socklen_t size = text.size() - 1;
  if (::getsockopt(fd, level, name, text.data(), &size) != 0) return {};
  return {text.data(), ::strnlen(text.data(), size)};
}

Result<void> check_attachments(int fd) {
  if (const std::string protocol = read_text(fd, IPPROTO_TCP, TCP_ULP); !protocol.empty()) {
    return fail(ErrorCode::failed_precondition,
                "the kernel runs '{}' on it, whose state cannot be read", protocol);
  }
  if (const std::string device = read_text(fd, SOL_SOCKET, SO_BINDTODEVICE); !device.empty()) {
    return fail(ErrorCode::failed_precondition,
                "it is bound to the device '{}', which means nothing elsewhere", device);
  }
  return {};
}

Result<Endpoint> endpoint_of(Family family, const sockaddr_storage& address) {
  Endpoint endpoint;
  if (family == Family::ipv4) {
    sockaddr_in in{};
    std::memcpy(&in, &address, sizeof in);
    std::memcpy(endpoint.address.data(), &in.sin_addr, sizeof in.sin_addr);
    endpoint.port = ntohs(in.sin_port);
  } else {
    sockaddr_in6 in{};
    std::memcpy(&in, &address, sizeof in);
    std::memcpy(endpoint.address.data(), &in.sin6_addr, sizeof in.sin6_addr);
    endpoint.port = ntohs(in.sin6_port);
  }
  return endpoint;
}

Result<void> read_endpoints(int fd, ConnectionImage& image) {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  if (::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail(errno_error("getsockname", errno));
  }
  SEGUE_ASSIGN(image.local, endpoint_of(image.family, address));
  size = sizeof address;
  if (::getpeername(fd, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    return fail(errno_error("getpeername", errno));
  }
  SEGUE_ASSIGN(image.remote, endpoint_of(image.family, address));
  return {};
}

// Before repair mode, which changes SO_REUSEADDR.
Result<void> read_settings(int fd, ConnectionImage& image) {
  for (const SocketOption& option : socket_options()) {
    const bool other = (option.family == OptionFamily::ipv4 && image.family != Family::ipv4) ||
                       (option.family == OptionFamily::ipv6 && image.family != Family::ipv6);
    if (other) continue;
    std::int32_t value = 0;
    socklen_t size = sizeof value;
    if (::getsockopt(fd, option.level, option.name, &value, &size) != 0) {
      if (errno == ENOPROTOOPT) continue;  // an older kernel
      return fail(errno_error(option.label, errno));
    }
    image.options.push_back({.id = option.id, .value = value});
  }
  SEGUE_ASSIGN(const int send, get_option<int>(fd, SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF"));
  SEGUE_ASSIGN(const int receive, get_option<int>(fd, SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"));
  image.send_buffer_bytes = static_cast<std::uint32_t>(send);
  image.receive_buffer_bytes = static_cast<std::uint32_t>(receive);
  if (const auto locks = get_option<int>(fd, SOL_SOCKET, kSoBufferLock, "SO_BUF_LOCK")) {
    image.locked_buffers =
        static_cast<std::uint8_t>(*locks & (kSendBufferLocked | kReceiveBufferLocked));
  }
  image.congestion_algorithm = read_text(fd, IPPROTO_TCP, TCP_CONGESTION);
  return {};
}

Result<void> read_negotiated(int fd, const tcp_info& info, ConnectionImage& image) {
  SEGUE_ASSIGN(const int segment, get_option<int>(fd, IPPROTO_TCP, TCP_MAXSEG, "TCP_MAXSEG"));
  image.maximum_segment_bytes = static_cast<std::uint16_t>(segment);
  image.selective_acknowledgement = (info.tcpi_options & TCPI_OPT_SACK) != 0;
  if ((info.tcpi_options & TCPI_OPT_WSCALE) != 0) {
    image.window_scale = WindowScale{.send = info.tcpi_snd_wscale, .receive = info.tcpi_rcv_wscale};
  }
  if ((info.tcpi_options & TCPI_OPT_TIMESTAMPS) != 0) {
    SEGUE_ASSIGN(image.timestamp,
                 get_option<std::uint32_t>(fd, IPPROTO_TCP, TCP_TIMESTAMP, "TCP_TIMESTAMP"));
  }
  SEGUE_ASSIGN(
      const tcp_repair_window windows,
      get_option<tcp_repair_window>(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, "TCP_REPAIR_WINDOW"));
  image.windows = {.send_update_sequence = windows.snd_wl1,
                   .send_bytes = windows.snd_wnd,
                   .send_max_bytes = windows.max_window,
                   .receive_bytes = windows.rcv_wnd,
                   .receive_update_sequence = windows.rcv_wup};
  return {};
}

Result<std::uint32_t> read_sequence(int fd, RepairQueue queue) {
  SEGUE_TRY(select_queue(fd, queue));
  return get_option<std::uint32_t>(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, "TCP_QUEUE_SEQ");
}

// All `size` bytes of the queue, which keeps them.
Result<std::string> peek(int fd, RepairQueue queue, std::size_t size) {
  if (size > kMaxQueueBytes) {
    return fail(ErrorCode::resource_exhausted, "its queue holds {} bytes, at most {} can move",
                size, kMaxQueueBytes);
  }
  std::string bytes(size, '\0');
  if (size == 0) return bytes;
  SEGUE_TRY(select_queue(fd, queue));
  const ssize_t got = ::recv(fd, bytes.data(), size, MSG_PEEK | MSG_DONTWAIT);
  if (got < 0) return fail(errno_error("read a queue", errno));
  if (static_cast<std::size_t>(got) != size) {
    return fail(ErrorCode::aborted, "its queue held {} bytes and then {}", size, got);
  }
  return bytes;
}

struct Position {
  std::uint32_t send_sequence = 0;
  std::uint32_t receive_sequence = 0;
  SendQueueSize send_queue;
  std::size_t unread = 0;
};

Result<Position> read_position(int fd) {
  Position position;
  SEGUE_ASSIGN(position.receive_sequence, read_sequence(fd, RepairQueue::receive));
  SEGUE_ASSIGN(position.send_sequence, read_sequence(fd, RepairQueue::send));
  SEGUE_ASSIGN(position.send_queue, send_queue_size(fd));
  int unread = 0;
  if (::ioctl(fd, SIOCINQ, &unread) != 0) return fail(errno_error("SIOCINQ", errno));
  position.unread = static_cast<std::size_t>(unread);
  return position;
}

// Whether a packet came, or the service touched it: what was read before would not fit together.
Result<void> check_unmoved(int fd, const Position& before) {
  SEGUE_ASSIGN(const Position now, read_position(fd));
  if (now.send_sequence == before.send_sequence &&
      now.receive_sequence == before.receive_sequence && now.unread == before.unread &&
      now.send_queue.all == before.send_queue.all &&
      now.send_queue.unsent == before.send_queue.unsent) {
    return {};
  }
  return fail(ErrorCode::aborted,
              "it changed while it was dumped: block its link in both directions and freeze its "
              "service first");
}

Result<void> read_in_repair(int fd, ConnectionImage& image) {
  SEGUE_ASSIGN(const tcp_info info, read_info(fd));
  SEGUE_TRY(check_state(info));
  SEGUE_ASSIGN(const Position position, read_position(fd));
  image.send_sequence = position.send_sequence;
  image.receive_sequence = position.receive_sequence;
  SEGUE_TRY(read_negotiated(fd, info, image));
  SEGUE_ASSIGN(image.unread, peek(fd, RepairQueue::receive, position.unread));
  SEGUE_ASSIGN(image.unacknowledged, peek(fd, RepairQueue::send, position.send_queue.all));
  const std::size_t sent = position.send_queue.all - position.send_queue.unsent;
  image.unsent = image.unacknowledged.substr(sent);
  image.unacknowledged.resize(sent);
  SEGUE_TRY(select_queue(fd, RepairQueue::none));
  SEGUE_TRY(check_unmoved(fd, position));
  SEGUE_TRY(select_queue(fd, RepairQueue::none));
  return check(image);
}

Result<void> leave_repair(int fd, const ConnectionImage& image) {
  SEGUE_TRY(switch_repair(fd, false));
  for (const OptionValue& option : image.options) {
    if (option.id != kReuseAddress) continue;
    return set_option(fd, SOL_SOCKET, SO_REUSEADDR, option.value, "SO_REUSEADDR");
  }
  return {};
}

}  // namespace

Result<void> check_movable(int fd) {
  SEGUE_TRY(check_kind(fd));
  SEGUE_ASSIGN(const tcp_info info, read_info(fd));
  SEGUE_TRY(check_state(info));
  return check_attachments(fd);
}

Result<std::uint32_t> congestion_window_segments(int fd) {
  SEGUE_ASSIGN(const tcp_info info, read_info(fd));
  return info.tcpi_snd_cwnd;
}

Result<ConnectionImage> dump(int fd, std::uint32_t congestion_window_segments) {
  constexpr std::string_view kWhat = "cannot dump a TCP connection";
  if (auto movable = check_movable(fd); !movable) {
    return fail(std::move(movable).error().with(std::string(kWhat)));
  }
  ConnectionImage image;
  SEGUE_ASSIGN(image.family, check_kind(fd));
  if (auto read = read_endpoints(fd, image); !read) {
    return fail(std::move(read).error().with(std::string(kWhat)));
  }
  const std::string what = fmt::format("{} ({})", kWhat, describe(image));
  if (auto read = read_settings(fd, image); !read) {
    return fail(std::move(read).error().with(what));
  }
  image.congestion_window_segments = congestion_window_segments;

  if (auto on = switch_repair(fd, true); !on) return fail(std::move(on).error().with(what));
  if (auto read = read_in_repair(fd, image); !read) {
    base::Error error = std::move(read).error().with(what);
    if (auto off = leave_repair(fd, image); !off) {
      return fail(ErrorCode::unknown_outcome, "{}; and the socket stays in repair mode: {}",
                  error.to_string(), off.error().to_string());
    }
    return fail(std::move(error));
  }
  return image;
}

Result<void> resume(int fd, const ConnectionImage& image) {
  auto left = leave_repair(fd, image);
  if (left) return left;
  return fail(std::move(left).error().with(
      fmt::format("cannot go on with a TCP connection ({})", describe(image))));
}

Result<void> discard(int fd) {
  constexpr std::string_view kWhat = "discard a TCP connection";
  SEGUE_ASSIGN(const int repair, get_option<int>(fd, IPPROTO_TCP, TCP_REPAIR, "TCP_REPAIR"));
  if (repair == 0) {
    return fail(ErrorCode::failed_precondition,
                "cannot discard a TCP connection: it was not dumped, and its peer would be reset");
  }
  sockaddr nowhere{};
  nowhere.sa_family = AF_UNSPEC;
  if (::connect(fd, &nowhere, sizeof nowhere) != 0) return fail(errno_error(kWhat, errno));
  return switch_repair(fd, false);  // says nothing any more, and lets other holders see the end
}

}  // namespace segue::tcp
