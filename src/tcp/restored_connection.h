// SPDX-License-Identifier: Apache-2.0
// An image becomes a connection again, in the network namespace of the calling thread.
//
// Order, for all connections of one move together: the original is out of reach (blocked and
// dumped) → its address and a route to the peer exist here, the link is blocked → restore() all →
// open the link → leave() all. A packet that finds the address before its connection is answered
// with a reset; a connection that leaves repair before the link is open can stay stuck.
//
// Threads: any, one at a time per connection. Nothing here blocks. Needed: CAP_NET_ADMIN.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/unique_fd.h"
#include "tcp/connection_image.h"
#include "tcp/initial_window.h"
#include "tcp/restore_plan.h"

namespace segue::tcp {

struct RestoreOptions {
  // Borrowed; nullptr: the initial window of the route (`ip route … initcwnd N`) or of the kernel
  // (10 segments) instead of the one in the image.
  InitialWindow* initial_window = nullptr;
};

// A connection in repair mode: it receives, but does not send on its own. Destroyed before leave()
// it vanishes without a word to the peer, so that the original can still go on.
//
// Not restored, because the kernel takes neither: the slow-start threshold, the round-trip time and
// what follows from them (the first retransmission comes after up to 1 s, after 3 s before Linux
// 6.15), ECN, the out-of-order queue (the peer sends it again). An option or a lock of a buffer
// that this kernel does not know stays at its default.
class RestoredConnection {
 public:
  // Copies what it needs later from the image. The descriptor is non-blocking and closed on exec.
  // data_loss: check() refuses the image. already_exists: the same two endpoints are connected
  // here. unavailable: no such address or no route here. failed_precondition: no such congestion
  // algorithm here. permission_denied: no CAP_NET_ADMIN. No trace remains after an error.
  static base::Result<RestoredConnection> restore(const ConnectionImage& image,
                                                  const RestoreOptions& options);

  RestoredConnection(RestoredConnection&&) noexcept = default;
  RestoredConnection& operator=(RestoredConnection&&) noexcept = default;

  // Goes live: the peer is told the window, and the unsent bytes follow. The link has to be open.
  // unavailable: the kernel did not take all of them, not_queued_bytes() says how many are left;
  // call again (and do not let the service write before). Any other error: the connection broke, as
  // when the peer has reset it.
  base::Result<void> leave();

  [[nodiscard]] std::size_t not_queued_bytes() const { return unsent_.size() - queued_bytes_; }
  [[nodiscard]] int fd() const { return fd_.get(); }
  // After leave(): the descriptor is the caller's.
  [[nodiscard]] os::UniqueFd release() { return std::move(fd_); }

 private:
  RestoredConnection(os::UniqueFd fd, const ConnectionImage& image);

  base::Result<void> run(const RestoreStep& step, const ConnectionImage& image,
                         const RestoreOptions& options);
  base::Result<void> limit_first_timeout();
  base::Result<void> go_live();
  base::Result<void> queue_unsent();

  os::UniqueFd fd_;
  std::string description_;
  std::string unsent_;
  std::size_t queued_bytes_ = 0;         // of unsent_
  std::vector<RestoreStep> last_steps_;  // they borrow nothing
  int longest_timeout_ms_ = 0;           // to be set again; 0: was not changed
  bool in_repair_ = true;
};

}  // namespace segue::tcp
