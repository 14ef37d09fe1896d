// SPDX-License-Identifier: Apache-2.0
// Files that are compressed inside: unpacked, compared, and packed again.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "delta/archive_coder.h"
#include "delta/archive_plan.h"
#include "delta/archive_samples.h"
#include "delta/container.h"
#include "delta/memory_tree.h"

namespace segue::delta {
namespace {

using base::ErrorCode;

constexpr ApplyLimits kLimits{.max_target_bytes = std::uint64_t{1} << 30};
constexpr PackSettings kZstd{PackCodec::zstd, 3, 3};

Bytes lines(unsigned seed, std::size_t count) {
  std::mt19937 generator(seed);
  Bytes bytes;
  for (std::size_t i = 0; i < count; ++i) {
    samples::append(bytes, view_of(fmt::format("line {} says {} and {}\n", i, generator() % 100000,
                                               generator() % 1000)));
  }
  return bytes;
}

Bytes made(MemoryTree& base, MemoryTree& target, MakeReport* report = nullptr) {
  auto delta = make_delta(base.manifest(), base, target.manifest(), target, report);
  EXPECT_TRUE(delta) << delta.error().to_string();
  return delta.value_or(Bytes());
}

struct Outcome {
  std::size_t delta_bytes = 0;
  std::uint64_t repacked = 0;
  std::uint8_t version = 0;
};

Outcome expect_rebuilt(const std::map<std::string, Bytes>& old_files,
                       const std::map<std::string, Bytes>& new_files) {
  MemoryTree base = MemoryTree::of_files(old_files);
  MemoryTree target = MemoryTree::of_files(new_files);
  MakeReport report;
  const Bytes delta = made(base, target, &report);
  MemoryWriter writer(base);
  const auto result =
      apply_delta(delta, base.manifest(), base, root_of(target.manifest()), kLimits, writer);
  EXPECT_TRUE(result) << result.error().to_string();
  EXPECT_TRUE(writer.contents == target.contents());
  Outcome outcome{delta.size(), 0, delta.at(4)};
  for (const FileReport& file : report.files) outcome.repacked += file.repacked_members;
  return outcome;
}

TEST(Archive, a_changed_member_of_a_zip_costs_what_changed_in_it) {
  std::map<std::string, Bytes> members;
  for (unsigned i = 0; i < 20; ++i) members[fmt::format("member{}", i)] = lines(i, 2000);
  const Bytes before = zip_of(members, {});
  members["member7"][1000] ^= 1;
  const Outcome outcome = expect_rebuilt({{"a.jar", before}}, {{"a.jar", zip_of(members, {})}});
  EXPECT_EQ(outcome.repacked, 1U);
  EXPECT_EQ(outcome.version, kArchiveVersion);
  EXPECT_LT(outcome.delta_bytes, 200U);
}

TEST(Archive, gzip_and_zstd_files_cost_what_changed_in_them) {
  const Bytes before = lines(1, 9000);
  Bytes after = before;
  const Bytes more = lines(2, 2);
  after.insert(after.begin() + 100000, more.begin(), more.end());
  const Outcome gzip = expect_rebuilt({{"a.gz", gzip_of(before, {PackCodec::deflate, 9, 8})}},
                                      {{"a.gz", gzip_of(after, {PackCodec::deflate, 9, 8})}});
  EXPECT_EQ(gzip.repacked, 1U);
  EXPECT_LT(gzip.delta_bytes, 250U);
  const Outcome zstd =
      expect_rebuilt({{"a.zst", packed(kZstd, before)}}, {{"a.zst", packed(kZstd, after)}});
  EXPECT_EQ(zstd.repacked, 1U);
  EXPECT_LT(zstd.delta_bytes, 250U);
}

TEST(Archive, a_member_packed_at_another_level_is_unpacked_too) {
  const Bytes text = lines(3, 5000);
  const Outcome outcome = expect_rebuilt({{"a.gz", gzip_of(text, {PackCodec::deflate, 1, 8})}},
                                         {{"a.gz", gzip_of(text, {PackCodec::deflate, 9, 9})}});
  EXPECT_EQ(outcome.repacked, 1U);
  EXPECT_LT(outcome.delta_bytes, 150U);
}

TEST(Archive, a_renamed_gzip_file_is_paired_by_what_it_holds) {
  Bytes text = lines(6, 5000);
  const Bytes before = gzip_of(text, {});
  text[9000] ^= 1;
  const Outcome outcome = expect_rebuilt({{"log-1.gz", before}, {"other", lines(7, 100)}},
                                         {{"new/log-2.gz", gzip_of(text, {})}});
  EXPECT_EQ(outcome.repacked, 1U);
  EXPECT_LT(outcome.delta_bytes, 200U);
}

TEST(Archive, a_renamed_and_changed_member_is_paired_by_its_content) {
  std::map<std::string, Bytes> members = {{"one", lines(1, 3000)}, {"two", lines(2, 3000)}};
  const Bytes before = zip_of(members, {});
  Bytes renamed = members["two"];
  renamed[5000] ^= 1;
  members.erase("two");
  members["other/three"] = renamed;
  const Outcome outcome = expect_rebuilt({{"a.zip", before}}, {{"a.zip", zip_of(members, {})}});
  EXPECT_EQ(outcome.repacked, 1U);
  EXPECT_LT(outcome.delta_bytes, 250U);
}

TEST(Archive, members_of_a_stored_archive_are_unpacked) {
  std::map<std::string, Bytes> inner = {{"x.class", lines(1, 3000)}, {"y.class", lines(2, 3000)}};
  const Bytes before = zip_of({{"lib.zip", zip_of(inner, {})}, {"note", lines(5, 10)}}, {});
  inner["y.class"][777] ^= 1;
  const Bytes after = zip_of({{"lib.zip", zip_of(inner, {})}, {"note", lines(5, 10)}}, {});
  const Outcome outcome = expect_rebuilt({{"a.jar", before}}, {{"a.jar", after}});
  EXPECT_EQ(outcome.repacked, 1U);
  EXPECT_LT(outcome.delta_bytes, 220U);
}

TEST(Archive, of_another_compressor_stays_as_it_is) {
  const Bytes text = lines(4, 3000);
  Bytes before = gzip_of(text, {});
  Bytes changed = text;
  changed[100] ^= 1;
  // Packed in two streams that are flushed apart, as no single call does it.
  Bytes after = {0x1f, 0x8b, 8, 8, 0, 0, 0, 0, 2, 3, 'a', 0, 0, 1, 0, 0xfe, 0xff, 'l'};
  samples::append(after, packed({}, ByteView(changed).subspan(1)));
  const Outcome outcome = expect_rebuilt({{"a.gz", before}}, {{"a.gz", after}});
  EXPECT_EQ(outcome.repacked, 0U);
  EXPECT_EQ(outcome.version, kPlainVersion);
}

TEST(Archive, a_bomb_stays_packed) {
  const Bytes zeros(std::size_t{8} << 20);
  Bytes ones = zeros;
  ones[5] = 1;
  const Outcome outcome =
      expect_rebuilt({{"a.gz", gzip_of(zeros, {})}}, {{"a.gz", gzip_of(ones, {})}});
  EXPECT_EQ(outcome.repacked, 0U);
}

TEST(Archive, trees_without_archives_are_written_as_before) {
  const Outcome outcome = expect_rebuilt({{"a", lines(1, 300)}}, {{"a", lines(2, 300)}});
  EXPECT_EQ(outcome.version, kPlainVersion);
}

// A packed member beside data in which a byte was put in at more places than a reader takes.
TEST(Archive, bytes_around_a_member_take_no_more_operations_than_a_reader_does) {
  constexpr std::size_t kBlockBytes = 40;
  std::mt19937 generator(11);
  Bytes before = gzip_of(lines(1, 100), {});
  Bytes after = gzip_of(lines(2, 100), {});
  for (std::size_t i = 0; i <= kMaxOperations; ++i) {
    for (std::size_t k = 0; k < kBlockBytes; ++k) {
      before.push_back(static_cast<std::uint8_t>(generator()));
      after.push_back(before.back());
    }
    after.push_back('+');
  }
  Framer framer;
  const auto plan = plan_archive(before, after, framer);
  ASSERT_TRUE(plan);
  std::uint64_t raw_bytes = 0;
  for (const ArchivePart& part : plan->parts) {
    EXPECT_LE(part.raw.operations.size(), kMaxOperations);
    std::uint64_t made_bytes = 0;
    for (const Operation& operation : part.raw.operations) {
      made_bytes += operation.copied + operation.literal;
    }
    EXPECT_EQ(made_bytes, part.raw_bytes);
    raw_bytes += part.raw_bytes;
  }
  EXPECT_GT(raw_bytes, kMaxOperations * kBlockBytes);
}

class RefusedArchive : public testing::Test {
 protected:
  RefusedArchive() {
    std::map<std::string, Bytes> members = {{"one", lines(1, 300)}, {"two", lines(2, 300)}};
    base = std::make_unique<MemoryTree>(MemoryTree::of_files({{"a.zip", zip_of(members, {})}}));
    members["two"][100] ^= 1;
    members["one"][200] ^= 1;
    target = std::make_unique<MemoryTree>(MemoryTree::of_files({{"a.zip", zip_of(members, {})}}));
    delta = made(*base, *target);
  }
  [[nodiscard]] ErrorCode refusal(const Bytes& bytes) const {
    MemoryWriter writer(*base);
    const auto result =
        apply_delta(bytes, base->manifest(), *base, root_of(target->manifest()), kLimits, writer);
    return result ? ErrorCode::internal : result.error().code();
  }

  std::unique_ptr<MemoryTree> base;
  std::unique_ptr<MemoryTree> target;
  Bytes delta;
};

TEST_F(RefusedArchive, cut_off_anywhere) {
  for (std::size_t size = 0; size < delta.size(); ++size) {
    const Bytes cut(delta.begin(), delta.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_NE(refusal(cut), ErrorCode::internal) << size;
  }
}

TEST_F(RefusedArchive, with_a_bit_flipped_anywhere) {
  for (std::size_t i = 0; i < delta.size(); ++i) {
    Bytes damaged = delta;
    damaged[i] ^= static_cast<std::uint8_t>(1U << (i % 8));
    EXPECT_NE(refusal(damaged), ErrorCode::internal) << i;
  }
}

TEST_F(RefusedArchive, when_a_packed_member_of_the_base_was_edited) {
  Bytes& zip = base->damage("a.zip");
  for (std::size_t i = 40; i < zip.size(); i += 211) {
    zip[i] ^= 4;
    EXPECT_NE(refusal(delta), ErrorCode::internal) << i;
    zip[i] ^= 4;
  }
}

// As both sides go through a plan.
base::Result<void> coded(ByteView base, ByteView target, ArchivePlan& plan) {
  Bytes modelled;
  RangeEncoder encoder(modelled);
  SymbolCoder<RangeEncoder> symbols(encoder);
  LiteralCoder<RangeEncoder> literals(encoder, 6);
  FileCoder<RangeEncoder> files(symbols, literals, {});
  ArchiveCoder<RangeEncoder> archives(symbols, files);
  return archives.code(base, target.size(), target, plan,
                       [](ByteView) { return base::Result<void>(); });
}

TEST(Archive, settings_that_take_too_much_memory_ask_for_chunks_instead) {
  const Bytes target = lines(1, 10);
  ArchivePlan plan;
  plan.parts.emplace_back().member = MemberPlan{.settings = {PackCodec::zstd, 22, 0}};
  const auto result = coded({}, target, plan);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code(), ErrorCode::failed_precondition);
  EXPECT_THAT(result.error().message(), testing::HasSubstr("fetch chunks instead"));
}

// A delta that names the same large member of the base for every two bytes that it makes.
TEST(Archive, no_delta_makes_the_reader_unpack_without_bound) {
  const Bytes large = lines(9, 40000);
  MemoryTree base = MemoryTree::of_files({{"a.gz", gzip_of(large, {})}});
  const ByteView file = base.contents().at("a.gz");
  ArchivePlan plan;
  Bytes target = {'x'};
  constexpr std::size_t kMembers = 400;
  const Bytes one = packed({}, bytes_of("l"));
  for (std::size_t i = 0; i < kMembers; ++i) {
    ArchivePart& part = plan.parts.emplace_back();
    part.raw_bytes = i == 0 ? 1 : 0;
    if (i == 0) part.raw.operations = {{0, 0, 1}};
    part.member = MemberPlan{.has_base = true, .base_at = 12, .plain_bytes = 1};
    part.member->packed_bytes = one.size();
    part.member->contents.operations = {{0, 1, 0}};
    samples::append(target, one);
  }
  const auto result = coded(file, target, plan);
  ASSERT_FALSE(result);  // both sides count in the same way
  EXPECT_EQ(result.error().code(), ErrorCode::resource_exhausted);
}

// Archives that change as a build changes them.
class RandomArchives : public testing::TestWithParam<unsigned> {};

TEST_P(RandomArchives, are_rebuilt_exactly) {
  std::mt19937 generator(GetParam());
  const auto below = [&](std::size_t bound) { return generator() % bound; };
  std::map<std::string, Bytes> members;
  for (std::size_t i = 0; i < 1 + below(8); ++i) {
    members[fmt::format("m{}", i)] = lines(GetParam() + static_cast<unsigned>(i), below(400));
  }
  const auto archives = [&] {
    const PackSettings settings{PackCodec::deflate, static_cast<std::uint8_t>(1 + below(9)),
                                static_cast<std::uint8_t>(8 + below(2))};
    std::map<std::string, Bytes> files;
    files["app.jar"] = zip_of(members, settings);
    files["fat.jar"] = zip_of({{"lib.zip", files["app.jar"]}, {"x", members.begin()->second}}, {});
    files["notes.gz"] = gzip_of(members.begin()->second, settings);
    files["data.zst"] = packed({PackCodec::zstd, static_cast<std::uint8_t>(1 + below(5)), 3},
                               members.rbegin()->second);
    if (below(3) == 0) files["app.jar"].resize(below(files["app.jar"].size() + 1));
    if (below(3) == 0 && !files["fat.jar"].empty()) files["fat.jar"][below(90)] ^= 1;
    return files;
  };
  auto before = archives();
  for (int step = 0; step < 3; ++step) {
    for (std::size_t i = 0; i < 1 + below(4); ++i) {
      auto member = members.begin();
      std::advance(member, below(members.size()));
      Bytes& bytes = member->second;
      switch (below(5)) {
        case 0:
          members[fmt::format("n{}", below(9))] = bytes;
          break;
        case 1:
          if (members.size() > 1) members.erase(member);
          break;
        case 2:
          bytes.resize(below(bytes.size() + 1));
          break;
        default:
          samples::append(bytes, lines(static_cast<unsigned>(generator()), below(30)));
          if (!bytes.empty()) bytes[below(bytes.size())] ^= 1;
      }
    }
    auto after = archives();
    expect_rebuilt(before, after);
    before = std::move(after);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomArchives, testing::Range(0U, 20U));

}  // namespace
}  // namespace segue::delta
