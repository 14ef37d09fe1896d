// SPDX-License-Identifier: Apache-2.0
// What a keeper gives to an instance that it starts: inherited, or, where a container engine stands
// between the two, fetched from a socket.
#pragma once

#include <cstdint>

#include "handoff/link.h"
#include "handoff/status.h"
#include "handoff/unique_fd.h"

namespace segue::handoff {

struct KeeperDescriptors {
  UniqueFd channel;  // invalid: this process has no keeper
  UniqueFd lock;     // says that an instance lives, as long as it is open; may be missing
};

// Looks at SEGUE_KEEPER_FD and SEGUE_KEEPER_SOCKET, and removes both: they are not for this
// process's children. Blocks while it fetches, at most kFetchLimitNs. No keeper is good; a socket
// that gives nothing is not: who named it meant this process to have a keeper.
Status take_keeper_descriptors(KeeperDescriptors& descriptors);

inline constexpr uint64_t kFetchLimitNs = 10'000'000'000;

// K_CHANNEL and what came with it.
Status read_keeper_channel(Message& message, KeeperDescriptors& descriptors);

}  // namespace segue::handoff
