// SPDX-License-Identifier: Apache-2.0
// An established TCP connection leaves this host, container or network namespace.
//
// The order matters, and move.h keeps it; these are its parts, for those who move between hosts:
//   congestion_window_segments → freeze the service → block the link → dump → …the image travels,
//   restored_connection.h makes it a socket again, link still blocked… → discard, or resume.
//
// Threads: any, one at a time per connection. Descriptors are borrowed. Nothing here blocks.
// Needed: CAP_NET_ADMIN; Linux 4.8 or newer. Sources: tcp(7), Linux net/ipv4/tcp.c, RFC 9293.
#pragma once

#include <cstdint>

#include "base/error.h"
#include "tcp/connection_image.h"

namespace segue::tcp {

// Whether dump() would take it as it is now; changes nothing. The refusals, failed_precondition
// unless another code stands there:
//   not TCP over IPv4 or IPv6, Multipath TCP (invalid_argument)
//   listening, in a handshake, half-closed by either side, closing, closed: each by its state
//   with an upper-layer protocol in the kernel (TLS), bound to a device
// What the kernel does not tell cannot be refused: TCP-MD5 and TCP-AO keys, urgent data, and
// MSG_ZEROCOPY notifications are not carried.
base::Result<void> check_movable(int fd);

// Ask before the link is blocked: the first retransmission time-out makes it 1.
base::Result<std::uint32_t> congestion_window_segments(int fd);

// The connection as it is now; the socket is left in repair mode, in which it sends nothing on its
// own but retransmissions: resume() or discard() it. After an error the socket is as before.
// Until then nobody may read from it or write to it, and no packet may reach it: aborted says that
// one did. Does not consume: the socket keeps its queues.
base::Result<ConnectionImage> dump(int fd, std::uint32_t congestion_window_segments);

// Takes the dump back: the connection goes on here, after the link was opened again. `image` is
// what dump() gave.
base::Result<void> resume(int fd, const ConnectionImage& image);

// Ends the dumped socket without a word to the peer, whoever else holds a descriptor of it (they
// read ECONNABORTED). Not to be undone. `fd` stays open, and is still the caller's.
// failed_precondition: it was not dumped; it is untouched.
base::Result<void> discard(int fd);

}  // namespace segue::tcp
