// SPDX-License-Identifier: Apache-2.0
// The bytes of a ConnectionImage: protocol/tcp_image.md. Pure; every read is bounds-checked.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "tcp/connection_image.h"

namespace segue::tcp {

inline constexpr std::uint16_t kImageVersion = 1;
// A whole image, its three queues full, is never larger.
inline constexpr std::size_t kMaxImageBytes = 3 * kMaxQueueBytes + 4096;

// data_loss, naming the field, when check() refuses the image.
base::Result<std::string> encode(const ConnectionImage& image);

// Takes exactly one image and checks it as check() does. data_loss names what is damaged;
// failed_precondition names what only a newer Segue can read. The result owns its bytes.
base::Result<ConnectionImage> decode(std::string_view bytes);

// Of CRC-32 as in ISO 3309 and zlib; ends every image.
std::uint32_t crc32(std::string_view bytes);

}  // namespace segue::tcp
