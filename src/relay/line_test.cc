// SPDX-License-Identifier: Apache-2.0
// What the line's deciders allow: the bucket, the rates by time of day, whose turn it is.
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "plans/system_zones.h"
#include "relay/line_bucket.h"
#include "relay/line_rates.h"
#include "relay/rate_meter.h"
#include "relay/transfer_queue.h"

namespace segue::relay {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr base::MonotonicTime kStart{};

TEST(LineBucket, without_a_rate_gives_everything) {
  LineBucket bucket;
  EXPECT_EQ(bucket.take(1'000'000, kStart), 1'000'000U);
  EXPECT_EQ(bucket.next_at(1, kStart), kStart);
}

TEST(LineBucket, at_the_rate_0_gives_nothing_and_says_so) {
  LineBucket bucket;
  bucket.set_rate(0, kStart);
  EXPECT_EQ(bucket.take(1, kStart + seconds(100)), 0U);
  EXPECT_EQ(bucket.next_at(1, kStart + seconds(100)), std::nullopt);
}

TEST(LineBucket, what_was_saved_up_is_no_more_than_a_burst) {
  LineBucket bucket;
  bucket.set_rate(125'000, kStart);
  EXPECT_EQ(bucket.burst_bytes(), 6'250U);
  EXPECT_EQ(bucket.take(1'000'000, kStart + seconds(3'600)), 6'250U);
  bucket.set_rate(1'000, kStart + seconds(3'600));
  EXPECT_EQ(bucket.burst_bytes(), LineBucket::kMinBurstBytes);
}

TEST(LineBucket, what_came_unasked_is_paid_back) {
  LineBucket bucket;
  bucket.set_rate(10'000, kStart);
  bucket.charge(5'000, kStart);
  const auto at = bucket.next_at(1'000, kStart);
  ASSERT_TRUE(at);
  EXPECT_GT(*at, kStart + milliseconds(500));
  EXPECT_EQ(bucket.take(1, kStart + milliseconds(500)), 0U);
  EXPECT_GE(bucket.take(1'000, *at), 1'000U);
}

class Buckets : public testing::TestWithParam<unsigned> {};

TEST_P(Buckets, never_give_more_than_the_rate_and_one_burst_nor_less_when_they_are_asked) {
  std::mt19937_64 generator(GetParam());
  const std::uint64_t rate = 1'000 + generator() % 1'000'000;
  LineBucket bucket;
  bucket.set_rate(rate, kStart);
  base::MonotonicTime now = kStart;
  std::uint64_t given = 0;
  for (int i = 0; i < 2'000; ++i) {
    const std::uint64_t wanted = 1 + generator() % 65'536;
    const auto at = bucket.next_at(wanted, now);
    ASSERT_TRUE(at);
    if (*at > now && generator() % 4 == 0) {  // too early: gets less than a packet
      ASSERT_LT(bucket.take(wanted, now), 1'501U);
      continue;
    }
    now = std::max(now, *at);
    const std::uint64_t got = bucket.take(wanted, now);
    ASSERT_GE(got, 1U);
    const std::uint64_t unused = generator() % 8 == 0 ? generator() % (got + 1) : 0;
    bucket.give_back(unused);
    given += got - unused;
    const double seconds_passed = std::chrono::duration<double>(now - kStart).count();
    ASSERT_LE(static_cast<double>(given), seconds_passed * static_cast<double>(rate) +
                                              2.0 * static_cast<double>(bucket.burst_bytes()) + 1);
    if (generator() % 16 == 0) now += milliseconds(generator() % 100);
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, Buckets, testing::Range(1U, 51U));

TEST(LineRates, are_read_as_people_write_them) {
  EXPECT_EQ(*parse_rate("1Mbit"), 125'000U);
  EXPECT_EQ(*parse_rate("256kbit"), 32'000U);
  EXPECT_EQ(*parse_rate("0"), 0U);
  for (const char* wrong : {"", "1", "1 Mbit", "Mbit", "-1Mbit", "1Tbit", "7bit", "1Mbits",
                            "99999999999999999999Gbit", "0Mbit"}) {
    EXPECT_FALSE(parse_rate(wrong)) << wrong;
  }
  EXPECT_EQ(rate_text(125'000), "1 Mbit/s");
  EXPECT_EQ(rate_text(32'000), "256 kbit/s");
  EXPECT_EQ(rate_text(187'500), "1.5 Mbit/s");
}

TEST(LineRates, go_by_the_clocks_of_the_site) {
  const plans::SystemZones zones;
  const auto rates = LineRates::parse({"Mon-Fri 08:00-18:00=256kbit", "1Mbit"});
  ASSERT_TRUE(rates) << rates.error().to_string();
  const auto at = [&](int day, int hour) {
    using namespace std::chrono;
    const sys_seconds instant = sys_days(2026y / December / day) + hours(hour);
    return **rates->rate_at(zones, "Asia/Shanghai", instant);
  };
  EXPECT_EQ(at(1, 0), 32'000U);    // Tuesday, 08:00 there
  EXPECT_EQ(at(1, 9), 32'000U);    // 17:00
  EXPECT_EQ(at(1, 10), 125'000U);  // 18:00
  EXPECT_EQ(at(5, 3), 125'000U);   // Saturday
  EXPECT_FALSE(rates->rate_at(zones, "Nowhere/City", {}));
}

TEST(LineRates, refuse_two_without_a_window_and_windows_that_are_none) {
  EXPECT_FALSE(LineRates::parse({"1Mbit", "2Mbit"}));
  EXPECT_FALSE(LineRates::parse({"Someday 08:00-18:00=1Mbit"}));
  EXPECT_FALSE(
      LineRates::parse(std::vector<std::string>(kMaxLineRates + 1, "daily 01:00-02:00=0")));
}

TEST(TransferQueue, what_goes_live_first_has_the_line_and_then_what_came_first) {
  TransferQueue queue;
  queue.enter("none, early", std::nullopt, 0);
  queue.enter("late", 2'000, 1);
  queue.enter("soon", 1'000, 2);
  queue.enter("none, later", std::nullopt, 3);
  EXPECT_EQ(queue.order(),
            (std::vector<std::string>{"soon", "late", "none, early", "none, later"}));
  EXPECT_TRUE(queue.has_turn("late"));
  EXPECT_FALSE(queue.has_turn("none, early"));
  queue.change("none, later", 500);
  EXPECT_EQ(queue.order().front(), "none, later");
}

class Queues : public testing::TestWithParam<unsigned> {};

// Whatever comes and goes: nothing is passed over for ever, and the order is that of the moments.
TEST_P(Queues, let_everybody_have_a_turn) {
  std::mt19937 generator(GetParam());
  TransferQueue queue;
  std::uint64_t number = 0;
  std::size_t entered = 0;
  std::size_t done = 0;
  while (done < 200) {
    if (entered < 200 && generator() % 2 == 0) {
      const GoLive at = generator() % 3 == 0 ? GoLive() : GoLive(generator() % 5);
      queue.enter(std::to_string(entered++), at, number++);
    }
    const auto order = queue.order();
    if (order.empty()) continue;
    ASSERT_TRUE(queue.has_turn(order.front()));
    ASSERT_EQ(std::ranges::count_if(order, [&](const auto& name) { return queue.has_turn(name); }),
              static_cast<std::ptrdiff_t>(std::min(order.size(), TransferQueue::kSlots)));
    queue.leave(order.front());
    ++done;
  }
  EXPECT_EQ(queue.size(), 0U);
}

INSTANTIATE_TEST_SUITE_P(Seeds, Queues, testing::Range(1U, 21U));

TEST(RateMeter, looks_at_the_last_four_seconds_that_are_over) {
  RateMeter meter;
  for (int second = 0; second < 4; ++second) {
    meter.add(400);
    meter.tick();
  }
  EXPECT_EQ(meter.per_second(), 400);
  meter.add(1'000'000);
  EXPECT_EQ(meter.per_second(), 400);
  for (int second = 0; second < 5; ++second) meter.tick();
  EXPECT_EQ(meter.per_second(), 0);
}

}  // namespace
}  // namespace segue::relay
