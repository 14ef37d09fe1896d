// SPDX-License-Identifier: Apache-2.0
#include "traffic/haproxy_weights.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace segue::traffic {
namespace {

constexpr WeightedServer stable(std::uint32_t weight) {
  return {weight, false, true};
}
constexpr WeightedServer canary(std::uint32_t weight) {
  return {weight, true, true};
}

double share_of(const std::vector<WeightedServer>& servers, const ChosenWeights& chosen) {
  double part = 0;
  double whole = 0;
  for (std::size_t i = 0; i < servers.size(); ++i) {
    if (!servers[i].counts) continue;
    whole += chosen.weights[i];
    if (servers[i].is_canary) part += chosen.weights[i];
  }
  return whole == 0 ? 0 : part / whole;
}

TEST(HaproxyWeights, come_as_near_to_the_share_as_two_servers_allow) {
  const std::vector<WeightedServer> servers = {stable(100), canary(0)};
  for (std::uint32_t share_ppm = 1'000; share_ppm < kWholePpm; share_ppm += 999) {
    const auto chosen = choose_weights(servers, share_ppm);
    const double wanted = share_ppm / 1e6;
    double best = 1;
    for (int s = 1; s <= 256; ++s) {
      for (int c = 1; c <= 256; ++c) best = std::min(best, std::abs(c / double(c + s) - wanted));
    }
    EXPECT_NEAR(std::abs(chosen.share - wanted), best, 1e-12) << share_ppm;
  }
}

TEST(HaproxyWeights, none_and_all_are_exact) {
  const std::vector<WeightedServer> servers = {stable(100), stable(50), canary(0), canary(7)};
  EXPECT_EQ(choose_weights(servers, 0).weights, (std::vector<std::uint32_t>{100, 50, 0, 0}));
  const auto all = choose_weights(servers, kWholePpm);
  EXPECT_EQ(all.weights[0] + all.weights[1], 0U);
  EXPECT_EQ(all.share, 1.0);
}

TEST(HaproxyWeights, servers_of_a_kind_keep_their_proportions) {
  const std::vector<WeightedServer> servers = {stable(100), stable(50), stable(25), canary(10),
                                               canary(30)};
  const auto chosen = choose_weights(servers, 100'000);
  EXPECT_NEAR(chosen.share, 0.1, 0.005);
  EXPECT_NEAR(chosen.weights[0] / double(chosen.weights[1]), 2, 0.1);
  EXPECT_NEAR(chosen.weights[0] / double(chosen.weights[2]), 4, 0.3);
  EXPECT_NEAR(chosen.weights[4] / double(chosen.weights[3]), 3, 0.5);
}

TEST(HaproxyWeights, a_small_share_is_never_nothing) {
  const auto chosen = choose_weights({stable(1), canary(1)}, 1);
  EXPECT_EQ(chosen.weights, (std::vector<std::uint32_t>{256, 1}));
  const auto nearly = choose_weights({stable(1), canary(1)}, kWholePpm - 1);
  EXPECT_EQ(nearly.weights, (std::vector<std::uint32_t>{1, 256}));
}

TEST(HaproxyWeights, what_an_operator_has_set_to_nothing_stays_so) {
  const auto chosen = choose_weights({stable(100), stable(0), canary(0)}, 500'000);
  EXPECT_EQ(chosen.weights[1], 0U);
  EXPECT_EQ(chosen.weights[0], chosen.weights[2]);
}

TEST(HaproxyWeights, any_backend_gets_weights_that_haproxy_takes) {
  std::mt19937 generator(1);
  const auto number = [&](std::uint32_t below) {
    return static_cast<std::uint32_t>(generator() % below);
  };
  for (int i = 0; i < 300; ++i) {
    std::vector<WeightedServer> servers;
    const std::uint32_t count = 1 + number(12);
    for (std::uint32_t k = 0; k < count; ++k) {
      servers.push_back({number(257), number(3) == 0, number(5) != 0});
    }
    const std::uint32_t share_ppm = number(kWholePpm + 1);
    const auto chosen = choose_weights(servers, share_ppm);
    ASSERT_EQ(chosen.weights.size(), servers.size());
    for (const auto weight : chosen.weights) EXPECT_LE(weight, kMaxProxyWeight);
    EXPECT_NEAR(chosen.share, share_of(servers, chosen), 1e-12);
    EXPECT_EQ(choose_weights(servers, share_ppm).weights, chosen.weights);
  }
}

}  // namespace
}  // namespace segue::traffic
