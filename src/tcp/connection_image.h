// SPDX-License-Identifier: Apache-2.0
// What one established TCP connection is made of, apart from any socket. Pure.
//
// The words are those of RFC 9293 (section 3.3.1, the send and receive sequence variables), of RFC
// 7323 (window scale, timestamps) and of Linux's TCP_REPAIR. Sequence numbers wrap at 2^32.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "tcp/socket_options.h"

namespace segue::tcp {

inline constexpr std::size_t kMaxQueueBytes = 64U << 20;  // of one connection and direction
inline constexpr std::uint16_t kMinSegmentBytes = 88;     // TCP_MIN_MSS of Linux
inline constexpr std::uint8_t kMaxWindowScale = 14;       // RFC 7323, section 2.3
inline constexpr std::uint32_t kMaxCongestionWindowSegments = 1U << 20;
inline constexpr std::size_t kMaxAlgorithmNameBytes = 15;  // TCP_CA_NAME_MAX without its zero
inline constexpr std::uint8_t kSendBufferLocked = 1;       // SOCK_SNDBUF_LOCK
inline constexpr std::uint8_t kReceiveBufferLocked = 2;    // SOCK_RCVBUF_LOCK

// The family of the socket. An IPv6 socket may carry IPv4 in mapped addresses (::ffff:a.b.c.d).
enum class Family : std::uint8_t { ipv4 = 4, ipv6 = 6 };

struct Endpoint {
  std::array<std::uint8_t, 16> address{};  // in network order; IPv4 uses the first four
  std::uint16_t port = 0;                  // in host order
  friend bool operator==(const Endpoint&, const Endpoint&) = default;
};

struct WindowScale {
  std::uint8_t send = 0;     // what the peer announced: shift of the windows that it sends
  std::uint8_t receive = 0;  // what this side announced
  friend bool operator==(const WindowScale&, const WindowScale&) = default;
};

// In bytes, already scaled.
struct Windows {
  std::uint32_t send_update_sequence = 0;     // SND.WL1: of the segment that last set send_bytes
  std::uint32_t send_bytes = 0;               // SND.WND
  std::uint32_t send_max_bytes = 0;           // the largest that the peer has ever announced
  std::uint32_t receive_bytes = 0;            // RCV.WND, as last announced
  std::uint32_t receive_update_sequence = 0;  // RCV.NXT when it was announced
  friend bool operator==(const Windows&, const Windows&) = default;
};

struct ConnectionImage {
  Family family = Family::ipv4;
  Endpoint local;
  Endpoint remote;

  // The byte after the last of `unsent`. SND.NXT is `unsent` less, SND.UNA `unacknowledged` less
  // still.
  std::uint32_t send_sequence = 0;
  // RCV.NXT: the byte after the last of `unread`.
  std::uint32_t receive_sequence = 0;

  std::uint16_t maximum_segment_bytes = 0;  // what the peer announced (RFC 9293, section 3.7.1)
  std::optional<WindowScale> window_scale;  // nothing: not negotiated
  bool selective_acknowledgement = false;   // RFC 2018
  std::optional<std::uint32_t> timestamp;   // this side's clock (RFC 7323); nothing: not negotiated
  Windows windows;
  std::uint32_t congestion_window_segments = 0;  // 0: not known

  std::string unread;          // received and acknowledged, not read by the service
  std::string unacknowledged;  // sent at least once
  std::string unsent;          // accepted from the service, never sent

  std::uint32_t send_buffer_bytes = 0;     // as SO_SNDBUF reads
  std::uint32_t receive_buffer_bytes = 0;  // as SO_RCVBUF reads
  std::uint8_t locked_buffers = 0;         // kSendBufferLocked | kReceiveBufferLocked
  std::string congestion_algorithm;        // "cubic"; empty: the host's default
  std::vector<OptionValue> options;        // in ascending order of their id, each once

  friend bool operator==(const ConnectionImage&, const ConnectionImage&) = default;
};

// Whether a kernel could hold such a connection. data_loss, naming the field, if not.
base::Result<void> check(const ConnectionImage& image);

// "192.0.2.1:80 - 198.51.100.7:4711", "[2001:db8::1]:80 - …": local, then remote.
std::string describe(const ConnectionImage& image);

}  // namespace segue::tcp
