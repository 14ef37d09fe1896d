// SPDX-License-Identifier: Apache-2.0
// Messages as a hostile peer may send them. Input: repetitions of u16 size, bytes.
#include <sys/socket.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "handoff/keeper_descriptors.h"
#include "handoff/link.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace handoff = segue::handoff;
  constexpr int kMaxMessages = 64;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) abort();
  handoff::Link link{handoff::UniqueFd(ends[0])};
  const handoff::UniqueFd peer(ends[1]);
  for (int i = 0; i < kMaxMessages && size >= 2; ++i) {
    std::uint16_t length = 0;
    memcpy(&length, data, 2);
    data += 2;
    size -= 2;
    if (length > size) length = static_cast<std::uint16_t>(size);
    if (send(peer.get(), data, length, MSG_DONTWAIT) < 0) break;
    data += length;
    size -= length;
    handoff::Message message;
    const auto got = link.receive(message);
    if (got == handoff::Link::Got::broken && link.error().empty()) abort();
    handoff::KeeperDescriptors descriptors;
    if (got == handoff::Link::Got::message) (void)read_keeper_channel(message, descriptors);
    if (got != handoff::Link::Got::message && got != handoff::Link::Got::nothing) break;
  }
  return 0;
}
