// SPDX-License-Identifier: Apache-2.0
#include "traffic/split_group.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "traffic/test_sockets.h"

namespace segue::traffic {
namespace {

const os::SystemClock g_clock;
constexpr ShareRule kNone{};

class SplitGroupOf : public testing::TestWithParam<const char*> {};
INSTANTIATE_TEST_SUITE_P(addresses, SplitGroupOf,
                         testing::Values("127.0.0.1", "::1", "0.0.0.0", "::"),
                         [](const auto& one) { return fmt::format("n{}", one.index); });

TEST_P(SplitGroupOf, measures_who_came_first) {
  GroupSockets sockets(GetParam());
  const int first = sockets.join();
  const int second = sockets.join();
  EXPECT_EQ(find_members(g_clock, {first, second}, constant_program(0)), (SplitMembers{0, 1}));
  EXPECT_EQ(find_members(g_clock, {second, first}, constant_program(0)), (SplitMembers{1, 0}));
  EXPECT_EQ(find_members(g_clock, {first, -1}, constant_program(0))->stable, 0U);
  EXPECT_EQ(sockets.accepted(first) + sockets.accepted(second), 0U) << "the service sees nothing";
}

TEST_P(SplitGroupOf, measures_what_the_end_of_a_member_has_changed) {
  GroupSockets sockets(GetParam());
  const int first = sockets.join();
  const int second = sockets.join();
  const int third = sockets.join();
  EXPECT_EQ(find_members(g_clock, {third, second}, constant_program(0)), (SplitMembers{2, 1}));
  sockets.leave(first);  // the last one takes its place
  EXPECT_EQ(find_members(g_clock, {third, second}, constant_program(0)), (SplitMembers{0, 1}));
}

TEST_P(SplitGroupOf, a_share_reaches_connections) {
  GroupSockets sockets(GetParam());
  const int canary = sockets.join();  // the order does not matter
  const int stable = sockets.join();
  std::optional<KnownGroup> known;
  const std::string to =
      std::string(GetParam()).find(':') == std::string::npos ? "127.0.0.1" : "::1";
  for (const std::uint32_t share_ppm : {0U, 250'000U, kWholePpm, 0U}) {
    const auto set = set_share(g_clock, {stable, canary}, {share_ppm, Pick::random, 0}, known);
    ASSERT_TRUE(set) << set.error().to_string();
    known = *set;
    constexpr int kConnections = 800;
    for (int i = 0; i < kConnections; ++i) sockets.connect_once(to);
    const auto got = static_cast<double>(sockets.accepted(canary));
    EXPECT_EQ(got + static_cast<double>(sockets.accepted(stable)), kConnections);
    if (share_ppm == 0 || share_ppm == kWholePpm) {
      EXPECT_EQ(got, kConnections * (share_ppm / 1e6));
    } else {
      // Six standard deviations are 74.
      EXPECT_NEAR(got, kConnections * (share_ppm / 1e6), 74);
    }
  }
}

TEST(SplitGroup, the_kernel_picks_the_sources_that_are_foreseen) {
  for (const char* host : {"0.0.0.0", "::"}) {
    GroupSockets sockets(host);
    const int stable = sockets.join();
    const int canary = sockets.join();
    const ShareRule rule{300'000, Pick::source, 77};
    ASSERT_TRUE(set_share(g_clock, {stable, canary}, rule, std::nullopt));
    for (int i = 1; i <= 200; ++i) {
      const std::string source = fmt::format("127.{}.{}.{}", i, i * 7 % 250, i * 31 % 250 + 1);
      sockets.connect_once("127.0.0.1", source);
      const bool is_canary = sockets.accepted(canary) == 1;
      EXPECT_EQ(is_canary, is_canary_source(address_bytes(source), rule)) << source;
      EXPECT_EQ(sockets.accepted(stable), is_canary ? 0U : 1U);
    }
  }
}

TEST(SplitGroup, the_kernel_picks_ipv6_sources_that_are_foreseen) {
  GroupSockets sockets("::1");
  const int stable = sockets.join();
  const int canary = sockets.join();
  std::optional<KnownGroup> known;
  int picked = 0;
  for (std::uint32_t salt = 0; salt < 60; ++salt) {
    const ShareRule rule{500'000, Pick::source, salt * 0x9E3779B9U};
    const auto set = set_share(g_clock, {stable, canary}, rule, known);
    ASSERT_TRUE(set) << set.error().to_string();
    known = *set;
    sockets.connect_once("::1", "::1");
    const bool is_canary = sockets.accepted(canary) == 1;
    EXPECT_EQ(is_canary, is_canary_source(address_bytes("::1"), rule)) << salt;
    EXPECT_EQ(sockets.accepted(stable), is_canary ? 0U : 1U);
    picked += is_canary ? 1 : 0;
  }
  EXPECT_GT(picked, 0);
  EXPECT_LT(picked, 60);
}

TEST(SplitGroup, probes_show_the_share_and_leave_no_connection) {
  GroupSockets sockets("127.0.0.1");
  const int stable = sockets.join();
  const int canary = sockets.join();
  constexpr std::uint32_t kProbes = 2'000;
  for (const Pick pick : {Pick::random, Pick::source}) {
    ASSERT_TRUE(set_share(g_clock, {stable, canary}, {100'000, pick, 5}, std::nullopt));
    const auto probed = probe_share(g_clock, {stable, canary}, kProbes, 1);
    ASSERT_TRUE(probed) << probed.error().to_string();
    EXPECT_EQ(probed->stable + probed->canary, kProbes);
    EXPECT_NEAR(probed->canary, kProbes / 10, 81) << "six standard deviations";
    EXPECT_EQ(sockets.accepted(stable) + sockets.accepted(canary), 0U);
  }
}

TEST(SplitGroup, a_third_socket_is_seen) {
  GroupSockets sockets("127.0.0.1");
  const int stable = sockets.join();
  const int canary = sockets.join();
  const int stranger = sockets.join();
  ASSERT_TRUE(set_share(g_clock, {stable, canary}, kNone, std::nullopt));
  ASSERT_TRUE(attach(stable, constant_program(2)));
  const auto probed = probe_share(g_clock, {stable, canary}, 10, 1);
  ASSERT_TRUE(probed);
  EXPECT_EQ(probed->elsewhere, 10U);
  // … and gets nothing, once a share is set again.
  const auto set = set_share(g_clock, {stable, canary}, {500'000, Pick::random, 0}, std::nullopt);
  ASSERT_TRUE(set) << set.error().to_string();
  sockets.connect_times(200);
  EXPECT_EQ(sockets.accepted(stranger), 0U);
}

TEST(SplitGroup, what_is_not_one_group_is_refused) {
  GroupSockets one("127.0.0.1");
  GroupSockets other("127.0.0.1");
  const int stable = one.join();
  const int canary = other.join();
  const auto set = set_share(g_clock, {stable, canary}, kNone, std::nullopt);
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code(), base::ErrorCode::failed_precondition);
  EXPECT_FALSE(have_one_address(stable, canary).value());
}

TEST(SplitGroup, nobody_gets_a_share_where_nobody_is) {
  GroupSockets sockets("127.0.0.1");
  const int stable = sockets.join();
  EXPECT_EQ(set_share(g_clock, {stable, -1}, {1, Pick::random, 0}, std::nullopt).error().code(),
            base::ErrorCode::invalid_argument);
  ASSERT_TRUE(set_share(g_clock, {stable, -1}, kNone, std::nullopt));
  sockets.connect_times(3);
  EXPECT_EQ(sockets.accepted(stable), 3U);
}

TEST(SplitGroup, known_members_are_not_measured_again) {
  GroupSockets sockets("127.0.0.1");
  const int stable = sockets.join();
  const int canary = sockets.join();
  auto known = set_share(g_clock, {stable, canary}, kNone, std::nullopt);
  ASSERT_TRUE(known);
  std::swap(known->members.stable, known->members.canary);  // wrong, and believed
  ASSERT_TRUE(set_share(g_clock, {stable, canary}, kNone, *known));
  sockets.connect_times(5);
  EXPECT_EQ(sockets.accepted(canary), 5U);
  ++known->canary_cookie;  // of another socket: not believed
  ASSERT_TRUE(set_share(g_clock, {stable, canary}, kNone, *known));
  sockets.connect_times(5);
  EXPECT_EQ(sockets.accepted(stable), 5U);
}

TEST(SplitGroup, sockets_that_share_nothing_are_refused) {
  GroupSockets sockets("127.0.0.1");
  EXPECT_TRUE(check_member(sockets.join()));
  GroupSockets alone("127.0.0.1");
  const auto checked = check_member(alone.join(false));
  ASSERT_FALSE(checked);
  EXPECT_NE(checked.error().message().find("SO_REUSEPORT"), std::string::npos);
}

}  // namespace
}  // namespace segue::traffic
