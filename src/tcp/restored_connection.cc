// SPDX-License-Identifier: Apache-2.0
#include "tcp/restored_connection.h"

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>

#include "base/assert.h"
#include "tcp/kernel.h"

namespace segue::tcp {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress address_of(Family family, const Endpoint& endpoint) {
  SocketAddress address;
  if (family == Family::ipv4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(endpoint.port);
    std::memcpy(&in.sin_addr, endpoint.address.data(), sizeof in.sin_addr);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(endpoint.port);
    std::memcpy(&in.sin6_addr, endpoint.address.data(), sizeof in.sin6_addr);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  }
  return address;
}

Result<void> set_known_option(int fd, const SocketOption& option, std::int32_t value) {
  if (::setsockopt(fd, option.level, option.name, &value, sizeof value) == 0) return {};
  if (errno == ENOPROTOOPT) return {};  // an older kernel than the one it was set on
  return fail(errno_error(option.label, errno));
}

Result<void> set_congestion_algorithm(int fd, const std::string& name) {
  if (::setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, name.data(),
                   static_cast<socklen_t>(name.size())) == 0) {
    return {};
  }
  if (errno != ENOENT) return fail(errno_error("TCP_CONGESTION", errno));
  return fail(ErrorCode::failed_precondition,
              "this host has no congestion algorithm '{}': load its module (tcp_{})", name, name);
}

// To `bytes` at least, as the option reads, which is twice what is set; exactly if it was locked.
Result<void> resize_buffer(int fd, int name, int force_name, std::int32_t bytes, bool locked) {
  SEGUE_ASSIGN(const int now, get_option<int>(fd, SOL_SOCKET, name, "buffer size"));
  if (now >= bytes && !locked) return {};
  return set_option(fd, SOL_SOCKET, force_name, bytes / 2, "buffer size");
}

Result<void> set_sequence(int fd, RepairQueue queue, std::uint32_t sequence) {
  SEGUE_TRY(select_queue(fd, queue));
  return set_option(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, sequence, "TCP_QUEUE_SEQ");
}

Result<void> bind_local(int fd, const ConnectionImage& image) {
  const SocketAddress address = address_of(image.family, image.local);
  if (::bind(fd, address.get(), address.size) == 0) return {};
  if (errno != EADDRNOTAVAIL) return fail(errno_error("bind", errno));
  return fail(ErrorCode::unavailable,
              "no interface here has its local address: add the address first");
}

Result<void> connect_remote(int fd, const ConnectionImage& image) {
  const SocketAddress address = address_of(image.family, image.remote);
  if (::connect(fd, address.get(), address.size) == 0) return {};
  switch (errno) {
    case EADDRNOTAVAIL:
      return fail(
          ErrorCode::already_exists,
          "a connection between the same endpoints exists here: discard the original first");
    case ENETUNREACH:
    case EHOSTUNREACH:
      return fail(ErrorCode::unavailable,
                  "there is no route to its peer: add the route first, and block the link "
                  "without taking the interface down");
    default:
      return fail(errno_error("connect", errno));
  }
}

Result<void> set_negotiated(int fd, const ConnectionImage& image) {
  std::array<tcp_repair_opt, 4> options{};
  std::size_t count = 0;
  constexpr std::uint32_t kMaximumSegmentSize = 2;  // the kinds of RFC 9293, 7323 and 2018
  constexpr std::uint32_t kWindowScale = 3;
  constexpr std::uint32_t kSelectiveAcknowledgementPermitted = 4;
  constexpr std::uint32_t kTimestamps = 8;
  options.at(count++) = {.opt_code = kMaximumSegmentSize, .opt_val = image.maximum_segment_bytes};
  if (image.selective_acknowledgement) {
    options.at(count++) = {.opt_code = kSelectiveAcknowledgementPermitted, .opt_val = 0};
  }
  if (image.timestamp) options.at(count++) = {.opt_code = kTimestamps, .opt_val = 0};
  if (const auto& scale = image.window_scale) {
    const auto both = static_cast<std::uint32_t>(scale->send | scale->receive << 16);
    options.at(count++) = {.opt_code = kWindowScale, .opt_val = both};
  }
  const auto size = static_cast<socklen_t>(count * sizeof options[0]);
  if (::setsockopt(fd, IPPROTO_TCP, TCP_REPAIR_OPTIONS, options.data(), size) == 0) return {};
  return fail(errno_error("TCP_REPAIR_OPTIONS", errno));
}

Result<void> set_windows(int fd, const Windows& windows) {
  const tcp_repair_window window = {.snd_wl1 = windows.send_update_sequence,
                                    .snd_wnd = windows.send_bytes,
                                    .max_window = windows.send_max_bytes,
                                    .rcv_wnd = windows.receive_bytes,
                                    .rcv_wup = windows.receive_update_sequence};
  return set_option(fd, IPPROTO_TCP, TCP_REPAIR_WINDOW, window, "TCP_REPAIR_WINDOW");
}

// Larger pieces make the kernel ask for memory in one go that it may not have.
constexpr std::size_t kPieceBytes = 32'768;

Result<void> requeue(int fd, RepairQueue queue, std::string_view bytes) {
  SEGUE_TRY(select_queue(fd, queue));
  const std::size_t all = bytes.size();
  while (!bytes.empty()) {
    const ssize_t taken =
        ::send(fd, bytes.data(), std::min(bytes.size(), kPieceBytes), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken <= 0) {
      return fail(errno_error(
          fmt::format("queue {} bytes, of which {} were taken", all, all - bytes.size()),
          taken < 0 ? errno : EIO));
    }
    bytes.remove_prefix(static_cast<std::size_t>(taken));
  }
  if (queue != RepairQueue::send) return {};
  SEGUE_ASSIGN(const SendQueueSize size, send_queue_size(fd));
  if (size.all == all && size.unsent == 0) return {};
  return fail(ErrorCode::internal, "the send queue took {} bytes as sent, {} were meant",
              size.all - size.unsent, all);
}

}  // namespace

RestoredConnection::RestoredConnection(os::UniqueFd fd, const ConnectionImage& image)
    : fd_(std::move(fd)),
      description_(describe(image)),
      unsent_(image.unsent),
      last_steps_(plan_leave(image)) {}

Result<RestoredConnection> RestoredConnection::restore(const ConnectionImage& image,
                                                       const RestoreOptions& options) {
  const std::string what = fmt::format("cannot restore a TCP connection ({})", describe(image));
  const auto failed = [&what](base::Error error) { return fail(std::move(error).with(what)); };
  if (auto valid = check(image); !valid) return failed(std::move(valid).error());

  const int domain = image.family == Family::ipv4 ? AF_INET : AF_INET6;
  os::UniqueFd fd(::socket(domain, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP));
  if (!fd) return failed(errno_error("socket", errno));
  if (auto on = switch_repair(fd.get(), true); !on) return failed(std::move(on).error());

  RestoredConnection connection(std::move(fd), image);
  for (const RestoreStep& step : plan_restore(image)) {
    if (auto done = connection.run(step, image, options); !done) {
      return failed(std::move(done).error().with(std::string(to_string(step.kind))));
    }
  }
  if (auto none = select_queue(connection.fd(), RepairQueue::none); !none) {
    return failed(std::move(none).error());
  }
  return connection;
}

Result<void> RestoredConnection::run(const RestoreStep& step, const ConnectionImage& image,
                                     const RestoreOptions& options) {
  const int fd = fd_.get();
  const bool send_locked = (image.locked_buffers & kSendBufferLocked) != 0;
  const bool receive_locked = (image.locked_buffers & kReceiveBufferLocked) != 0;
  switch (step.kind) {
    case StepKind::set_option:
      return set_known_option(fd, *step.option, step.value);
    case StepKind::set_congestion_algorithm:
      return set_congestion_algorithm(fd, image.congestion_algorithm);
    case StepKind::enlarge_send_buffer:
      return resize_buffer(fd, SO_SNDBUF, SO_SNDBUFFORCE, step.value, send_locked);
    case StepKind::enlarge_receive_buffer:
      return resize_buffer(fd, SO_RCVBUF, SO_RCVBUFFORCE, step.value, receive_locked);
    case StepKind::lock_buffers:
      // An older kernel has no such option: its buffers stay as large as they are.
      (void)set_option(fd, SOL_SOCKET, kSoBufferLock, step.value, "SO_BUF_LOCK");
      return {};
    case StepKind::bind_local:
      return bind_local(fd, image);
    case StepKind::set_segment_size:
      return set_option(fd, IPPROTO_TCP, TCP_MAXSEG, step.value, "TCP_MAXSEG");
    case StepKind::clamp_window:
      return set_option(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, step.value, "TCP_WINDOW_CLAMP");
    case StepKind::set_send_sequence:
      return set_sequence(fd, RepairQueue::send, step.sequence);
    case StepKind::set_receive_sequence:
      return set_sequence(fd, RepairQueue::receive, step.sequence);
    case StepKind::announce_congestion_window:
      if (options.initial_window == nullptr) return {};
      return options.initial_window->announce(fd, image.congestion_window_segments);
    case StepKind::connect_remote: {
      auto connected = connect_remote(fd, image);
      if (options.initial_window != nullptr) options.initial_window->forget(fd);
      return connected;
    }
    case StepKind::set_negotiated:
      return set_negotiated(fd, image);
    case StepKind::set_timestamp:
      return set_option(fd, IPPROTO_TCP, TCP_TIMESTAMP, *image.timestamp, "TCP_TIMESTAMP");
    case StepKind::limit_first_timeout:
      return limit_first_timeout();
    case StepKind::requeue_unread:
      return requeue(fd, RepairQueue::receive, step.bytes);
    case StepKind::requeue_unacknowledged:
      return requeue(fd, RepairQueue::send, step.bytes);
    case StepKind::set_windows:
      return set_windows(fd, image.windows);
  }
  SEGUE_ASSERT(false && "a StepKind outside its enumeration");
}

Result<void> RestoredConnection::limit_first_timeout() {
  constexpr int kShortestLimitMs = 1000;  // the kernel refuses less
  const auto now = get_option<int>(fd(), IPPROTO_TCP, kTcpRtoMaxMs, "TCP_RTO_MAX_MS");
  if (!now) return {};  // before Linux 6.15
  longest_timeout_ms_ = *now;
  return set_option(fd(), IPPROTO_TCP, kTcpRtoMaxMs, kShortestLimitMs, "TCP_RTO_MAX_MS");
}

Result<void> RestoredConnection::queue_unsent() {
  while (queued_bytes_ < unsent_.size()) {
    const std::string_view rest = std::string_view(unsent_).substr(queued_bytes_);
    const ssize_t taken = ::send(fd(), rest.data(), rest.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (taken > 0) {
      queued_bytes_ += static_cast<std::size_t>(taken);
      continue;
    }
    if (taken < 0 && (errno == EAGAIN || errno == ENOMEM || errno == ENOBUFS)) {
      return fail(ErrorCode::unavailable,
                  "the kernel has no room for {} of {} unsent bytes: call again",
                  not_queued_bytes(), unsent_.size());
    }
    return fail(errno_error(fmt::format("queue the unsent bytes, of which {} of {} were taken",
                                        queued_bytes_, unsent_.size()),
                            taken < 0 ? errno : EIO));
  }
  return {};
}

Result<void> RestoredConnection::go_live() {
  if (in_repair_) {
    SEGUE_TRY(switch_repair(fd(), false));
    in_repair_ = false;
    if (longest_timeout_ms_ != 0) {
      SEGUE_TRY(set_option(fd(), IPPROTO_TCP, kTcpRtoMaxMs, longest_timeout_ms_, "TCP_RTO_MAX_MS"));
    }
  }
  SEGUE_TRY(queue_unsent());
  for (const RestoreStep& step : last_steps_) {
    SEGUE_TRY(set_known_option(fd(), *step.option, step.value));
  }
  return {};
}

Result<void> RestoredConnection::leave() {
  auto live = go_live();
  if (live) return live;
  return fail(std::move(live).error().with(
      fmt::format("cannot go live with a TCP connection ({})", description_)));
}

}  // namespace segue::tcp
