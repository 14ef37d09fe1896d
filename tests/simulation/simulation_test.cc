// SPDX-License-Identifier: Apache-2.0
// Thousands of fleets in trouble, each drawn from a seed. SEGUE_SIMULATION_SEED runs one of them
// with its log.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <string>

#include "simulation/world.h"

namespace segue::simulation {
namespace {

// As many tests as there may be processes beside each other.
constexpr std::uint64_t kShards = 8;
constexpr std::uint64_t kSeedsPerShard = 260;
constexpr std::uint64_t kRunTwice = 20;  // every so manieth

class Simulation : public testing::TestWithParam<std::uint64_t> {};

void check(const Result& result, std::uint64_t seed) {
  EXPECT_EQ(result.failure, "") << "seed " << seed << ": SEGUE_SIMULATION_SEED=" << seed
                                << " shows its log";
}

TEST_P(Simulation, is_safe_always_and_ends_when_the_faults_stop) {
  std::map<std::string, int> ends;
  Result sum;
  for (std::uint64_t i = 0; i < kSeedsPerShard; ++i) {
    const std::uint64_t seed = GetParam() * kSeedsPerShard + i + 1;
    const Result result = run(settings_of(seed));
    check(result, seed);
    if (testing::Test::HasFailure()) return;
    if (i % kRunTwice == 0) {
      const Result again = run(settings_of(seed));
      ASSERT_EQ(again.trace_hash, result.trace_hash) << "seed " << seed << " is not one run";
    }
    for (const auto& end : result.rollouts) ++ends[end.substr(end.find(' ') + 1)];
    sum.moves += result.moves;
    sum.renewals += result.renewals;
    sum.crashes += result.crashes;
    sum.lost += result.lost;
    sum.trace_hash ^= result.trace_hash;
  }
  fmt::print("seeds {}..{}: trace {:016x}, {} moves, {} crashes, {} messages lost;",
             GetParam() * kSeedsPerShard + 1, (GetParam() + 1) * kSeedsPerShard, sum.trace_hash,
             sum.moves, sum.crashes, sum.lost);
  for (const auto& [end, count] : ends) fmt::print(" {} {}", count, end);
  fmt::print("\n");
  // Otherwise nothing was tried.
  EXPECT_GT(ends["done"], 20);
  EXPECT_GT(ends["undone"], 20);
  EXPECT_GT(sum.renewals, 20U);
  EXPECT_GT(sum.crashes, 1'000U);
  EXPECT_GT(sum.lost, 1'000U);
}

INSTANTIATE_TEST_SUITE_P(Shards, Simulation, testing::Range(std::uint64_t{0}, kShards));

TEST(OneSeed, as_asked_for) {
  const char* seed = std::getenv("SEGUE_SIMULATION_SEED");
  if (seed == nullptr) GTEST_SKIP() << "SEGUE_SIMULATION_SEED names none";
  const std::uint64_t number = std::strtoull(seed, nullptr, 10);
  const Result result = run(settings_of(number), true);
  fmt::print("trace {:016x}, {} steps\n", result.trace_hash, result.steps);
  for (const auto& rollout : result.rollouts) fmt::print("{}\n", rollout);
  check(result, number);
}

}  // namespace
}  // namespace segue::simulation
