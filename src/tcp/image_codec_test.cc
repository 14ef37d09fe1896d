// SPDX-License-Identifier: Apache-2.0
// protocol/tcp_image.golden is the form: bytes that were written once are read for ever.
#include "tcp/image_codec.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <functional>
#include <map>
#include <sstream>
#include <string>

#include "tcp/test_image.h"

namespace segue::tcp {
namespace {

using base::ErrorCode;

std::string to_hex(std::string_view bytes) {
  std::string hex;
  for (const char c : bytes) hex += fmt::format("{:02x}", static_cast<std::uint8_t>(c));
  return hex;
}

std::map<std::string, std::string> golden_file() {
  std::ifstream file(SEGUE_TCP_GOLDEN_FILE);
  EXPECT_TRUE(file) << SEGUE_TCP_GOLDEN_FILE;
  std::map<std::string, std::string> lines;
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line.substr(0, line.find('#')));
    std::string name;
    if (!(words >> name)) continue;
    for (std::string hex; words >> hex;) lines[name] += hex;
  }
  return lines;
}

std::string from_hex(const std::string& hex) {
  std::string bytes;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2) {
    bytes.push_back(static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

// Sets the size and the checksum right again, so that only what was changed is wrong.
std::string sealed(std::string bytes) {
  bytes.resize(bytes.size() - 4);
  const auto size = static_cast<std::uint32_t>(bytes.size() + 4);
  for (std::size_t i = 0; i < 4; ++i) bytes[12 + i] = static_cast<char>(size >> (8 * i));
  const std::uint32_t crc = crc32(bytes);
  for (std::size_t i = 0; i < 4; ++i) bytes.push_back(static_cast<char>(crc >> (8 * i)));
  return bytes;
}

std::string refusal(const std::string& bytes) {
  const auto image = decode(bytes);
  EXPECT_FALSE(image);
  return image ? std::string("accepted") : image.error().to_string();
}

void expect_refused(const std::string& bytes, const std::string& word) {
  const std::string text = refusal(bytes);
  EXPECT_NE(text.find(word), std::string::npos) << text;
}

TEST(ImageCodec, golden_bytes_are_written_and_read) {
  const auto golden = golden_file();
  for (const auto& [name, image] :
       {std::pair{"full", test::full_image()}, std::pair{"small", test::small_image()}}) {
    SCOPED_TRACE(name);
    ASSERT_TRUE(golden.contains(name));
    const auto bytes = encode(image);
    ASSERT_TRUE(bytes) << bytes.error().to_string();
    EXPECT_EQ(golden.at(name), to_hex(*bytes));
    const auto again = decode(from_hex(golden.at(name)));
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_EQ(*again, image);
  }
}

TEST(ImageCodec, golden_newer_images_are_read_or_refused_by_name) {
  const auto golden = golden_file();
  ASSERT_TRUE(golden.contains("newer.readable") && golden.contains("newer.unreadable") &&
              golden.contains("newer.must_understand"));
  const auto image = decode(from_hex(golden.at("newer.readable")));
  ASSERT_TRUE(image) << image.error().to_string();
  EXPECT_EQ(*image, test::small_image());
  for (const char* name : {"newer.unreadable", "newer.must_understand"}) {
    const auto refused = decode(from_hex(golden.at(name)));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code(), ErrorCode::failed_precondition);
    EXPECT_NE(refused.error().message().find("update"), std::string::npos);
  }
}

TEST(ImageCodec, every_cut_and_every_flipped_bit_is_refused) {
  const std::string bytes = *encode(test::full_image());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode(bytes.substr(0, size))) << size;
  }
  EXPECT_FALSE(decode(bytes + '\0'));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode(damaged)) << bit;
  }
}

TEST(ImageCodec, what_is_wrong_in_the_frame_is_named) {
  const std::string bytes = *encode(test::small_image());
  expect_refused("", "cut short");
  expect_refused(std::string(kMaxImageBytes + 1, 'x'), "at most");
  std::string damaged = bytes;
  damaged[0] = 'X';
  expect_refused(damaged, "does not begin with SEGUETCP");
  expect_refused(bytes + "more", "says that it has");
  damaged = bytes;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  expect_refused(damaged, "checksum");
  damaged = bytes;
  damaged[8] = 0;
  expect_refused(sealed(damaged), "its version is 0");
}

TEST(ImageCodec, what_is_wrong_in_a_field_is_named) {
  // The first field, 4 bytes of congestion window, stands behind the header of 16 bytes.
  const std::string bytes = *encode(test::small_image());
  std::string damaged = bytes;
  damaged[18] = 5;  // its size
  expect_refused(sealed(damaged), "congestion window: malformed");
  damaged = bytes;
  damaged[19] = 1;
  expect_refused(sealed(damaged), "a field is cut short");
  damaged = bytes;
  damaged.insert(16, damaged.substr(16, 10));
  expect_refused(sealed(damaged), "ascending order");
  // Without its last field, the unsent bytes: 6 bytes of header, nothing in it, the checksum.
  damaged = bytes.substr(0, bytes.size() - 10) + "crc?";
  expect_refused(sealed(damaged), "unsent bytes: missing");
}

TEST(ImageCodec, a_field_that_may_be_skipped_is_skipped) {
  std::string bytes = *encode(test::small_image());
  bytes.insert(16, std::string("\x00\x00\x01\x00\x00\x00x", 7));
  expect_refused(sealed(bytes), "ascending order");  // 0 is no tag
  bytes = *encode(test::small_image());
  const std::size_t first_required = bytes.find("\x01\x80", 16, 2);
  ASSERT_NE(first_required, std::string::npos);
  bytes.insert(first_required, std::string("\xff\x7f\x01\x00\x00\x00x", 7));
  const auto image = decode(sealed(bytes));
  ASSERT_TRUE(image) << image.error().to_string();
  EXPECT_EQ(*image, test::small_image());
}

TEST(ImageCodec, what_no_kernel_could_hold_is_refused_by_name) {
  const auto refused = [](const std::function<void(ConnectionImage&)>& spoil) {
    ConnectionImage image = test::full_image();
    spoil(image);
    const auto bytes = encode(image);
    return bytes ? std::string("accepted") : bytes.error().to_string();
  };
  const auto expect = [&](const std::string& word,
                          const std::function<void(ConnectionImage&)>& spoil) {
    const std::string text = refused(spoil);
    EXPECT_NE(text.find(word), std::string::npos) << text;
  };
  expect("local port", [](auto& image) { image.local.port = 0; });
  expect("remote address", [](auto& image) { image.remote.address = {}; });
  expect("more than four", [](auto& image) { image.local.address[15] = 1; });
  expect("link-local", [](auto& image) {
    image = test::small_image();
    image.local.address = {0xfe, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  });
  expect("maximum segment size", [](auto& image) { image.maximum_segment_bytes = 0; });
  expect("window scale", [](auto& image) { image.window_scale->receive = 15; });
  expect("congestion window", [](auto& image) { image.congestion_window_segments = 1U << 21; });
  expect("exceeds its own maximum", [](auto& image) { image.windows.send_bytes = 1U << 30; });
  expect("can announce", [](auto& image) { image.windows.receive_bytes = 1U << 31; });
  expect("beyond the receive window",
         [](auto& image) { image.windows.send_update_sequence += 1U << 24; });
  expect("not received yet",
         [](auto& image) { image.windows.receive_update_sequence = image.receive_sequence + 1; });
  expect("unsent bytes", [](auto& image) { image.unsent.resize(kMaxQueueBytes + 1); });
  expect("unknown lock", [](auto& image) { image.locked_buffers = 4; });
  expect("buffers: more than", [](auto& image) { image.send_buffer_bytes = 0xffffffff; });
  expect("congestion algorithm", [](auto& image) { image.congestion_algorithm = "a name"; });
  expect("socket options: 999", [](auto& image) { image.options.push_back({.id = 999}); });
  expect("one twice", [](auto& image) { image.options.push_back(image.options.back()); });
  EXPECT_EQ(refused([](auto&) {}), "accepted");
}

TEST(ImageCodec, sequence_numbers_may_wrap_anywhere) {
  for (const std::uint32_t at : {0U, 1U, 0x7fffffffU, 0x80000000U, 0xffffffffU}) {
    ConnectionImage image = test::full_image();
    const std::uint32_t shift = at - image.receive_sequence;
    image.receive_sequence += shift;
    image.windows.send_update_sequence += shift;
    image.windows.receive_update_sequence += shift;
    image.send_sequence = at;
    const auto bytes = encode(image);
    ASSERT_TRUE(bytes) << bytes.error().to_string();
    EXPECT_EQ(*decode(*bytes), image);
  }
}

TEST(ImageCodec, the_checksum_is_the_common_one) {
  EXPECT_EQ(crc32("123456789"), 0xcbf43926U);
  EXPECT_EQ(crc32(""), 0U);
}

TEST(ImageCodec, a_connection_is_described_by_its_endpoints) {
  EXPECT_EQ(describe(test::full_image()), "192.0.2.1:443 - 198.51.100.7:50000");
  EXPECT_EQ(describe(test::small_image()), "[2001:db8::1]:7000 - [2001:db8::2]:7001");
}

}  // namespace
}  // namespace segue::tcp
