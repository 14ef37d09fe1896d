// SPDX-License-Identifier: Apache-2.0
#include "relay/election.h"

#include <gtest/gtest.h>

#include <random>

namespace segue::relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::MonotonicTime kStart{};
constexpr base::Duration kSettled = Election::kDeadAfter;

TEST(Election, waits_at_first_until_all_were_heard_or_had_time_to_answer) {
  Election election(1, 3, kStart);
  EXPECT_EQ(election.leader(kStart), std::nullopt);
  election.answered(0, {}, kStart + seconds(1));
  EXPECT_EQ(election.leader(kStart + seconds(1)), std::nullopt);
  election.answered(2, {}, kStart + seconds(1));
  EXPECT_EQ(election.leader(kStart + seconds(1)), 0U);
  EXPECT_EQ(Election(1, 3, kStart).leader(kStart + kSettled), 1U);
}

TEST(Election, who_refuses_at_the_start_may_be_about_to_begin) {
  Election election(1, 2, kStart);
  election.refused(0);
  EXPECT_EQ(election.leader(kStart), std::nullopt);
  election.refused(0);
  EXPECT_EQ(election.leader(kStart + seconds(1)), 1U);
}

TEST(Election, one_alone_leads_at_once) {
  EXPECT_EQ(Election(0, 1, kStart).leader(kStart), 0U);
}

TEST(Election, silence_counts_as_death_only_after_three_missed_answers) {
  Election election(1, 2, kStart);
  election.answered(0, {}, kStart + seconds(10));
  EXPECT_EQ(election.leader(kStart + seconds(13)), 0U);
  EXPECT_EQ(election.leader(kStart + seconds(10) + Election::kDeadAfter), 1U);
}

TEST(Election, a_refused_connection_counts_at_once) {
  Election election(1, 2, kStart);
  election.answered(0, {.leads = true, .is_busy = true}, kStart + seconds(10));
  election.refused(0);
  EXPECT_EQ(election.leader(kStart + seconds(10)), 1U);
}

TEST(Election, who_fetches_over_the_line_goes_on_when_an_earlier_one_comes_back) {
  const auto now = kStart + seconds(60);
  Election earlier(0, 3, kStart);
  earlier.answered(1, {.leads = true, .is_busy = true}, now);
  earlier.answered(2, {}, now);
  EXPECT_EQ(earlier.leader(now), 1U);
  earlier.answered(1, {.leads = true, .is_busy = false}, now + seconds(1));
  EXPECT_EQ(earlier.leader(now + seconds(1)), 0U);

  Election busy(1, 3, kStart);
  busy.answered(0, {}, now);
  busy.set_busy(true);
  EXPECT_EQ(busy.leader(now), 1U);
  busy.set_busy(false);
  EXPECT_EQ(busy.leader(now), 0U);
}

TEST(Election, of_two_that_lead_after_a_partition_the_first_goes_on) {
  const auto now = kStart + seconds(60);
  Election second(1, 2, kStart);
  second.set_busy(true);
  second.answered(0, {.leads = true, .is_busy = true}, now);
  EXPECT_EQ(second.leader(now), 0U);
}

TEST(Election, who_can_keep_nothing_leads_only_if_nobody_can) {
  Election election(1, 3, kStart);
  election.answered(0, {.leads = true, .is_busy = true, .is_able = false}, kStart);
  election.answered(2, {}, kStart);
  EXPECT_EQ(election.leader(kStart), 1U);
  election.set_able(false);
  EXPECT_EQ(election.leader(kStart), 2U);
  election.answered(2, {.is_able = false}, kStart);
  EXPECT_EQ(election.leader(kStart), 0U);
  election.set_able(true);
  EXPECT_EQ(election.leader(kStart), 1U);
}

TEST(Election, who_is_not_trusted_does_not_lead_for_a_while) {
  const auto now = kStart + seconds(60);
  Election election(1, 2, kStart);
  election.answered(0, {.leads = true, .is_busy = true}, now);
  election.distrust(0, now);
  EXPECT_EQ(election.leader(now), 1U);
  election.answered(0, {}, now + Election::kDistrust);
  EXPECT_EQ(election.leader(now + Election::kDistrust), 0U);
}

// A site in which members die, come back, are cut off from each other and become busy at random.
// Once that ends, all of the living agree within the time that a death takes to be noticed.
class Sites : public testing::TestWithParam<unsigned> {};

TEST_P(Sites, agree_once_it_is_quiet) {
  constexpr std::size_t kMembers = 5;
  constexpr int kRounds = 120;
  constexpr int kQuiet = 30;
  std::mt19937 generator(GetParam());
  std::vector<Election> members;
  for (std::size_t i = 0; i < kMembers; ++i) members.emplace_back(i, kMembers, kStart);
  std::vector<bool> is_alive(kMembers, true);
  std::vector<bool> wants_line(kMembers, false);
  const auto chance = [&](unsigned percent) { return generator() % 100 < percent; };
  for (int round = 0; round < kRounds; ++round) {
    const auto now = kStart + Election::kAskInterval * round;
    const bool is_quiet = round >= kRounds - kQuiet;
    for (std::size_t i = 0; i < kMembers && !is_quiet; ++i) {
      if (chance(10)) {
        is_alive[i] = !is_alive[i];
        if (is_alive[i]) members[i] = Election(i, kMembers, now);
      }
      wants_line[i] = chance(40);
    }
    for (std::size_t i = 0; i < kMembers; ++i) {
      const bool leads = members[i].leader(now) == i;
      members[i].set_busy(leads && wants_line[i]);
    }
    for (std::size_t from = 0; from < kMembers; ++from) {
      const bool leads = members[from].leader(now) == from;
      for (std::size_t to = 0; to < kMembers; ++to) {
        if (from == to || !is_alive[to] || (!is_quiet && chance(20))) continue;
        if (is_alive[from]) {
          members[to].answered(from, {.leads = leads, .is_busy = leads && wants_line[from]}, now);
        } else if (chance(50)) {
          members[to].refused(from);
        }
      }
    }
  }
  const auto end = kStart + Election::kAskInterval * kRounds - milliseconds(500);
  std::optional<std::size_t> agreed;
  for (std::size_t i = 0; i < kMembers; ++i) {
    if (!is_alive[i]) continue;
    const auto leader = members[i].leader(end);
    ASSERT_TRUE(leader) << "member " << i;
    ASSERT_TRUE(is_alive[*leader]) << "member " << i << " follows " << *leader;
    ASSERT_EQ(agreed.value_or(*leader), *leader) << "member " << i;
    agreed = leader;
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Sites, testing::Range(1U, 101U));

}  // namespace
}  // namespace segue::relay
