// SPDX-License-Identifier: Apache-2.0
#include "traffic/probe_socket.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kIpv4Bytes = 4;
constexpr std::uint8_t kLoopbackNet = 127;
constexpr int kPauseMs = 1;
// Nobody checks it: the receiver has no key at all.
constexpr std::string_view kKey = "segue";

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress socket_address(const AddressBytes& bytes, std::uint16_t port) {
  SocketAddress address;
  if (bytes.size() == kIpv4Bytes) {
    auto& v4 = reinterpret_cast<sockaddr_in&>(address.storage);
    v4.sin_family = AF_INET;
    v4.sin_port = htons(port);
    std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
    address.size = sizeof v4;
  } else {
    auto& v6 = reinterpret_cast<sockaddr_in6&>(address.storage);
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
    address.size = sizeof v6;
  }
  return address;
}

bool is_wildcard(const AddressBytes& bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::uint8_t byte) { return byte == 0; });
}

bool is_loopback_ipv4(const AddressBytes& bytes) {
  return bytes.size() == kIpv4Bytes && bytes.front() == kLoopbackNet;
}

}  // namespace

Result<Bound> bound_address(int socket) {
  sockaddr_storage storage{};
  socklen_t size = sizeof storage;
  if (::getsockname(socket, reinterpret_cast<sockaddr*>(&storage), &size) != 0) {
    return fail(base::errno_error("ask a socket for its address", errno));
  }
  const auto bytes = [](const auto& address) {
    AddressBytes copy(sizeof address);
    std::memcpy(copy.data(), &address, sizeof address);
    return copy;
  };
  if (storage.ss_family == AF_INET) {
    const auto& v4 = reinterpret_cast<const sockaddr_in&>(storage);
    return Bound{bytes(v4.sin_addr), ntohs(v4.sin_port)};
  }
  if (storage.ss_family == AF_INET6) {
    const auto& v6 = reinterpret_cast<const sockaddr_in6&>(storage);
    return Bound{bytes(v6.sin6_addr), ntohs(v6.sin6_port)};
  }
  return fail(ErrorCode::failed_precondition, "it has no IP address");
}

std::string to_string(const Bound& bound) {
  const bool v4 = bound.bytes.size() == kIpv4Bytes;
  std::array<char, INET6_ADDRSTRLEN> text{};
  ::inet_ntop(v4 ? AF_INET : AF_INET6, bound.bytes.data(), text.data(), text.size());
  return v4 ? fmt::format("{}:{}", text.data(), bound.port)
            : fmt::format("[{}]:{}", text.data(), bound.port);
}

Result<Destination> destination_of(int listener) {
  SEGUE_ASSIGN(Bound bound, bound_address(listener));
  if (is_wildcard(bound.bytes)) {
    bound.bytes.back() = 1;  // ::1
    if (bound.bytes.size() == kIpv4Bytes) bound.bytes.front() = kLoopbackNet;
  }
  return Destination{bound.bytes, bound.port, to_string(bound)};
}

AddressBytes any_source(const Destination& to, std::uint32_t number) {
  if (!is_loopback_ipv4(to.bytes)) return to.bytes;
  // 127.0.0.0 and 127.255.255.255 are no addresses of a host.
  constexpr std::uint32_t kHosts = (1U << 24) - 2;
  const std::uint32_t host = 1 + number % kHosts;
  return {kLoopbackNet, static_cast<std::uint8_t>(host >> 16), static_cast<std::uint8_t>(host >> 8),
          static_cast<std::uint8_t>(host)};
}

Result<ProbeSocket> ProbeSocket::open(const Destination& to, const AddressBytes& source) {
  const SocketAddress from = socket_address(source, 0);
  os::UniqueFd fd(::socket(from.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return fail(base::errno_error("make a socket", errno));
  tcp_md5sig signature{};
  const SocketAddress peer = socket_address(to.bytes, 0);
  std::memcpy(&signature.tcpm_addr, &peer.storage, sizeof signature.tcpm_addr);
  signature.tcpm_keylen = kKey.size();
  std::memcpy(signature.tcpm_key, kKey.data(), kKey.size());
  if (::setsockopt(fd.get(), IPPROTO_TCP, TCP_MD5SIG, &signature, sizeof signature) != 0) {
    return fail(ErrorCode::failed_precondition,
                "this kernel sends no TCP segments with an MD5 option ({}), by which the order of "
                "listening sockets is measured: it needs CONFIG_TCP_MD5SIG",
                ::strerrordesc_np(errno));
  }
  if (::bind(fd.get(), from.get(), from.size) != 0) {
    return fail(base::errno_error("bind a socket to " + to_string({source, 0}), errno));
  }
  SEGUE_ASSIGN(const Bound bound, bound_address(fd.get()));
  return ProbeSocket(to, std::move(fd), bound.port);
}

Result<void> ProbeSocket::send() {
  const SocketAddress to = socket_address(to_.bytes, to_.port);
  if (::connect(fd_.get(), to.get(), to.size) == 0) {
    return fail(ErrorCode::failed_precondition, "{} answers segments with an MD5 option", to_.text);
  }
  if (errno == EINPROGRESS) return {};
  return fail(base::errno_error("send a segment to " + to_.text, errno));
}

Result<std::uint32_t> drops_of(int listener) {
  std::array<std::uint32_t, SK_MEMINFO_VARS> figures{};
  socklen_t size = sizeof figures;
  if (::getsockopt(listener, SOL_SOCKET, SO_MEMINFO, figures.data(), &size) != 0) {
    return fail(base::errno_error("ask a listening socket for its figures", errno));
  }
  return figures.at(SK_MEMINFO_DROPS);
}

void pause_shortly() {
  ::poll(nullptr, 0, kPauseMs);
}

}  // namespace segue::traffic
