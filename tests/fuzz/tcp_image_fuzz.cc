// SPDX-License-Identifier: Apache-2.0
// Images of TCP connections from another host: as they are, and with size and checksum set right,
// so that the fields behind them are reached.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "tcp/image_codec.h"
#include "tcp/restore_plan.h"

namespace {

namespace tcp = segue::tcp;

void put_u32(std::string& bytes, std::size_t offset, std::uint32_t value) {
  for (std::size_t i = 0; i < 4; ++i) bytes[offset + i] = static_cast<char>(value >> (8 * i));
}

void read(std::string_view bytes) {
  const auto image = tcp::decode(bytes);
  if (!image) return;
  (void)tcp::describe(*image);
  (void)tcp::plan_restore(*image);
  (void)tcp::plan_leave(*image);
  const auto again = tcp::encode(*image);  // what is accepted can be written, and read as the same
  if (!again) abort();
  const auto twice = tcp::decode(*again);
  if (!twice || *twice != *image) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  constexpr std::size_t kHeaderBytes = 16;
  if (bytes.size() < kHeaderBytes + 4) return 0;
  put_u32(bytes, 12, static_cast<std::uint32_t>(bytes.size()));
  const std::size_t end = bytes.size() - 4;
  put_u32(bytes, end, tcp::crc32(std::string_view(bytes).substr(0, end)));
  read(bytes);
  return 0;
}
