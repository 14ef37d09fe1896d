// SPDX-License-Identifier: Apache-2.0
#include "delta/packing.h"

#include <gtest/gtest.h>

#include "delta/archive_samples.h"
#include "delta/members.h"

namespace segue::delta {
namespace {

using base::ErrorCode;

// Text that has matches near and far.
Bytes sample(std::size_t size_bytes) {
  Bytes bytes;
  std::uint32_t state = 7;
  while (bytes.size() < size_bytes) {
    state = state * 1103515245 + 12345;
    samples::append(bytes, view_of(fmt::format("word{} ", state >> 20)));
  }
  return bytes;
}

std::vector<PackSettings> all_settings() {
  std::vector<PackSettings> all;
  for (const int level : {1, 2, 3, 4, 5, 6, 7, 8, 9}) {
    for (const int memory : {8, 9}) {
      all.push_back({PackCodec::deflate, static_cast<std::uint8_t>(level),
                     static_cast<std::uint8_t>(memory)});
    }
  }
  for (const int level : {1, 3, 9, 15, 19}) {
    for (const int detail : {2, 3}) {
      all.push_back(
          {PackCodec::zstd, static_cast<std::uint8_t>(level), static_cast<std::uint8_t>(detail)});
    }
  }
  return all;
}

TEST(Packing, settings_are_found_that_give_the_same_bytes) {
  const Bytes plain = sample(300000);
  for (const PackSettings& settings : all_settings()) {
    const Bytes bytes = packed(settings, plain);
    ASSERT_FALSE(bytes.empty());
    const auto found = find_settings(bytes, plain, {settings.codec, 3, 8});
    ASSERT_TRUE(found) << int{settings.level} << '/' << int{settings.detail};
    EXPECT_EQ(packed(*found, plain), bytes);
  }
}

TEST(Packing, what_was_packed_is_unpacked_whatever_follows_it) {
  const Bytes plain = sample(100000);
  for (const PackSettings& settings : all_settings()) {
    Bytes bytes = packed(settings, plain);
    const std::size_t size = bytes.size();
    samples::append(bytes, view_of("more"));
    const auto unpacked = unpack_stream(settings.codec, bytes, kMaxMemberBytes);
    ASSERT_TRUE(unpacked) << unpacked.error().to_string();
    EXPECT_EQ(unpacked->plain, plain);
    EXPECT_EQ(unpacked->packed_bytes, size);
  }
}

TEST(Packing, depends_on_the_bytes_and_not_on_their_pieces) {
  const Bytes plain = sample(400000);
  for (const PackSettings& settings : all_settings()) {
    Bytes in_pieces;
    auto packer = Packer::open(settings, plain.size(), [&](ByteView piece) {
      samples::append(in_pieces, piece);
      return base::Result<void>();
    });
    ASSERT_TRUE(packer);
    std::size_t piece = 1;
    for (std::size_t at = 0; at < plain.size(); at += piece, piece = piece * 3 % 70001 + 1) {
      const auto part = ByteView(plain).subspan(at, std::min(piece, plain.size() - at));
      ASSERT_TRUE(packer->write(part));
    }
    ASSERT_TRUE(packer->finish());
    EXPECT_EQ(in_pieces, packed(settings, plain));
  }
}

TEST(Packing, of_another_compressor_has_no_settings) {
  const Bytes plain = sample(1000);
  Bytes stored = {1, 0xe8, 0x03, 0x17, 0xfc};  // one stored block of 1,000 bytes
  stored.insert(stored.end(), plain.begin(), plain.begin() + 1000);
  const Bytes exact(plain.begin(), plain.begin() + 1000);
  ASSERT_EQ(unpack_stream(PackCodec::deflate, stored, 5000)->plain, exact);
  EXPECT_EQ(find_settings(stored, exact, {}), std::nullopt);
}

TEST(Packing, cut_off_streams_are_damaged) {
  const Bytes plain = sample(5000);
  for (const PackSettings& settings : all_settings()) {
    const Bytes bytes = packed(settings, plain);
    for (std::size_t size = 0; size < bytes.size(); size += 97) {
      const auto result = unpack_stream(settings.codec, ByteView(bytes).first(size), 10000);
      ASSERT_FALSE(result);
      EXPECT_EQ(result.error().code(), ErrorCode::data_loss);
    }
  }
}

TEST(Packing, no_more_is_unpacked_than_is_allowed) {
  const Bytes zeros(std::size_t{20} << 20);
  for (const PackCodec codec : {PackCodec::deflate, PackCodec::zstd}) {
    const PackSettings settings{codec, 1,
                                static_cast<std::uint8_t>(codec == PackCodec::zstd ? 2 : 8)};
    const Bytes bomb = packed(settings, zeros);
    const auto result = unpack_stream(codec, bomb, kMaxMemberBytes);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code(), ErrorCode::resource_exhausted);
    EXPECT_TRUE(find_members(bomb).empty());
  }
}

TEST(Packing, exactly_as_much_as_is_allowed_is_unpacked) {
  const Bytes plain = sample(4096);
  const Bytes exact(plain.begin(), plain.begin() + 4096);
  for (const PackSettings& settings : all_settings()) {
    EXPECT_TRUE(unpack_stream(settings.codec, packed(settings, exact), 4096));
    EXPECT_FALSE(unpack_stream(settings.codec, packed(settings, exact), 4095));
  }
}

TEST(Packing, with_much_memory_is_refused) {
  const auto packer = Packer::open({PackCodec::zstd, 22, 2}, kMaxMemberBytes,
                                   [](ByteView) { return base::Result<void>(); });
  ASSERT_FALSE(packer);
  EXPECT_EQ(packer.error().code(), ErrorCode::resource_exhausted);
  EXPECT_FALSE(Packer::open({PackCodec::deflate, 0, 8}, 1, {}));
  EXPECT_FALSE(Packer::open({PackCodec::deflate, 6, 7}, 1, {}));
}

TEST(Packing, settings_have_identities_that_differ) {
  const auto six = packing_identity({PackCodec::deflate, 6, 8});
  const auto nine = packing_identity({PackCodec::deflate, 1, 8});
  ASSERT_TRUE(six && nine);
  EXPECT_NE(*six, *nine);
  EXPECT_EQ(packing_identity({PackCodec::deflate, 6, 8}), six);
}

TEST(Members, of_zip_gzip_and_zstd_files_are_found) {
  const PackSettings settings;
  const Bytes inner = zip_of({{"inner.txt", sample(3000)}}, settings);
  const Bytes zip = zip_of({{"a.txt", sample(5000)}, {"b.zip", inner}, {"c", {}}}, settings);
  const auto members = find_members(zip);
  ASSERT_EQ(members.size(), 2U);
  EXPECT_EQ(members[0].name, "a.txt");
  EXPECT_EQ(members[1].name, "inner.txt");
  EXPECT_EQ(members[1].plain_bytes, sample(3000).size());

  const Bytes gzip = gzip_of(sample(5000), settings);
  ASSERT_EQ(find_members(gzip).size(), 1U);
  EXPECT_EQ(find_members(gzip)[0].at, 12U);
  const Bytes zstd = packed({PackCodec::zstd, 3, 3}, sample(5000));
  ASSERT_EQ(find_members(zstd).size(), 1U);
  EXPECT_EQ(find_members(zstd)[0].packed_bytes, zstd.size());
}

TEST(Members, are_found_in_no_bytes_that_only_begin_so) {
  for (const std::string_view text :
       {"PK\3\4", "\x1f\x8b\x08", "\x28\xb5\x2f\xfd",
        "PK\3\4 and much else that is no archive at all",
        "\x1f\x8b\x08\x1f no name ends here no name ends here no name ends here"}) {
    EXPECT_TRUE(find_members(view_of(text)).empty()) << text;
  }
}

}  // namespace
}  // namespace segue::delta
