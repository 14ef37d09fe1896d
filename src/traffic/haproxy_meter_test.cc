// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_meter.h"

#include <gtest/gtest.h>

namespace segue::traffic {
namespace {

const ProxyWanted kWanted{"chat", 100'000, {{.name = "c", .is_canary = true}}, {}};

ProxySeen seen(std::uint64_t pid, std::uint64_t stable, std::uint64_t canary,
               std::uint64_t stable_current = 0, std::uint64_t canary_current = 0) {
  ProxySeen result;
  result.process.pid = pid;
  ProxyServer one;
  one.name = "s";
  one.sessions = stable;
  one.current_sessions = stable_current;
  result.servers.push_back(one);
  one.name = "c";
  one.sessions = canary;
  one.current_sessions = canary_current;
  result.servers.push_back(one);
  return result;
}

TEST(HaproxyMeter, counts_what_began_after_the_first_look) {
  ProxyMeter meter;
  meter.observe(kWanted, seen(1, 5'000, 10, 400, 2));
  EXPECT_EQ(meter.moved().stable + meter.moved().canary, 0U);
  EXPECT_EQ(meter.moved().stable_current, 400U);
  meter.observe(kWanted, seen(1, 5'090, 20, 390, 12));
  EXPECT_EQ(meter.moved().stable, 90U);
  EXPECT_EQ(meter.moved().canary, 10U);
  EXPECT_EQ(meter.moved().canary_current, 12U);
}

TEST(HaproxyMeter, goes_on_counting_over_a_reload) {
  ProxyMeter meter;
  meter.observe(kWanted, seen(1, 100, 100));
  meter.observe(kWanted, seen(1, 190, 110));
  meter.observe(kWanted, seen(2, 200, 3));  // from 0, and more than before
  EXPECT_EQ(meter.moved().stable, 90U + 200U);
  EXPECT_EQ(meter.moved().canary, 10U + 3U);
  EXPECT_EQ(meter.moved().restarts, 1U);
}

TEST(HaproxyMeter, a_server_that_was_added_again_counts_from_nothing) {
  ProxyMeter meter;
  meter.observe(kWanted, seen(1, 100, 50));
  meter.observe(kWanted, seen(1, 100, 4));
  EXPECT_EQ(meter.moved().canary, 4U);
}

}  // namespace
}  // namespace segue::traffic
