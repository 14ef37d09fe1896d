// SPDX-License-Identifier: Apache-2.0
#include "library/contents.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <fstream>
#include <map>
#include <random>
#include <set>

#include "crypto/digest.h"
#include "delta/chunker.h"
#include "delta/memory_tree.h"
#include "library/content_stream.h"
#include "library/frame.h"

namespace segue::library {
namespace {

using delta::Bytes;
using delta::ByteView;
using delta::Digest;
using delta::MemoryTree;

Bytes noise(std::size_t size_bytes, unsigned seed) {
  std::mt19937 generator(seed);
  Bytes bytes(size_bytes);
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(generator());
  return bytes;
}

Bytes lines(int first, int last) {
  std::string text;
  for (int i = first; i < last; ++i) text += fmt::format("line {} of the file\n", i * i);
  return delta::bytes_of(text);
}

std::vector<Bytes> chunks_of(MemoryTree& tree) {
  std::vector<Bytes> chunks;
  const auto stream = stream_of(tree.manifest());
  const auto cut = cut_chunks(*stream, tree.manifest(), tree,
                              [&](std::uint64_t, ByteView bytes) -> base::Result<void> {
                                chunks.emplace_back(bytes.begin(), bytes.end());
                                return {};
                              });
  EXPECT_TRUE(cut) << cut.error().to_string();
  return chunks;
}

Contents contents_of(MemoryTree& tree) {
  Contents contents{tree.manifest(), {}};
  for (const Bytes& bytes : chunks_of(tree)) contents.chunks.push_back(pack_chunk(bytes).chunk);
  return contents;
}

Release release_of(const Contents& contents) {
  const TreeSums sums = sums_of(contents.manifest);
  Release release;
  release.component = "chat";
  release.version = "1";
  release.root = delta::root_of(contents.manifest);
  release.bytes = sums.bytes;
  release.files = sums.files;
  return release;
}

// Nothing that libzstd's version has a say in: its chunks are stored as they are.
MemoryTree golden_tree() {
  return MemoryTree::of_files(
      {{"a", noise(300, 1)}, {"b/empty", {}}, {"b/same", noise(300, 1)}, {"c", noise(20'000, 2)}});
}

TEST(ContentStream, has_each_content_once_in_the_order_of_the_manifest) {
  MemoryTree tree = golden_tree();
  const auto stream = stream_of(tree.manifest());
  ASSERT_TRUE(stream);
  ASSERT_EQ(stream->segments.size(), 2U);
  EXPECT_EQ(tree.manifest().entries[stream->segments[0].entry].path, "a");
  EXPECT_EQ(tree.manifest().entries[stream->segments[1].entry].path, "c");
  EXPECT_EQ(stream->segments[1].offset_bytes, 300U);
  EXPECT_EQ(stream->size_bytes, 20'300U);
}

TEST(ContentStream, refuses_one_digest_for_two_sizes) {
  delta::Manifest manifest = golden_tree().manifest();
  for (auto& entry : manifest.entries) {
    if (entry.path == "c") entry.content = manifest.entries[1].content;
  }
  EXPECT_EQ(stream_of(manifest).error().code(), base::ErrorCode::data_loss);
}

TEST(ContentStream, is_cut_as_one_file_would_be) {
  std::map<std::string, Bytes> files;
  Bytes whole;
  for (int i = 0; i < 50; ++i) {
    const Bytes content = noise(static_cast<std::size_t>(i) * 3'001, static_cast<unsigned>(i));
    files[fmt::format("{:02}", i)] = content;
    whole.insert(whole.end(), content.begin(), content.end());
  }
  MemoryTree tree = MemoryTree::of_files(files);
  const auto chunks = chunks_of(tree);
  ASSERT_GT(chunks.size(), 20U);
  ByteView left = whole;
  for (const Bytes& chunk : chunks) {
    ASSERT_EQ(chunk.size(), delta::first_chunk(left));
    EXPECT_TRUE(std::ranges::equal(chunk, left.first(chunk.size())));
    left = left.subspan(chunk.size());
  }
  EXPECT_TRUE(left.empty());
}

TEST(ContentStream, a_new_file_changes_only_the_chunks_around_it) {
  std::map<std::string, Bytes> files;
  for (int i = 0; i < 400; ++i) {
    files[fmt::format("{:03}", i)] = noise(10'000, static_cast<unsigned>(i));
  }
  MemoryTree before = MemoryTree::of_files(files);
  files["200-new"] = noise(5'000, 1'000);
  MemoryTree after = MemoryTree::of_files(files);
  std::set<Bytes> known;
  for (Bytes& chunk : chunks_of(before)) known.insert(std::move(chunk));
  std::size_t changed = 0;
  for (const Bytes& chunk : chunks_of(after)) changed += known.contains(chunk) ? 0U : 1U;
  EXPECT_LE(changed, 4U);
}

TEST(ContentStream, names_the_file_whose_size_is_not_the_manifest_s) {
  MemoryTree tree = golden_tree();
  delta::Manifest manifest = tree.manifest();
  for (auto& entry : manifest.entries) {
    if (entry.path == "c") --entry.size_bytes;
  }
  const auto cut = cut_chunks(*stream_of(manifest), manifest, tree,
                              [](std::uint64_t, ByteView) { return base::Result<void>(); });
  ASSERT_FALSE(cut);
  EXPECT_NE(cut.error().message().find("'c'"), std::string::npos);
}

TEST(Chunks, come_back_as_they_were) {
  for (const Bytes& bytes : {noise(50'000, 3), lines(0, 4'000), Bytes(100), Bytes{7}}) {
    const StoredChunk packed = pack_chunk(bytes);
    EXPECT_LE(packed.bytes.size(), bytes.size());
    EXPECT_EQ(packed.chunk.content, delta::digest_of(bytes));
    const auto back = unpack_chunk(packed.bytes, packed.chunk);
    ASSERT_TRUE(back) << back.error().to_string();
    EXPECT_EQ(*back, bytes);
  }
}

TEST(Chunks, that_are_damaged_are_refused) {
  const StoredChunk packed = pack_chunk(lines(0, 1'000));
  Bytes flipped = packed.bytes;
  flipped[flipped.size() / 2] ^= 1;
  EXPECT_FALSE(unpack_chunk(flipped, packed.chunk));
  EXPECT_FALSE(unpack_chunk(ByteView(packed.bytes).first(packed.bytes.size() - 1), packed.chunk));
  // What is stored is as signed, and holds something else than was signed.
  Chunk other = packed.chunk;
  other.content = delta::digest_of(delta::view_of("other"));
  EXPECT_FALSE(unpack_chunk(packed.bytes, other));
}

TEST(Frames, that_hold_more_than_allowed_are_refused_before_they_are_unpacked) {
  const Bytes bomb = compress_frame(Bytes(64 << 20), 19);
  ASSERT_LT(bomb.size(), 10'000U);
  const auto refused = decompress_frame(bomb, 1 << 20);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), base::ErrorCode::data_loss);
  EXPECT_EQ(decompress_frame(bomb, 64 << 20)->size(), std::size_t{64} << 20);
}

TEST(Frames, with_something_behind_them_are_refused) {
  Bytes two = compress_frame(lines(0, 10), 3);
  two.push_back(0);
  EXPECT_FALSE(decompress_frame(two, 1 << 20));
  EXPECT_FALSE(decompress_frame({}, 1 << 20));
}

TEST(Contents, are_the_release_s) {
  MemoryTree tree = golden_tree();
  const Contents contents = contents_of(tree);
  const Release release = release_of(contents);
  const Bytes stored = pack_contents(contents);
  EXPECT_EQ(unpack_contents(stored, release), contents);

  Release other = release;
  ++other.bytes;
  EXPECT_FALSE(unpack_contents(stored, other));
  other = release;
  ++other.files;
  EXPECT_FALSE(unpack_contents(stored, other));
  other = release;
  other.root = delta::digest_of(delta::view_of("another tree"));
  EXPECT_FALSE(unpack_contents(stored, other));
}

TEST(Contents, lack_no_byte_of_the_tree_and_have_none_besides) {
  MemoryTree tree = golden_tree();
  const Contents contents = contents_of(tree);
  const Bytes bytes = encode_contents(contents);
  ASSERT_EQ(contents.chunks.size(), 1U);
  EXPECT_EQ(decode_contents(bytes), contents);
  constexpr std::ptrdiff_t kRecordBytes = 3 + 3 + Digest::kBytes;
  Bytes without(bytes.begin(), bytes.end() - kRecordBytes - 1);
  without.push_back(0);  // chunks
  EXPECT_FALSE(decode_contents(without));
  Bytes flipped = bytes;
  flipped[flipped.size() - Digest::kBytes - 6] ^= 1;  // the chunk's size
  EXPECT_FALSE(decode_contents(flipped));
}

TEST(Contents, of_an_empty_tree_have_no_chunks) {
  MemoryTree tree = MemoryTree::of_files({{"empty", {}}});
  const Contents contents = contents_of(tree);
  EXPECT_TRUE(contents.chunks.empty());
  EXPECT_EQ(unpack_contents(pack_contents(contents), release_of(contents)), contents);
}

// ---- Recorded bytes

std::map<std::string, Bytes> recorded() {
  std::ifstream file(SEGUE_LIBRARY_GOLDEN_FILE);
  std::map<std::string, Bytes> golden;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#' || line.starts_with("custom ")) continue;
    const std::size_t begin = line.find(' ') + 1;
    const std::size_t end = line.find(' ', begin);
    golden[line.substr(0, begin - 1)] =
        delta::bytes_of(*crypto::from_hex(line.substr(begin, end - begin)));
  }
  return golden;
}

std::string hex_of(const Bytes& bytes) {
  return crypto::to_hex(delta::text_of(bytes));
}

Contents golden_contents() {
  MemoryTree tree = golden_tree();
  Contents contents = contents_of(tree);
  Chunk& chunk = contents.chunks.front();
  // One that is stored compressed, without asking libzstd for its opinion.
  Chunk front = chunk;
  front.size_bytes = 16'384;
  front.stored_bytes = 1'000;
  front.stored = delta::digest_of(delta::view_of("stored"));
  chunk.size_bytes -= front.size_bytes;
  chunk.stored_bytes = chunk.size_bytes;
  contents.chunks.insert(contents.chunks.begin(), front);
  return contents;
}

TEST(LibraryGolden, contents_are_written_as_recorded) {
  const auto golden = recorded();
  const std::string bytes = hex_of(encode_contents(golden_contents()));
  ASSERT_TRUE(golden.contains("contents")) << bytes;
  EXPECT_EQ(hex_of(golden.at("contents")), bytes);
}

TEST(LibraryGolden, recorded_contents_are_read) {
  const auto golden = recorded();
  EXPECT_EQ(decode_contents(golden.at("contents")), golden_contents());
  for (const auto& [name, bytes] : golden) {
    if (name.starts_with("contents.refused")) {
      EXPECT_FALSE(decode_contents(bytes)) << name;
    }
  }
}

TEST(LibraryGolden, recorded_chunks_are_read) {
  const auto golden = recorded();
  const Bytes plain = lines(0, 20);
  ASSERT_TRUE(golden.contains("chunk")) << hex_of(pack_chunk(plain).bytes);
  const Bytes& frame = golden.at("chunk");
  const Chunk chunk{static_cast<std::uint32_t>(plain.size()),
                    static_cast<std::uint32_t>(frame.size()), delta::digest_of(plain),
                    delta::digest_of(frame)};
  EXPECT_EQ(unpack_chunk(frame, chunk), plain);
}

}  // namespace
}  // namespace segue::library
