// SPDX-License-Identifier: Apache-2.0
#include "delta/chunker.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <vector>

#include "delta/digest.h"

namespace segue::delta {
namespace {

Bytes noise(std::size_t size_bytes, unsigned seed) {
  std::mt19937 generator(seed);
  Bytes bytes(size_bytes);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(generator());
  return bytes;
}

std::vector<ByteView> chunks_of(const Bytes& bytes) {
  std::vector<ByteView> chunks;
  for (ByteView left = bytes; !left.empty();) {
    const std::size_t size = first_chunk(left);
    chunks.push_back(left.first(size));
    left = left.subspan(size);
  }
  return chunks;
}

TEST(Chunker, sizes_stay_in_their_bounds_and_near_the_normal_size) {
  const Bytes bytes = noise(8 << 20, 1);
  const auto chunks = chunks_of(bytes);
  for (std::size_t i = 0; i < chunks.size(); ++i) {
    if (i + 1 < chunks.size()) {
      EXPECT_GE(chunks[i].size(), kMinChunkBytes);
    }
    EXPECT_LE(chunks[i].size(), kMaxChunkBytes);
  }
  EXPECT_GT(chunks.size(), bytes.size() / kNormalChunkBytes / 2);
  EXPECT_LT(chunks.size(), bytes.size() / kNormalChunkBytes * 2);
}

TEST(Chunker, an_insertion_changes_only_the_chunks_around_it) {
  const Bytes before = noise(4 << 20, 2);
  Bytes after = before;
  after.insert(after.begin() + (2 << 20), {1, 2, 3});
  std::set<Digest> known;
  for (const ByteView chunk : chunks_of(before)) known.insert(digest_of(chunk));
  std::size_t changed = 0;
  for (const ByteView chunk : chunks_of(after))
    changed += known.contains(digest_of(chunk)) ? 0U : 1U;
  EXPECT_LE(changed, 3U);
}

TEST(Chunker, cuts_depend_on_what_stands_before_them_alone) {
  const Bytes bytes = noise(1 << 20, 3);
  const std::size_t size = first_chunk(bytes);
  EXPECT_EQ(first_chunk(ByteView(bytes).first(kMaxChunkBytes)), size);
}

TEST(Chunker, runs_of_one_byte_are_cut_at_the_maximum_or_regularly) {
  const Bytes zeros(1 << 20);
  const std::size_t size = first_chunk(zeros);
  EXPECT_GE(size, kMinChunkBytes);
  EXPECT_EQ(first_chunk(ByteView(zeros).subspan(size)), size);
  EXPECT_EQ(first_chunk({}), 0U);
  EXPECT_EQ(first_chunk(ByteView(zeros).first(5)), 5U);
}

// Chunks are stored by digest: a change here would store everything again.
TEST(Chunker, cuts_are_part_of_the_format) {
  const Bytes bytes = noise(2 << 20, 4);
  std::vector<std::size_t> sizes;
  for (const ByteView chunk : chunks_of(bytes)) sizes.push_back(chunk.size());
  sizes.resize(4);
  EXPECT_EQ(sizes, (std::vector<std::size_t>{77960, 34949, 122913, 27181}));
}

}  // namespace
}  // namespace segue::delta
