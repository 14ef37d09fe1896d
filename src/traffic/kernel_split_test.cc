// SPDX-License-Identifier: Apache-2.0
// The programs run in the kernel in split_group_test.cc; here is what they are made of.
#include "traffic/kernel_split.h"

#include <gtest/gtest.h>

#include <set>

#include "traffic/test_sockets.h"

namespace segue::traffic {
namespace {

AddressBytes client(std::uint32_t number) {
  return {10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
          static_cast<std::uint8_t>(number)};
}

double canary_part(const ShareRule& rule, std::uint32_t clients) {
  std::uint32_t count = 0;
  for (std::uint32_t i = 0; i < clients; ++i) count += is_canary_source(client(i), rule) ? 1U : 0U;
  return count / static_cast<double>(clients);
}

TEST(KernelSplit, none_and_all_leave_nothing_to_chance) {
  for (const Pick pick : {Pick::random, Pick::source}) {
    const auto none = split_program({0, pick, 7}, {3, 5});
    ASSERT_EQ(none.size(), 1U);
    EXPECT_EQ(none.front().k, 3U);
    const auto all = split_program({kWholePpm, pick, 7}, {3, 5});
    ASSERT_EQ(all.size(), 1U);
    EXPECT_EQ(all.front().k, 5U);
  }
}

TEST(KernelSplit, a_neighbourhood_of_addresses_is_split_as_wanted) {
  constexpr std::uint32_t kClients = 100'000;
  for (const std::uint32_t share_ppm : {1'000U, 10'000U, 100'000U, 500'000U, 990'000U}) {
    for (const std::uint32_t salt : {0U, 1U, 0xDEADBEEFU}) {
      const double part = canary_part({share_ppm, Pick::source, salt}, kClients);
      EXPECT_NEAR(part, share_ppm / 1e6, 0.005) << share_ppm << " " << salt;
    }
  }
}

TEST(KernelSplit, a_growing_share_only_adds_clients) {
  for (std::uint32_t i = 0; i < 20'000; ++i) {
    bool was = false;
    for (const std::uint32_t share_ppm : {0U, 1'000U, 10'000U, 100'000U, 500'000U, kWholePpm}) {
      const bool is = is_canary_source(client(i), {share_ppm, Pick::source, 42});
      EXPECT_TRUE(is || !was) << i << " lost the canary at " << share_ppm;
      was = is;
    }
    EXPECT_TRUE(was);
  }
}

TEST(KernelSplit, another_salt_puts_other_clients_first) {
  constexpr std::uint32_t kClients = 100'000;
  std::uint32_t both = 0;
  for (std::uint32_t i = 0; i < kClients; ++i) {
    both += is_canary_source(client(i), {100'000, Pick::source, 1}) &&
                    is_canary_source(client(i), {100'000, Pick::source, 2})
                ? 1U
                : 0U;
  }
  EXPECT_NEAR(both / double{kClients}, 0.01, 0.002) << "a tenth of a tenth, by chance";
}

TEST(KernelSplit, the_addresses_of_one_ipv6_network_are_one_client) {
  const auto hash = [](const char* text) { return source_hash(address_bytes(text), 9); };
  EXPECT_EQ(hash("2001:db8:1:2::1"), hash("2001:db8:1:2:ffff::9"));
  EXPECT_NE(hash("2001:db8:1:2::1"), hash("2001:db8:1:3::1"));
  EXPECT_NE(hash("2001:db8:1:2::1"), hash("2001:db9:1:2::1"));
}

TEST(KernelSplit, probes_may_be_as_many_as_are_allowed) {
  ProbeRoutes probes{.source = AddressBytes(16, 1), .routes = {}};
  for (std::uint16_t port = 1; port <= ProbeRoutes::kMax; ++port) {
    probes.routes.push_back({port, port});
  }
  const auto program = with_probes(probes, constant_program(0));
  for (std::size_t at = 0; at < program.size(); ++at) {
    if ((program[at].code & 0x07U) != BPF_JMP) continue;
    EXPECT_LT(at + program[at].jf + 1, program.size()) << "a jump to nowhere";
  }
}

}  // namespace
}  // namespace segue::traffic
