// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "tcp/connection_image.h"

namespace segue::tcp::test {

// With something in every field.
inline ConnectionImage full_image() {
  ConnectionImage image;
  image.family = Family::ipv4;
  image.local = {.address = {192, 0, 2, 1}, .port = 443};
  image.remote = {.address = {198, 51, 100, 7}, .port = 50'000};
  image.send_sequence = 0x00000010;  // it has just wrapped
  image.receive_sequence = 0x89abcdef;
  image.maximum_segment_bytes = 1460;
  image.window_scale = WindowScale{.send = 7, .receive = 9};
  image.selective_acknowledgement = true;
  image.timestamp = 0x12345678;
  image.windows = {.send_update_sequence = 0x89abcde0,
                   .send_bytes = 65'536,
                   .send_max_bytes = 131'072,
                   .receive_bytes = 262'144,
                   .receive_update_sequence = 0x89abcd00};
  image.congestion_window_segments = 42;
  image.unread = "GET / HTTP/1.1\r\n";
  image.unacknowledged = "sent, not acknowledged";
  image.unsent = "never sent";
  image.send_buffer_bytes = 87'040;
  image.receive_buffer_bytes = 131'072;
  image.locked_buffers = kReceiveBufferLocked;
  image.congestion_algorithm = "cubic";
  image.options = {{.id = kReuseAddress, .value = 1}, {.id = 10, .value = 1}};
  return image;
}

// The least that is a connection, over IPv6.
inline ConnectionImage small_image() {
  ConnectionImage image;
  image.family = Family::ipv6;
  image.local = {.address = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1},
                 .port = 7000};
  image.remote = {.address = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2},
                  .port = 7001};
  image.send_sequence = 1;
  image.receive_sequence = 2;
  image.maximum_segment_bytes = 536;
  image.windows = {.send_update_sequence = 2, .receive_update_sequence = 2};
  return image;
}

}  // namespace segue::tcp::test
