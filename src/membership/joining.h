// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "membership/membership.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::membership {

struct JoinWish {
  pki::Role role = pki::Role::host;
  std::string token;
  std::string host;  // the name that it asks for
  std::string site;
  std::vector<std::string> labels;
  std::vector<std::string> relays;  // HOST:PORT, through which it asks
  bool direct = true;               // false: not the server itself, if there are relays
};

// Becomes part of the fleet that the token is for, and keeps that. Turns the loop until it is; asks
// again with the same key where the server cannot be reached, for at most `limit`.
// permission_denied, already_exists, …: the server's reasons; nothing was kept then but a key.
base::Result<Membership> join_fleet(os::EpollLoop& loop, const os::Clock& clock,
                                    const MembershipFiles& files, const JoinWish& wish,
                                    base::Duration limit);

}  // namespace segue::membership
