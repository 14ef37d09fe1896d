// SPDX-License-Identifier: Apache-2.0
// How an instance finds the next keeper after its own has died: by connecting, again and again, to
// the socket that the dead one named.
#pragma once

#include <cstdint>
#include <string>

#include "handoff/unique_fd.h"

namespace segue::handoff {

// Named by a keeper while it lives (K_RENDEZVOUS).
struct Rendezvous {
  std::string socket_path;
  std::string nonce;
  uint64_t generation = 0;  // what the keeper calls this instance
  UniqueFd lock;            // says that an instance lives; for the next keeper
};

class KeeperRejoin {
 public:
  static constexpr uint64_t kFirstDelayNs = 20'000'000;
  static constexpr uint64_t kMaxDelayNs = 1'000'000'000;  // a try costs some microseconds

  explicit KeeperRejoin(Rendezvous rendezvous) : rendezvous_(std::move(rendezvous)) {}

  [[nodiscard]] const Rendezvous& rendezvous() const { return rendezvous_; }
  // The keeper is gone.
  void begin(uint64_t now_ns);
  // When the next try is due.
  [[nodiscard]] uint64_t deadline() const { return next_ns_; }
  // A connection to a keeper that runs as this user; invalid: it is not time, or nobody is there.
  UniqueFd try_connect(uint64_t now_ns);

 private:
  Rendezvous rendezvous_;
  uint64_t delay_ns_ = kFirstDelayNs;
  uint64_t next_ns_ = UINT64_MAX;
};

}  // namespace segue::handoff
