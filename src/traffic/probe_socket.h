// SPDX-License-Identifier: Apache-2.0
// Segments that tell which listening socket the kernel gives a connection to, and become none.
#pragma once

#include <cstdint>
#include <string>

#include "base/error.h"
#include "os/unique_fd.h"
#include "traffic/kernel_split.h"

namespace segue::traffic {

// What a socket of IPv4 or IPv6 is bound to.
struct Bound {
  AddressBytes bytes;
  std::uint16_t port = 0;
};
base::Result<Bound> bound_address(int socket);
std::string to_string(const Bound& bound);

// How this host reaches a listening socket of its own.
struct Destination {
  AddressBytes bytes;
  std::uint16_t port = 0;
  std::string text;
};
base::Result<Destination> destination_of(int listener);
// An address of this host from which segments reach it: of the whole 127.0.0.0/8 where that can be,
// which one depends on `number`.
AddressBytes any_source(const Destination& to, std::uint32_t number);

class ProbeSocket {
 public:
  // failed_precondition where the kernel has no MD5 option.
  static base::Result<ProbeSocket> open(const Destination& to, const AddressBytes& source);
  [[nodiscard]] std::uint16_t port() const { return port_; }  // of the source
  // The segment goes at once; it is sent again after a second, if the socket still lives then.
  base::Result<void> send();

 private:
  ProbeSocket(Destination to, os::UniqueFd fd, std::uint16_t port)
      : to_(std::move(to)), fd_(std::move(fd)), port_(port) {}

  Destination to_;
  os::UniqueFd fd_;
  std::uint16_t port_;
};

// How many segments were dropped at a listening socket; wraps around.
base::Result<std::uint32_t> drops_of(int listener);

// About a millisecond.
void pause_shortly();

}  // namespace segue::traffic
