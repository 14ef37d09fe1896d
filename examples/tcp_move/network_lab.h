// SPDX-License-Identifier: Apache-2.0
// A little network of its own: a namespace with the clients, and two places where a service can
// live. The kernel removes all of it when this object and the sockets in it are gone.
//
//   clients: 10.77.0.2, fd77::2 ── bridge ─┬─ place 0: 10.77.0.1, fd77::1 at first
//                                          └─ place 1
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"
#include "tcp/move.h"

namespace segue::example {

enum class Kind { ipv4, ipv6, mapped };  // mapped: an IPv6 socket that carries IPv4

struct ConnectedPair {
  os::UniqueFd client;
  os::UniqueFd server;
};

class NetworkLab {
 public:
  // permission_denied: this needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN) and iproute2. Also raises
  // the soft limit of descriptors.
  static base::Result<NetworkLab> make();

  [[nodiscard]] int clients() const { return clients_.get(); }
  [[nodiscard]] int place(std::size_t index) const { return places_.at(index).get(); }

  // Between the clients and place 0; both descriptors are non-blocking.
  base::Result<std::vector<ConnectedPair>> connect(Kind kind, std::size_t count);

  // What a move's hooks are made of.
  base::Result<void> block(std::size_t place);
  base::Result<void> open(std::size_t place);
  base::Result<void> add_address(std::size_t place, bool with_ipv6 = true);
  base::Result<void> remove_address(std::size_t place);
  // From one place to the other.
  tcp::MoveHooks hooks(std::size_t from, std::size_t to);

  // A shell script whose commands are in the namespace.
  base::Result<void> run(int namespace_fd, const std::string& script);

 private:
  os::UniqueFd clients_;
  std::array<os::UniqueFd, 2> places_;
};

}  // namespace segue::example
