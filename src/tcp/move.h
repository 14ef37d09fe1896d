// SPDX-License-Identifier: Apache-2.0
// Moves many established TCP connections to another network namespace that this process can enter,
// together with their local address, in the order that loses nothing:
//
//   1 read the congestion windows      5 restore every connection there
//   2 block the link (hook)            6 discard the originals: from here there is no way back
//   3 dump every connection            7 open the link there (hook)
//   4 hand over the address (hook)     8 leave repair mode: the connections go on
//
// The originals are kept, silent, until all have been restored, so that whatever fails before step
// 6 is taken back: what was restored vanishes, the hooks are called in reverse, the originals go
// on. Between two hosts the same steps are done with connection.h and restored_connection.h.
//
// Before: freeze the service (nobody reads from or writes to the connections), and end what it has
// in flight on them (io_uring). Threads: one. No wait but those of the hooks.
#pragma once

#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/time.h"
#include "os/clock.h"
#include "os/unique_fd.h"
#include "tcp/connection.h"
#include "tcp/restored_connection.h"

namespace segue::tcp {

// How the caller's network does it: an nft rule, a port taken off its bridge, a virtual IP's
// announcement. Each is called at most once, on the thread of the move.
struct MoveHooks {
  // After it no packet of these connections passes, in either direction. Do not take the interface
  // down: its routes would go, and restoring needs one.
  std::function<base::Result<void>()> block_link;
  // The address, and a route to the peers, leave the source and exist at the destination, where the
  // link is blocked too.
  std::function<base::Result<void>()> hand_over_address;
  // Packets pass at the destination, and the network knows that the address is there. May be called
  // again after it failed.
  std::function<base::Result<void>()> open_link;

  // To take it all back: the opposite of hand_over_address and of block_link. Called also when that
  // one failed, as it may have got half-way.
  std::function<base::Result<void>()> take_back_address;
  std::function<base::Result<void>()> unblock_link;
};

struct MoveOptions {
  int destination_namespace = -1;           // borrowed; -1: the calling thread's own
  InitialWindow* initial_window = nullptr;  // borrowed; see RestoreOptions
  // A connection that check_movable() refuses: false, the move is refused; true, it stays behind,
  // without its address, and MoveReport names it.
  bool leave_refused_behind = false;
};

struct FailedConnection {
  std::size_t index = 0;  // in `originals`
  base::Error error;
};

struct MoveReport {
  std::vector<FailedConnection> left_behind;  // never dumped: still open at the source
  // Restored, and broken since, as by a reset from their peer; the text says what was not sent.
  std::vector<FailedConnection> broken;
  // The parts of the blackout, which lasts from before block_link until the last connection is
  // live.
  base::Duration block{};
  base::Duration dump{};
  base::Duration hand_over{};
  base::Duration restore{};
  base::Duration discard{};
  base::Duration open{};
  base::Duration leave{};
  base::Duration blackout{};
};

class Move {
 public:
  // `originals` are borrowed until the move has ended; afterwards their owner closes them. `clock`
  // is borrowed too.
  Move(std::span<const int> originals, MoveHooks hooks, MoveOptions options,
       const os::Clock& clock);

  // Steps 1 to 6. An error: everything is as before, and the connections go on at the source;
  // unknown_outcome: something could not be taken back, and the text says what. May be called again
  // only if the error came before the first hook was called, as that of a connection that is
  // refused.
  base::Result<void> run();

  // Steps 7 and 8, after run(). An error comes from open_link: the connections wait at the
  // destination, whole, and finish() may be called again. Without it they end, in silence, with
  // this object.
  base::Result<void> finish();

  // After finish(): one per original, in their order; empty where it was left behind or is broken.
  [[nodiscard]] std::vector<os::UniqueFd> release_connections();

  [[nodiscard]] const MoveReport& report() const { return report_; }

 private:
  // The last step that was begun.
  enum class Stage { ready, blocking, handing_over, discarded, opened, finished };

  base::Result<void> choose();
  base::Result<void> dump_all();
  base::Result<void> restore_all();
  base::Result<void> cross();
  base::Result<void> discard_all();
  base::Error take_back(base::Error error);
  void end_part(base::Duration& part);

  std::span<const int> originals_;
  MoveHooks hooks_;
  MoveOptions options_;
  const os::Clock& clock_;

  Stage stage_ = Stage::ready;
  std::vector<std::size_t> chosen_;           // indices of those that can move
  std::vector<std::uint32_t> windows_;        // of the chosen
  std::vector<ConnectionImage> images_;       // of the chosen that were dumped, in order
  std::vector<RestoredConnection> restored_;  // likewise
  std::vector<os::UniqueFd> connections_;
  MoveReport report_;
  base::MonotonicTime started_{};
  base::MonotonicTime part_started_{};
};

}  // namespace segue::tcp
