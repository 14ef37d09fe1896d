// SPDX-License-Identifier: Apache-2.0
#include "network_lab.h"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string_view>
#include <utility>

#include "os/network_namespace.h"
#include "os/process.h"

namespace segue::example {
namespace {

using base::errno_error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint16_t kPort = 7000;
constexpr std::string_view kPorts[] = {"port0", "port1"};

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;

  [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

Address service_address(Kind kind) {
  Address address;
  if (kind == Kind::ipv4) {
    sockaddr_in in{};
    in.sin_family = AF_INET;
    in.sin_port = htons(kPort);
    ::inet_pton(AF_INET, "10.77.0.1", &in.sin_addr);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  } else {
    sockaddr_in6 in{};
    in.sin6_family = AF_INET6;
    in.sin6_port = htons(kPort);
    ::inet_pton(AF_INET6, kind == Kind::ipv6 ? "fd77::1" : "::ffff:10.77.0.1", &in.sin6_addr);
    std::memcpy(&address.storage, &in, sizeof in);
    address.size = sizeof in;
  }
  return address;
}

Result<os::UniqueFd> make_socket(int namespace_fd, Kind kind) {
  SEGUE_ASSIGN(const auto inside, os::InNetworkNamespace::enter(namespace_fd));
  const int domain = kind == Kind::ipv4 ? AF_INET : AF_INET6;
  os::UniqueFd socket(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) return fail(errno_error("socket", errno));
  return socket;
}

void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

std::string path_of(int fd) {
  return fmt::format("/proc/{}/fd/{}", ::getpid(), fd);
}

}  // namespace

Result<NetworkLab> NetworkLab::make() {
  raise_descriptor_limit();
  NetworkLab lab;
  SEGUE_ASSIGN(lab.clients_, os::make_network_namespace());
  for (os::UniqueFd& place : lab.places_) {
    SEGUE_ASSIGN(place, os::make_network_namespace());
  }
  SEGUE_TRY(lab.run(lab.clients(),
                    "ip link set lo up && ip link add bridge type bridge && "
                    "ip link set bridge up && ip addr add 10.77.0.2/24 dev bridge && "
                    "ip addr add fd77::2/64 dev bridge nodad"));
  for (std::size_t i = 0; i < lab.places_.size(); ++i) {
    SEGUE_TRY(lab.run(
        lab.clients(),
        fmt::format("ip link add {0} type veth peer name eth0 netns {1} && ip link set {0} up",
                    kPorts[i], path_of(lab.place(i)))));
    SEGUE_TRY(lab.run(lab.place(i), "ip link set lo up && ip link set eth0 up"));
  }
  SEGUE_TRY(lab.add_address(0));
  SEGUE_TRY(lab.open(0));
  return lab;
}

Result<void> NetworkLab::run(int namespace_fd, const std::string& script) {
  SEGUE_ASSIGN(const auto inside, os::InNetworkNamespace::enter(namespace_fd));
  SEGUE_ASSIGN(const os::Child child, os::spawn({.argv = {"/bin/sh", "-ec", script},
                                                 .env = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}}));
  SEGUE_ASSIGN(const auto status, os::wait_for_exit(child.pidfd, std::chrono::seconds(30)));
  if (status && status->success()) return {};
  return fail(ErrorCode::internal, "'{}' {}", script,
              status ? status->to_string() : std::string("does not end"));
}

Result<void> NetworkLab::block(std::size_t place) {
  return run(clients(), fmt::format("ip link set {} nomaster", kPorts[place]));
}

Result<void> NetworkLab::open(std::size_t place) {
  // The clients forget where the address was, as they do when it is announced to them. One round
  // forgets all; whoever talks meanwhile asks again, and `ip` would not call it complete.
  return run(clients(), fmt::format("ip link set {} master bridge; "
                                    "ip -loops 1 neigh flush dev bridge || true; "
                                    "ip -6 -loops 1 neigh flush dev bridge || true",
                                    kPorts[place]));
}

Result<void> NetworkLab::add_address(std::size_t place, bool with_ipv6) {
  std::string script = "ip addr add 10.77.0.1/24 dev eth0";
  if (with_ipv6) script += " && ip addr add fd77::1/64 dev eth0 nodad";
  return run(this->place(place), script);
}

Result<void> NetworkLab::remove_address(std::size_t place) {
  return run(this->place(place), "ip addr flush dev eth0 scope global");
}

tcp::MoveHooks NetworkLab::hooks(std::size_t from, std::size_t to) {
  return {
      .block_link = [this, from] { return block(from); },
      .hand_over_address = [this, from, to]() -> Result<void> {
        SEGUE_TRY(remove_address(from));
        return add_address(to);
      },
      .open_link = [this, to] { return open(to); },
      .take_back_address = [this, from, to]() -> Result<void> {
        SEGUE_TRY(remove_address(to));
        SEGUE_TRY(remove_address(from));
        return add_address(from);
      },
      .unblock_link = [this, from] { return open(from); },
  };
}

Result<std::vector<ConnectedPair>> NetworkLab::connect(Kind kind, std::size_t count) {
  const Address address = service_address(kind);
  SEGUE_ASSIGN(const os::UniqueFd listener, make_socket(place(0), kind));
  const int yes = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(listener.get(), address.get(), address.size) != 0) {
    return fail(errno_error("bind", errno));
  }
  if (::listen(listener.get(), 16) != 0) return fail(errno_error("listen", errno));
  std::vector<ConnectedPair> pairs;
  for (std::size_t i = 0; i < count; ++i) {
    SEGUE_ASSIGN(os::UniqueFd client, make_socket(clients(), kind));
    if (::connect(client.get(), address.get(), address.size) != 0) {
      return fail(errno_error("connect", errno));
    }
    os::UniqueFd server(::accept4(listener.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
    if (!server) return fail(errno_error("accept", errno));
    ::fcntl(client.get(), F_SETFL, O_NONBLOCK);
    pairs.push_back({std::move(client), std::move(server)});
  }
  return pairs;
}

}  // namespace segue::example
