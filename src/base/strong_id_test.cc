// SPDX-License-Identifier: Apache-2.0
#include "base/strong_id.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <unordered_set>

namespace segue::base {
namespace {

using HostId = StrongId<struct HostTag, std::string>;
using Epoch = StrongId<struct EpochTag, std::uint64_t>;
using Generation = StrongId<struct GenerationTag, std::uint64_t>;

static_assert(!std::is_convertible_v<std::uint64_t, Epoch>);
static_assert(!std::is_convertible_v<Epoch, std::uint64_t>);
static_assert(!std::is_constructible_v<Epoch, Generation>);

TEST(StrongId, compares_hashes_and_prints_like_its_value) {
  EXPECT_LT(Epoch(1), Epoch(2));
  EXPECT_EQ(HostId("a"), HostId("a"));
  EXPECT_EQ(fmt::format("{} {}", HostId("a"), Epoch(7)), "a 7");
  const std::unordered_set<HostId> hosts{HostId("a"), HostId("b"), HostId("a")};
  EXPECT_EQ(hosts.size(), 2U);
}

}  // namespace
}  // namespace segue::base
