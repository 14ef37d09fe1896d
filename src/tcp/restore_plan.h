// SPDX-License-Identifier: Apache-2.0
// In which order the kernel takes an image. Pure.
//
// Sources: Linux net/ipv4/tcp.c (TCP_REPAIR), tcp(7), and experiments; docs/tcp.md says what goes
// wrong in another order.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "tcp/connection_image.h"

namespace segue::tcp {

enum class StepKind : std::uint8_t {
  set_option,  // `option` to `value`
  set_congestion_algorithm,
  enlarge_send_buffer,     // to `value` bytes at least, as SO_SNDBUF reads
  enlarge_receive_buffer,  // likewise
  lock_buffers,            // to the bits of `value`: the others may grow again
  bind_local,
  set_segment_size,            // the kernel computes with it when it connects, not later
  clamp_window,                // to `value` bytes: connecting would choose a scale of its own
  set_send_sequence,           // to `sequence`, of the first byte that is not acknowledged
  set_receive_sequence,        // to `sequence`, of the first byte that is not read
  announce_congestion_window,  // the next step makes it the initial one
  connect_remote,              // in repair mode nothing is sent
  set_negotiated,              // segment size, window scale, SACK, timestamps
  set_timestamp,
  limit_first_timeout,     // without a round-trip time the first would be 3 s
  requeue_unread,          // `bytes` into the receive queue
  requeue_unacknowledged,  // `bytes` into the send queue, as sent
  set_windows,
};

struct RestoreStep {
  StepKind kind;
  const SocketOption* option = nullptr;
  std::int32_t value = 0;
  std::uint32_t sequence = 0;
  std::string_view bytes{};  // borrowed from the image
};

std::string_view to_string(StepKind kind);

// For a new socket in repair mode. `image` has passed check() and outlives the plan.
std::vector<RestoreStep> plan_restore(const ConnectionImage& image);

// What is left for the moment after repair was switched off: the options that this resets.
std::vector<RestoreStep> plan_leave(const ConnectionImage& image);

}  // namespace segue::tcp
