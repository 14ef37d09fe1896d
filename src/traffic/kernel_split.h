// SPDX-License-Identifier: Apache-2.0
// The kernel's own split of new connections over a group of listening sockets that share an address
// (SO_REUSEPORT): a classic BPF program says which member of the group gets each connection, by its
// index in the group (socket(7), SO_ATTACH_REUSEPORT_CBPF). Pure: programs as values.
#pragma once

#include <linux/filter.h>
#include <netinet/in.h>

#include <cstdint>
#include <span>
#include <vector>

#include "traffic/share.h"

namespace segue::traffic {

using SplitProgram = std::vector<sock_filter>;

// Where both stand in the group. The kernel numbers members in the order of listen(2); when one
// closes, the last one takes its place. An index beyond the group lets the kernel spread
// connections by a hash of its own, silently.
struct SplitMembers {
  std::uint32_t stable = 0;
  std::uint32_t canary = 1;

  bool operator==(const SplitMembers&) const = default;
};

SplitProgram split_program(const ShareRule& rule, const SplitMembers& members);
// All connections to one member.
SplitProgram constant_program(std::uint32_t index);

// An address as it stands in the IP header; 4 or 16 bytes.
using AddressBytes = std::vector<std::uint8_t>;

// Connections from `source` go to the member that their source port names, before anything else is
// asked.
struct ProbeRoutes {
  struct Route {
    std::uint16_t port = 0;
    std::uint32_t index = 0;
  };
  static constexpr std::size_t kMax = 64;

  AddressBytes source;
  std::vector<Route> routes;  // at most kMax
};
SplitProgram with_probes(const ProbeRoutes& probes, const SplitProgram& otherwise);

// What Pick::source computes in the kernel: of IPv4 all 32 bits, of IPv6 the first 64, as one
// client has many addresses within them.
std::uint32_t source_hash(std::span<const std::uint8_t> address, std::uint32_t salt);
// Whether a client of that address gets the canary.
bool is_canary_source(std::span<const std::uint8_t> address, const ShareRule& rule);

}  // namespace segue::traffic
