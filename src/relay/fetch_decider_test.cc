// SPDX-License-Identifier: Apache-2.0
#include "relay/fetch_decider.h"

#include <gtest/gtest.h>

#include <random>

namespace segue::relay {
namespace {

using std::chrono::seconds;

constexpr base::MonotonicTime kStart{};
const SiteView kLeads{.is_settled = true, .leads = true, .leader = 0, .others = {1, 2}};
const SiteView kAlone{.is_settled = true, .leads = true, .leader = 0, .others = {}};
const SiteView kFollows{.is_settled = true, .leads = false, .leader = 1, .others = {1, 2}};

template <class T>
bool is(const FetchCommand& command) {
  return std::holds_alternative<T>(command);
}

std::optional<Source> source_of(const FetchCommand& command) {
  const auto* from = std::get_if<FetchFrom>(&command);
  return from == nullptr ? std::nullopt : std::optional(from->source);
}

constexpr Source kOrigin{Source::Kind::origin, 0};
constexpr Source kLeader{Source::Kind::leader, 1};

TEST(FetchDecider, a_follower_asks_the_leader) {
  FetchDecider decider(0);
  EXPECT_EQ(source_of(decider.next(kFollows, 0)), kLeader);
}

TEST(FetchDecider, waits_while_it_is_not_known_who_leads) {
  SiteView unsettled = kFollows;
  unsettled.is_settled = false;
  FetchDecider decider(0);
  EXPECT_TRUE(is<Wait>(decider.next(unsettled, 0)));
}

TEST(FetchDecider, a_leader_asks_the_members_and_takes_the_longest_beginning) {
  FetchDecider decider(100);
  EXPECT_TRUE(is<AskMembers>(decider.next(kLeads, 100)));
  EXPECT_EQ(source_of(decider.on_kept({{1, 500}, {2, 900}}, 100)),
            (Source{Source::Kind::kept_by_member, 2}));
  EXPECT_TRUE(is<Wait>(decider.on_ended(FetchEnd::broken, 800, kStart)));
  EXPECT_EQ(source_of(decider.next(kLeads, 900)), kOrigin);
}

TEST(FetchDecider, a_leader_goes_to_the_line_when_nobody_has_more) {
  FetchDecider decider(100);
  decider.next(kLeads, 100);
  EXPECT_EQ(source_of(decider.on_kept({{1, 100}, {2, 7}}, 100)), kOrigin);
  EXPECT_EQ(source_of(FetchDecider(0).next(kAlone, 0)), kOrigin);
}

TEST(FetchDecider, who_becomes_the_leader_asks_the_members_first) {
  FetchDecider decider(0);
  decider.next(kFollows, 0);
  decider.on_ended(FetchEnd::broken, 50, kStart);
  EXPECT_TRUE(is<AskMembers>(decider.next(kLeads, 50)));
}

TEST(FetchDecider, wrong_bytes_of_one_source_are_its_fault) {
  FetchDecider decider(0);
  decider.next(kFollows, 0);
  EXPECT_TRUE(is<Check>(decider.on_ended(FetchEnd::whole, 100, kStart)));
  EXPECT_TRUE(is<StartAnew>(decider.on_checked(false)));
  EXPECT_EQ(decider.blamed(), kLeader);
  EXPECT_TRUE(is<AskMembers>(decider.next(kFollows, 0)));
  EXPECT_EQ(decider.blamed(), std::nullopt);
  EXPECT_EQ(source_of(decider.on_kept({{1, 1'000}}, 0)), kOrigin) << "not the bad one again";
  decider.on_ended(FetchEnd::whole, 100, kStart);
  EXPECT_TRUE(is<Done>(decider.on_checked(true)));
}

TEST(FetchDecider, wrong_bytes_of_several_connections_are_fetched_anew_without_blame) {
  FetchDecider decider(40);  // from who knows whom
  decider.next(kFollows, 40);
  decider.on_ended(FetchEnd::whole, 60, kStart);
  EXPECT_TRUE(is<StartAnew>(decider.on_checked(false)));
  EXPECT_EQ(decider.blamed(), std::nullopt);
  EXPECT_EQ(source_of(decider.next(kFollows, 0)), kLeader);
}

// It gives all bytes without saying that they are all; the origin then only says so.
TEST(FetchDecider, wrong_bytes_of_a_member_are_not_the_fault_of_the_origin_that_adds_none) {
  FetchDecider decider(0);
  decider.next(kLeads, 0);
  const Source liar{Source::Kind::kept_by_member, 2};
  EXPECT_EQ(source_of(decider.on_kept({{2, 1'000}}, 0)), liar);
  EXPECT_TRUE(is<Wait>(decider.on_ended(FetchEnd::broken, 1'000, kStart)));
  EXPECT_EQ(source_of(decider.next(kLeads, 1'000)), kOrigin);
  EXPECT_TRUE(is<Check>(decider.on_ended(FetchEnd::whole, 0, kStart)));
  EXPECT_TRUE(is<StartAnew>(decider.on_checked(false)));
  EXPECT_EQ(decider.blamed(), liar);
  EXPECT_EQ(source_of(decider.next(kLeads, 0)), kOrigin);
}

TEST(FetchDecider, a_member_that_cuts_an_object_short_gets_nobody_else_blamed) {
  FetchDecider decider(0);
  decider.next(kAlone, 0);
  decider.on_ended(FetchEnd::broken, 500, kStart);
  EXPECT_EQ(source_of(decider.next(kFollows, 500)), kLeader);
  decider.on_ended(FetchEnd::whole, 0, kStart);
  EXPECT_TRUE(is<StartAnew>(decider.on_checked(false)));
  EXPECT_EQ(decider.blamed(), std::nullopt);
}

TEST(FetchDecider, an_origin_with_other_bytes_is_not_asked_for_ever) {
  FetchDecider decider(0);
  decider.next(kAlone, 0);
  decider.on_ended(FetchEnd::whole, 100, kStart);
  decider.on_checked(false);
  const auto last = decider.next(kAlone, 0);
  ASSERT_TRUE(is<GiveUp>(last));
  EXPECT_FALSE(std::get<GiveUp>(last).is_absent);
}

TEST(FetchDecider, what_the_origin_does_not_have_is_absent_but_not_what_a_leader_denies) {
  FetchDecider decider(0);
  decider.next(kFollows, 0);
  EXPECT_TRUE(is<Wait>(decider.on_ended(FetchEnd::absent, 0, kStart)));
  decider.next(kFollows, 0);
  EXPECT_EQ(source_of(decider.on_kept({}, 0)), kOrigin);
  const auto last = decider.on_ended(FetchEnd::absent, 0, kStart);
  ASSERT_TRUE(is<GiveUp>(last));
  EXPECT_TRUE(std::get<GiveUp>(last).is_absent);
}

TEST(FetchDecider, tries_the_line_again_for_ever_but_ever_more_seldom) {
  FetchDecider decider(0);
  base::MonotonicTime now = kStart;
  base::Duration last{};
  for (int i = 0; i < 50; ++i) {
    ASSERT_EQ(source_of(decider.next(kAlone, 0)), kOrigin);
    const auto command = decider.on_ended(FetchEnd::broken, 0, now);
    ASSERT_TRUE(is<Wait>(command));
    const auto wait = std::get<Wait>(command).duration;
    ASSERT_GE(wait, std::max(last, FetchDecider::kFirstWait));
    ASSERT_LE(wait, FetchDecider::kMaxWait);
    last = wait;
    now += wait;
  }
  EXPECT_EQ(last, FetchDecider::kMaxWait);
  decider.next(kAlone, 0);
  EXPECT_EQ(std::get<Wait>(decider.on_ended(FetchEnd::broken, 1, now)).duration,
            FetchDecider::kFirstWait);
}

TEST(FetchDecider, a_leader_that_gives_nothing_is_passed_by_and_what_is_here_stays) {
  FetchDecider decider(0);
  decider.next(kFollows, 0);
  EXPECT_TRUE(is<Wait>(decider.on_ended(FetchEnd::withheld, 70, kStart)));
  EXPECT_EQ(decider.blamed(), kLeader);
  EXPECT_TRUE(is<AskMembers>(decider.next(kFollows, 70)));
}

TEST(FetchDecider, a_leader_that_fails_again_and_again_is_passed_by_without_blame) {
  FetchDecider decider(0);
  for (int i = 0; i < 3 * FetchDecider::kMaxNothing; ++i) {  // slow, but it goes on
    ASSERT_EQ(source_of(decider.next(kFollows, 0)), kLeader);
    ASSERT_TRUE(is<Wait>(decider.on_ended(FetchEnd::broken, i % 2 == 0 ? 0 : 1, kStart)));
  }
  for (int i = 0; i < FetchDecider::kMaxNothing; ++i) {
    ASSERT_EQ(source_of(decider.next(kFollows, 0)), kLeader) << i;
    ASSERT_TRUE(is<Wait>(decider.on_ended(FetchEnd::broken, i == 0 ? 1 : 0, kStart)));
    EXPECT_EQ(decider.blamed(), std::nullopt);
  }
  ASSERT_EQ(source_of(decider.next(kFollows, 0)), kLeader);
  decider.on_ended(FetchEnd::broken, 0, kStart);
  EXPECT_EQ(decider.blamed(), std::nullopt);
  EXPECT_TRUE(is<AskMembers>(decider.next(kFollows, 0)));
  EXPECT_EQ(source_of(decider.on_kept({{1, 500}}, 0)), kOrigin);
}

TEST(FetchDecider, who_says_not_to_lead_is_asked_only_so_often) {
  FetchDecider decider(0);
  for (int i = 0; i < FetchDecider::kMaxNotLeader; ++i) {
    ASSERT_EQ(source_of(decider.next(kFollows, 0)), kLeader);
    decider.on_ended(FetchEnd::not_leader, 0, kStart);
  }
  EXPECT_TRUE(is<AskMembers>(decider.next(kFollows, 0)));
}

TEST(FetchDecider, who_leads_waits_for_no_other_relay_however_much_it_gave) {
  FetchDecider decider(0);
  decider.next(kFollows, 0);
  EXPECT_FALSE(decider.is_over(kFollows, 0));
  EXPECT_TRUE(decider.is_over(kLeads, 0));
  EXPECT_TRUE(decider.is_over(kLeads, 500));
  SiteView led_by_2 = kFollows;
  led_by_2.leader = 2;
  EXPECT_TRUE(decider.is_over(led_by_2, 0));
  EXPECT_FALSE(decider.is_over(led_by_2, 500)) << "what it has, it goes on giving";
  SiteView without_1 = led_by_2;
  without_1.others = {2};
  EXPECT_TRUE(decider.is_over(without_1, 500));
}

TEST(FetchDecider, who_leads_no_more_leaves_the_line_unless_it_passed_the_leader_by) {
  FetchDecider decider(0);
  decider.next(kAlone, 0);
  EXPECT_TRUE(decider.is_over(kFollows, 500));
  FetchDecider passing(0);
  passing.next(kFollows, 0);
  passing.on_ended(FetchEnd::withheld, 0, kStart);
  passing.next(kFollows, 0);
  EXPECT_EQ(source_of(passing.on_kept({}, 0)), kOrigin);
  EXPECT_FALSE(passing.is_over(kFollows, 500));
}

// Relays whose views of the site change one by one, and differ: whom each of them asks for the
// object, in turn, always ends at the line.
class Chains : public testing::TestWithParam<unsigned> {};

TEST_P(Chains, of_relays_that_ask_each_other_end_at_the_line) {
  constexpr std::size_t kRelays = 4;
  std::mt19937 generator(GetParam());
  const auto below = [&](std::uint64_t bound) { return generator() % bound; };
  struct Relay {
    FetchDecider decider{0};
    SiteView view;
    std::optional<std::size_t> asks;
    std::uint64_t got = 0;
  };
  std::vector<Relay> relays(kRelays);
  for (std::size_t self = 0; self < kRelays; ++self) {
    for (std::size_t other = 0; other < kRelays; ++other) {
      if (other != self) relays[self].view.others.push_back(other);
    }
  }
  for (int step = 0; step < 200; ++step) {
    const std::size_t self = below(kRelays);
    Relay& relay = relays[self];
    relay.view.leader = below(kRelays);
    relay.view.leads = relay.view.leader == self;
    if (relay.decider.is_over(relay.view, relay.got)) relay.asks.reset();
    if (relay.asks) {
      relay.got += below(2);
    } else {
      relay.got = 0;
      auto command = relay.decider.next(relay.view, 0);
      if (is<AskMembers>(command)) command = relay.decider.on_kept({}, 0);
      const auto source = source_of(command);
      ASSERT_TRUE(source);
      if (source->kind == Source::Kind::leader) {
        if (relays[source->member].view.leads) {
          relay.asks = source->member;
        } else {  // it says so
          relay.decider = FetchDecider(0);
        }
      }
    }
    std::optional<std::size_t> last = self;
    for (std::size_t length = 0; last && relays[*last].asks; ++length) {
      ASSERT_LT(length, kRelays) << "they wait for each other";
      last = relays[*last].asks;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Chains, testing::Range(1U, 101U));

TEST(FetchDecider, an_origin_that_says_not_to_lead_is_no_member) {
  FetchDecider decider(0);
  const SiteView leads{.is_settled = true, .leads = true, .leader = 1, .others = {}};
  for (int i = 0; i < 2 * FetchDecider::kMaxNotLeader; ++i) {
    ASSERT_EQ(source_of(decider.next(leads, 0)), kOrigin);
    ASSERT_TRUE(is<Wait>(decider.on_ended(FetchEnd::not_leader, 0, kStart)));
  }
  const SiteView follows{.is_settled = true, .leads = false, .leader = 0, .others = {0}};
  EXPECT_EQ(source_of(decider.next(follows, 0)), (Source{Source::Kind::leader, 0}));
}

// Members that lie in every way, leaders that come and go, lines that break: as long as the origin
// has the object and is honest, it arrives; nothing is asked more than a bounded number of times.
class Fetches : public testing::TestWithParam<unsigned> {};

TEST_P(Fetches, end_with_the_right_bytes_whatever_members_do) {
  constexpr std::uint64_t kSize = 1'000;
  std::mt19937 generator(GetParam());
  const auto below = [&](std::uint64_t bound) { return generator() % bound; };
  std::uint64_t held = below(3) == 0 ? below(kSize) : 0;
  bool is_good = held == 0 || below(2) == 0;
  FetchDecider decider(held);
  base::MonotonicTime now = kStart;
  const auto view = [&]() -> SiteView {
    switch (below(4)) {
      case 0:
        return kLeads;
      case 1:
        return kAlone;
      default:
        return kFollows;
    }
  };
  FetchCommand command = decider.next(view(), held);
  int steps = 0;
  for (; !is<Done>(command); ++steps) {
    ASSERT_LT(steps, 5'000);
    ASSERT_FALSE(is<GiveUp>(command)) << "the origin has it";
    if (is<AskMembers>(command)) {
      command = decider.on_kept({{1, below(2 * kSize)}, {2, below(2 * kSize)}}, held);
    } else if (is<Wait>(command)) {
      now += std::get<Wait>(command).duration;
      command = decider.next(view(), held);
    } else if (is<StartAnew>(command)) {
      held = 0;
      is_good = true;
      command = decider.next(view(), held);
    } else if (is<Check>(command)) {
      ASSERT_EQ(held, kSize);
      command = decider.on_checked(is_good);
    } else {
      const Source source = *source_of(command);
      const bool is_honest = source == kOrigin;
      const std::uint64_t got = held < kSize ? below(kSize - held + 1) : 0;
      if (!is_honest && below(3) == 0) {  // another answer than bytes
        constexpr FetchEnd kLies[] = {FetchEnd::absent, FetchEnd::not_leader, FetchEnd::broken,
                                      FetchEnd::wrong,  FetchEnd::no_range,   FetchEnd::withheld};
        command = decider.on_ended(kLies[below(6)], 0, now);
        continue;
      }
      if (!is_honest && got > 0 && below(2) == 0) is_good = false;
      held += got;
      // Who gives all of it may leave it open whether there is more.
      const bool is_whole = held == kSize && (is_honest || below(2) == 0);
      command = decider.on_ended(is_whole ? FetchEnd::whole : FetchEnd::broken, got, now);
    }
  }
  EXPECT_TRUE(is_good);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Fetches, testing::Range(1U, 301U));

}  // namespace
}  // namespace segue::relay
