// SPDX-License-Identifier: Apache-2.0
#include "tcp/restore_plan.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "base/assert.h"

namespace segue::tcp {
namespace {

void add_options(std::vector<RestoreStep>& plan, const ConnectionImage& image,
                 OptionMoment moment) {
  for (const OptionValue& value : image.options) {
    const SocketOption* option = find_option(value.id);
    SEGUE_ASSERT(option != nullptr);
    if (option->moment != moment) continue;
    plan.push_back({.kind = StepKind::set_option, .option = option, .value = value.value});
  }
}

std::uint32_t low_bits(std::size_t size) {
  return static_cast<std::uint32_t>(size);
}

// The kernel charges its own structures to the buffer: what was just full has to fit again, in
// pieces of another size.
std::int32_t room_for(std::uint32_t buffer_bytes, std::size_t queue_bytes) {
  const std::size_t room = std::max<std::size_t>(buffer_bytes, 2 * queue_bytes);
  return static_cast<std::int32_t>(
      std::min<std::size_t>(room, std::numeric_limits<std::int32_t>::max() / 2));
}

}  // namespace

std::string_view to_string(StepKind kind) {
  switch (kind) {
    case StepKind::set_option:
      return "set a socket option";
    case StepKind::set_congestion_algorithm:
      return "set the congestion algorithm";
    case StepKind::enlarge_send_buffer:
      return "enlarge the send buffer";
    case StepKind::enlarge_receive_buffer:
      return "enlarge the receive buffer";
    case StepKind::lock_buffers:
      return "lock the buffers";
    case StepKind::bind_local:
      return "bind the local address";
    case StepKind::set_segment_size:
      return "set the segment size";
    case StepKind::clamp_window:
      return "clamp the window";
    case StepKind::set_send_sequence:
      return "set the send sequence number";
    case StepKind::set_receive_sequence:
      return "set the receive sequence number";
    case StepKind::announce_congestion_window:
      return "announce the congestion window";
    case StepKind::connect_remote:
      return "connect to the remote address";
    case StepKind::set_negotiated:
      return "set the negotiated options";
    case StepKind::set_timestamp:
      return "set the timestamp";
    case StepKind::limit_first_timeout:
      return "limit the first retransmission time-out";
    case StepKind::requeue_unread:
      return "fill the receive queue";
    case StepKind::requeue_unacknowledged:
      return "fill the send queue";
    case StepKind::set_windows:
      return "set the windows";
  }
  SEGUE_ASSERT(false && "a StepKind outside its enumeration");
}

std::vector<RestoreStep> plan_restore(const ConnectionImage& image) {
  std::vector<RestoreStep> plan;
  add_options(plan, image, OptionMoment::before_bind);
  if (!image.congestion_algorithm.empty()) {
    plan.push_back({.kind = StepKind::set_congestion_algorithm});
  }
  // Both before the queues are filled, and before connecting decides how far windows may grow.
  plan.push_back({.kind = StepKind::enlarge_send_buffer,
                  .value = room_for(image.send_buffer_bytes,
                                    image.unacknowledged.size() + image.unsent.size())});
  plan.push_back({.kind = StepKind::enlarge_receive_buffer,
                  .value = room_for(image.receive_buffer_bytes, image.unread.size())});
  plan.push_back({.kind = StepKind::lock_buffers, .value = image.locked_buffers});
  plan.push_back({.kind = StepKind::bind_local});
  constexpr std::uint16_t kMaxSettableSegmentBytes = 32'767;  // only loopback has larger ones
  plan.push_back({.kind = StepKind::set_segment_size,
                  .value = std::min(image.maximum_segment_bytes, kMaxSettableSegmentBytes)});
  if (!image.window_scale) {
    constexpr std::int32_t kMaxUnscaledWindowBytes = 65'535;
    plan.push_back({.kind = StepKind::clamp_window, .value = kMaxUnscaledWindowBytes});
  }
  plan.push_back({.kind = StepKind::set_receive_sequence,
                  .sequence = image.receive_sequence - low_bits(image.unread.size())});
  plan.push_back({.kind = StepKind::set_send_sequence,
                  .sequence = image.send_sequence - low_bits(image.unsent.size()) -
                              low_bits(image.unacknowledged.size())});
  if (image.congestion_window_segments > 0) {
    plan.push_back({.kind = StepKind::announce_congestion_window});
  }
  plan.push_back({.kind = StepKind::connect_remote});
  // The kernel takes them only on an established connection that has sent nothing.
  plan.push_back({.kind = StepKind::set_negotiated});
  if (image.timestamp) plan.push_back({.kind = StepKind::set_timestamp});
  add_options(plan, image, OptionMoment::before_leave);
  if (!image.unread.empty()) {
    plan.push_back({.kind = StepKind::requeue_unread, .bytes = image.unread});
  }
  // `unsent` is no part of it: what is queued in repair mode counts as sent, and would wait for a
  // retransmission.
  if (!image.unacknowledged.empty()) {
    plan.push_back({.kind = StepKind::limit_first_timeout});
    plan.push_back({.kind = StepKind::requeue_unacknowledged, .bytes = image.unacknowledged});
  }
  // Refused while the receive sequence number is not final.
  plan.push_back({.kind = StepKind::set_windows});
  return plan;
}

std::vector<RestoreStep> plan_leave(const ConnectionImage& image) {
  std::vector<RestoreStep> plan;
  add_options(plan, image, OptionMoment::after_leave);
  return plan;
}

}  // namespace segue::tcp
