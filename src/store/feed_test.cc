// SPDX-License-Identifier: Apache-2.0
#include "store/feed.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "store/test_scheduler.h"

namespace segue::store {
namespace {

using base::Error;
using base::ErrorCode;
using Reason = WatchEnd::Reason;

class FeedTest : public testing::Test {
 protected:
  void publish(Revision revision, const std::string& key, std::size_t bytes = 1) {
    feed_->publish(
        {.revision = revision,
         .events = {{.kind = Event::Kind::put, .key = key, .value = std::string(bytes, 'v')}}});
  }
  // What is shown without anything more happening.
  std::optional<tl::expected<Change, WatchEnd>> next(Watch& watch) {
    std::optional<tl::expected<Change, WatchEnd>> shown;
    watch.next([&](const auto& change) { shown = change; });
    static_cast<void>(scheduler_.run_until([&] { return shown.has_value(); }));
    return shown;
  }

  TestScheduler scheduler_;
  std::shared_ptr<Feed> feed_ =
      std::make_shared<Feed>(scheduler_, Feed::Limits{.revisions = 4, .bytes = 2000}, Revision{10});
};

TEST_F(FeedTest, a_watch_that_waits_does_not_lag_behind_what_others_do) {
  const auto watch = feed_->watch("mine/", 11);
  std::optional<tl::expected<Change, WatchEnd>> shown;
  watch->next([&](const auto& change) { shown = change; });
  for (Revision revision = 11; revision < 100; ++revision) {
    publish(revision, "others/a");
    while (scheduler_.step()) continue;
  }
  EXPECT_FALSE(shown);
  publish(100, "mine/a");
  while (scheduler_.step()) continue;
  ASSERT_TRUE(shown && *shown);
  EXPECT_EQ((*shown)->revision, 100U);
}

TEST_F(FeedTest, forgets_by_bytes_too_but_never_the_newest) {
  const auto watch = feed_->watch("", 11);
  publish(11, "a", 1500);
  publish(12, "b", 1500);
  EXPECT_EQ(next(*watch)->error().reason, Reason::compacted);
  publish(13, "c", 100'000);
  const auto late = feed_->watch("", 13);
  EXPECT_EQ((*next(*late))->revision, 13U);
}

TEST_F(FeedTest, ends_all_watches_at_once_when_told_to) {
  const auto waiting = feed_->watch("", 11);
  std::optional<tl::expected<Change, WatchEnd>> shown;
  waiting->next([&](const auto& change) { shown = change; });
  const auto idle = feed_->watch("", 11);
  feed_->end_all({.reason = Reason::failed, .error = Error(ErrorCode::unavailable, "gone")});
  while (scheduler_.step()) continue;
  ASSERT_TRUE(shown);
  EXPECT_EQ(shown->error().reason, Reason::failed);
  EXPECT_EQ(next(*idle)->error().error.message(), "gone");
}

TEST_F(FeedTest, refuses_more_watches_than_its_bound) {
  std::vector<std::unique_ptr<Watch>> watches;
  watches.reserve(kMaxWatches);
  for (std::size_t i = 0; i < kMaxWatches; ++i) watches.push_back(feed_->watch("", 11));
  const auto more = feed_->watch("", 11);
  EXPECT_EQ(next(*more)->error().error.code(), ErrorCode::resource_exhausted);
  watches.pop_back();
  const auto again = feed_->watch("", 11);
  publish(11, "a");
  EXPECT_TRUE(*next(*again));
}

TEST_F(FeedTest, a_watch_may_be_destroyed_by_what_it_calls) {
  auto watch = feed_->watch("", 11);
  bool is_called = false;
  watch->next([&](const auto&) {
    watch.reset();
    is_called = true;
  });
  publish(11, "a");
  while (scheduler_.step()) continue;
  EXPECT_TRUE(is_called);
}

}  // namespace
}  // namespace segue::store
