// SPDX-License-Identifier: Apache-2.0
#include "delta/large_file.h"

#include <gtest/gtest.h>

#include <random>

namespace segue::delta {
namespace {

constexpr LargeFileOptions kSmall{.min_run_bytes = 256,
                                  .near_piece_bytes = 1024,
                                  .near_window_bytes = 4096,
                                  .near_literal_bytes = 64,
                                  .far_piece_bytes = std::size_t{16} << 10,
                                  .far_window_bytes = std::size_t{64} << 10};

class LargeFile : public testing::TestWithParam<unsigned> {
 protected:
  std::size_t below(std::size_t bound) { return engine_() % bound; }
  Bytes noise(std::size_t size_bytes) {
    Bytes bytes(size_bytes);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(engine_());
    return bytes;
  }

  std::mt19937 engine_{GetParam()};
};

// How many bytes of the target the operations do not take from the base as they are.
std::size_t unexplained(ByteView base, ByteView target, const std::vector<Operation>& operations) {
  std::size_t at = 0;
  std::size_t differing = 0;
  for (const Operation& operation : operations) {
    EXPECT_LE(operation.base_at + operation.copied, base.size());
    EXPECT_LE(at + operation.copied + operation.literal, target.size());
    for (std::size_t i = 0; i < operation.copied; ++i) {
      if (base[operation.base_at + i] != target[at + i]) ++differing;
    }
    at += operation.copied + operation.literal;
    differing += operation.literal;
  }
  EXPECT_EQ(at, target.size());
  return differing;
}

std::size_t unexplained(const Bytes& base, const Bytes& target) {
  return unexplained(base, target, operations_of_large(base, target, kSmall));
}

Bytes joined(std::initializer_list<ByteView> parts) {
  Bytes all;
  for (const ByteView part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

TEST_P(LargeFile, that_did_not_change_is_one_operation) {
  const Bytes base = noise(300'000);
  const auto operations = operations_of_large(base, base, kSmall);
  ASSERT_EQ(operations.size(), 1U);
  EXPECT_EQ(operations[0].copied, base.size());
}

TEST_P(LargeFile, pays_for_what_was_inserted_removed_or_written_over) {
  const Bytes base = noise(300'000);
  const ByteView bytes = base;
  const Bytes fresh = noise(40);
  EXPECT_LE(unexplained(base, joined({bytes.first(100'000), fresh, bytes.subspan(100'000)})), 48U);
  EXPECT_LE(unexplained(base, joined({bytes.first(100'000), bytes.subspan(101'000)})), 8U);
  EXPECT_LE(unexplained(base, joined({bytes.first(100'000), fresh, bytes.subspan(100'040)})), 48U);
  EXPECT_LE(unexplained(base, joined({fresh, bytes})), 48U);
  EXPECT_EQ(unexplained(base, joined({bytes.first(200'000)})), 0U);
}

TEST_P(LargeFile, finds_what_came_from_farther_away) {
  const Bytes base = noise(100'000);
  const ByteView bytes = base;
  const Bytes moved =
      joined({bytes.subspan(30'000, 10'000), bytes.first(30'000), bytes.subspan(40'000)});
  EXPECT_LE(unexplained(base, moved), 100U);
}

TEST_P(LargeFile, is_covered_whatever_was_done_to_it) {
  const Bytes base = noise(below(50'000));
  Bytes target = base;
  for (std::size_t edits = below(30); edits > 0; --edits) {
    const std::size_t at = below(target.size() + 1);
    const auto place = target.begin() + static_cast<std::ptrdiff_t>(at);
    if (below(2) == 0) {
      const Bytes fresh = noise(below(3000));
      target.insert(place, fresh.begin(), fresh.end());
    } else {
      const std::size_t removed = below(std::min<std::size_t>(3000, target.size() - at) + 1);
      target.erase(place, place + static_cast<std::ptrdiff_t>(removed));
    }
  }
  unexplained(base, target);
  unexplained(target, base);
  unexplained({}, target);
  unexplained(base, {});
}

INSTANTIATE_TEST_SUITE_P(Seeds, LargeFile, testing::Range(0U, 6U));

}  // namespace
}  // namespace segue::delta
