// SPDX-License-Identifier: Apache-2.0
// Real listening sockets that share an address, and clients.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <string>

#include "os/unique_fd.h"
#include "traffic/kernel_split.h"

namespace segue::traffic {

inline AddressBytes address_bytes(const std::string& text) {
  const bool v6 = text.find(':') != std::string::npos;
  AddressBytes bytes(v6 ? 16 : 4);
  EXPECT_EQ(::inet_pton(v6 ? AF_INET6 : AF_INET, text.c_str(), bytes.data()), 1) << text;
  return bytes;
}

class GroupSockets {
 public:
  static constexpr int kBacklog = 1'000;

  explicit GroupSockets(std::string host) : host_(std::move(host)) {}

  // A new member; its number is its descriptor.
  int join(bool shares = true) {
    os::UniqueFd fd(::socket(family(), SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const int on = 1;
    if (shares) ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    sockaddr_storage address = at(host_, port_);
    EXPECT_EQ(::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), size()), 0)
        << std::strerror(errno);
    EXPECT_EQ(::listen(fd.get(), kBacklog), 0) << std::strerror(errno);
    socklen_t length = sizeof address;
    ::getsockname(fd.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(family() == AF_INET ? reinterpret_cast<sockaddr_in&>(address).sin_port
                                      : reinterpret_cast<sockaddr_in6&>(address).sin6_port);
    const int number = fd.get();
    members_[number] = std::move(fd);
    return number;
  }
  void leave(int member) { members_.erase(member); }

  // Connected, and closed at once. `from`: an address of this host; empty: any.
  void connect_once(const std::string& to, const std::string& from = "") const {
    const int domain = to.find(':') == std::string::npos ? AF_INET : AF_INET6;
    const os::UniqueFd client(::socket(domain, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!from.empty()) {
      sockaddr_storage source = at(from, 0);
      ASSERT_EQ(::bind(client.get(), reinterpret_cast<sockaddr*>(&source), size_of(source)), 0)
          << std::strerror(errno);
    }
    sockaddr_storage target = at(to, port_);
    ASSERT_EQ(::connect(client.get(), reinterpret_cast<sockaddr*>(&target), size_of(target)), 0)
        << std::strerror(errno);
  }
  void connect_times(int count) const {
    for (int i = 0; i < count; ++i) connect_once(reachable());
  }
  // How many connections wait at a member; they are taken.
  std::size_t accepted(int member) const {
    std::size_t count = 0;
    while (true) {
      const os::UniqueFd connection(::accept4(member, nullptr, nullptr, SOCK_CLOEXEC));
      if (!connection) return count;
      ++count;
    }
  }

 private:
  [[nodiscard]] int family() const {
    return host_.find(':') == std::string::npos ? AF_INET : AF_INET6;
  }
  [[nodiscard]] std::string reachable() const { return host_ == "::" ? "::1" : host_; }
  [[nodiscard]] socklen_t size() const {
    return family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  }
  static socklen_t size_of(const sockaddr_storage& address) {
    return address.ss_family == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
  }
  static sockaddr_storage at(const std::string& host, std::uint16_t port) {
    sockaddr_storage address{};
    const AddressBytes bytes = address_bytes(host);
    if (bytes.size() == 4) {
      auto& v4 = reinterpret_cast<sockaddr_in&>(address);
      v4.sin_family = AF_INET;
      v4.sin_port = htons(port);
      std::memcpy(&v4.sin_addr, bytes.data(), bytes.size());
    } else {
      auto& v6 = reinterpret_cast<sockaddr_in6&>(address);
      v6.sin6_family = AF_INET6;
      v6.sin6_port = htons(port);
      std::memcpy(&v6.sin6_addr, bytes.data(), bytes.size());
    }
    return address;
  }

  std::string host_;
  std::uint16_t port_ = 0;
  std::map<int, os::UniqueFd> members_;
};

}  // namespace segue::traffic
