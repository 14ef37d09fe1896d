// SPDX-License-Identifier: Apache-2.0
// The listening sockets of both slots of a component, in one SO_REUSEPORT group of the kernel. They
// may be duplicates of descriptors of other processes.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "traffic/kernel_split.h"

namespace segue::traffic {

// Borrowed descriptors of TCP sockets that listen on one address, bound by one user in one network
// namespace (this process's) with SO_REUSEPORT.
struct SplitGroup {
  int stable = -1;
  int canary = -1;  // -1: there is none
};

// What was found out about a group. It holds as long as the cookies are those of its sockets.
struct KnownGroup {
  std::uint64_t stable_cookie = 0;  // SO_COOKIE: never used again until the host restarts
  std::uint64_t canary_cookie = 0;  // 0: there is none
  SplitMembers members;

  bool operator==(const KnownGroup&) const = default;
};

// Makes the program of a group another one, at once and for all of its members.
base::Result<void> attach(int socket, const SplitProgram& program);

// Where both stand in the group, measured: SYN segments with an MD5 option (RFC 2385) that neither
// socket asked for are dropped by the kernel and counted at the socket that they were given to
// (SO_MEMINFO). No connection comes of them, and the service sees nothing. `meanwhile` decides
// about the clients' connections, and is left attached. failed_precondition: they are not in one
// group, or this cannot be measured here.
base::Result<SplitMembers> find_members(const os::Clock& clock, const SplitGroup& group,
                                        const SplitProgram& meanwhile);

// Lets the canary have that share from now on; connections that are there stay where they are.
// Idempotent. Measures only what `known` does not tell; returns what is known now.
// invalid_argument: a share for a canary that there is not.
base::Result<KnownGroup> set_share(const os::Clock& clock, const SplitGroup& group,
                                   const ShareRule& rule, const std::optional<KnownGroup>& known);

struct ProbedShare {
  std::uint32_t stable = 0;
  std::uint32_t canary = 0;
  std::uint32_t elsewhere = 0;  // in none of the two: a third socket listens there too
};
// Sends `count` such segments as clients would, and says who would have got the connection. From
// many addresses where the sockets listen on 127.0.0.0/8 or on all addresses, else from their own.
base::Result<ProbedShare> probe_share(const os::Clock& clock, const SplitGroup& group,
                                      std::uint32_t count, std::uint32_t seed);

// "127.0.0.1:80", "[::1]:80"
base::Result<std::string> address_text(int socket);
// Whether it is a listening TCP socket with SO_REUSEPORT; else why not.
base::Result<void> check_member(int socket);
base::Result<bool> have_one_address(int first, int second);

}  // namespace segue::traffic
