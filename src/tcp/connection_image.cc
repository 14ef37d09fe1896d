// SPDX-License-Identifier: Apache-2.0
#include "tcp/connection_image.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace segue::tcp {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::uint32_t kMaxWindowBytes = 65'535U << kMaxWindowScale;

// RFC 9293, section 3.4: `a` comes after `b` on the circle of sequence numbers.
bool after(std::uint32_t a, std::uint32_t b) {
  return static_cast<std::int32_t>(b - a) < 0;
}

std::string text_of(Family family, const Endpoint& endpoint) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const bool ipv6 = family == Family::ipv6;
  ::inet_ntop(ipv6 ? AF_INET6 : AF_INET, endpoint.address.data(), text.data(), text.size());
  return fmt::format(fmt::runtime(ipv6 ? "[{}]:{}" : "{}:{}"), text.data(), endpoint.port);
}

Result<void> check_endpoint(Family family, const Endpoint& endpoint, std::string_view which) {
  const auto& bytes = endpoint.address;
  const std::size_t size = family == Family::ipv6 ? 16 : 4;
  if (endpoint.port == 0) return fail(ErrorCode::data_loss, "{} port: 0", which);
  const auto zero = [](std::uint8_t byte) { return byte == 0; };
  if (std::all_of(bytes.begin(), bytes.begin() + size, zero)) {
    return fail(ErrorCode::data_loss, "{} address: it is the unspecified one", which);
  }
  if (!std::all_of(bytes.begin() + size, bytes.end(), zero)) {
    return fail(ErrorCode::data_loss, "{} address: more than four bytes for IPv4", which);
  }
  if (family == Family::ipv6 && bytes[0] == 0xfe && (bytes[1] & 0xc0) == 0x80) {
    return fail(ErrorCode::data_loss,
                "{} address: it is link-local, and its interface means nothing elsewhere", which);
  }
  return {};
}

Result<void> check_queue(const std::string& queue, std::string_view which) {
  if (queue.size() <= kMaxQueueBytes) return {};
  return fail(ErrorCode::data_loss, "{} bytes: {}, at most {} are allowed", which, queue.size(),
              kMaxQueueBytes);
}

// The kernel's own conditions for TCP_REPAIR_WINDOW, and the bounds of RFC 7323.
Result<void> check_windows(const ConnectionImage& image) {
  const Windows& windows = image.windows;
  if (windows.send_max_bytes < windows.send_bytes) {
    return fail(ErrorCode::data_loss, "windows: the send window exceeds its own maximum");
  }
  if (windows.send_max_bytes > kMaxWindowBytes || windows.receive_bytes > kMaxWindowBytes) {
    return fail(ErrorCode::data_loss, "windows: larger than any that TCP can announce");
  }
  if (after(windows.send_update_sequence, image.receive_sequence + windows.receive_bytes)) {
    return fail(ErrorCode::data_loss, "windows: the last update lies beyond the receive window");
  }
  if (after(windows.receive_update_sequence, image.receive_sequence)) {
    return fail(ErrorCode::data_loss, "windows: announced for a byte that was not received yet");
  }
  return {};
}

Result<void> check_negotiated(const ConnectionImage& image) {
  if (image.maximum_segment_bytes < kMinSegmentBytes) {
    return fail(ErrorCode::data_loss, "maximum segment size: {}, the kernel takes no less than {}",
                image.maximum_segment_bytes, kMinSegmentBytes);
  }
  const auto& scale = image.window_scale;
  if (scale && (scale->send > kMaxWindowScale || scale->receive > kMaxWindowScale)) {
    return fail(ErrorCode::data_loss, "window scale: above {}", kMaxWindowScale);
  }
  if (image.congestion_window_segments > kMaxCongestionWindowSegments) {
    return fail(ErrorCode::data_loss, "congestion window: {} segments, at most {} are allowed",
                image.congestion_window_segments, kMaxCongestionWindowSegments);
  }
  return {};
}

Result<void> check_settings(const ConnectionImage& image) {
  if ((image.locked_buffers & ~(kSendBufferLocked | kReceiveBufferLocked)) != 0) {
    return fail(ErrorCode::data_loss, "buffers: unknown lock {}", image.locked_buffers);
  }
  constexpr std::uint32_t kMaxBufferBytes = 1U << 30;
  if (image.send_buffer_bytes > kMaxBufferBytes || image.receive_buffer_bytes > kMaxBufferBytes) {
    return fail(ErrorCode::data_loss, "buffers: more than {} bytes", kMaxBufferBytes);
  }
  const std::string& name = image.congestion_algorithm;
  const auto is_name = [](char c) { return c > ' ' && c <= '~'; };
  if (name.size() > kMaxAlgorithmNameBytes || !std::all_of(name.begin(), name.end(), is_name)) {
    return fail(ErrorCode::data_loss, "congestion algorithm: this is no name of one");
  }
  for (std::size_t i = 0; i < image.options.size(); ++i) {
    if (find_option(image.options[i].id) == nullptr) {
      return fail(ErrorCode::data_loss, "socket options: {} is unknown", image.options[i].id);
    }
    if (i > 0 && image.options[i].id <= image.options[i - 1].id) {
      return fail(ErrorCode::data_loss, "socket options: not in ascending order, or one twice");
    }
  }
  return {};
}

}  // namespace

Result<void> check(const ConnectionImage& image) {
  if (image.family != Family::ipv4 && image.family != Family::ipv6) {
    return fail(ErrorCode::data_loss, "family: neither IPv4 nor IPv6");
  }
  SEGUE_TRY(check_endpoint(image.family, image.local, "local"));
  SEGUE_TRY(check_endpoint(image.family, image.remote, "remote"));
  SEGUE_TRY(check_queue(image.unread, "unread"));
  SEGUE_TRY(check_queue(image.unacknowledged, "unacknowledged"));
  SEGUE_TRY(check_queue(image.unsent, "unsent"));
  SEGUE_TRY(check_negotiated(image));
  SEGUE_TRY(check_windows(image));
  return check_settings(image);
}

std::string describe(const ConnectionImage& image) {
  return text_of(image.family, image.local) + " - " + text_of(image.family, image.remote);
}

}  // namespace segue::tcp
