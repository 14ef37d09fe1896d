// SPDX-License-Identifier: Apache-2.0
// What every store does: the memory's, SQLite's, and a real etcd's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "os/temp_directory.h"
#include "store/election.h"
#include "store/etcd_store.h"
#include "store/memory_store.h"
#include "store/sqlite_store.h"
#include "store/test_etcd.h"
#include "store/test_store.h"

namespace segue::store {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using Kind = CommitFailure::Kind;
using Reason = WatchEnd::Reason;

Event put_event(const std::string& key, const std::string& value) {
  return {.kind = Event::Kind::put, .key = key, .value = value};
}
Event erase_event(const std::string& key) {
  return {.kind = Event::Kind::erase, .key = key, .value = {}};
}

class StoreContract : public testing::TestWithParam<std::string> {
 protected:
  static constexpr std::size_t kHistory = 20;

  void SetUp() override {
    if (GetParam() == "etcd" && !TestEtcd::is_installed()) {
      GTEST_SKIP() << "NOT TESTED: etcd is not installed (apt-get install etcd-server)";
    }
    store_ = open();
    ask_ = std::make_unique<Asker>(loop_, *store_);
  }

  // What several servers are on memory and etcd; on SQLite there is only one.
  std::unique_ptr<Store> open() {
    Feed::Limits history;
    history.revisions = kHistory;
    if (GetParam() == "memory") {
      if (!database_) database_ = std::make_shared<MemoryDatabase>(*loop_.scheduler, history);
      return std::make_unique<MemoryStore>(database_, *loop_.scheduler);
    }
    if (GetParam() == "sqlite") {
      auto opened = SqliteStore::open(directory_.path("store"), *loop_.scheduler, history);
      EXPECT_TRUE(opened) << opened.error().to_string();
      return *std::move(opened);
    }
    if (!etcd_) etcd_ = std::make_unique<TestEtcd>(loop_, 1);
    EtcdSettings settings = etcd_->settings();
    settings.max_queued_changes = kHistory;
    return std::make_unique<EtcdStore>(settings, *loop_.scheduler, loop_.loop, loop_.clock);
  }

  TestLoop loop_;
  os::TempDirectory directory_;
  std::shared_ptr<MemoryDatabase> database_;
  std::unique_ptr<TestEtcd> etcd_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Asker> ask_;
};

TEST_P(StoreContract, reads_what_was_committed) {
  const auto before = ask_->get("a");
  ASSERT_TRUE(before) << before.error().to_string();
  EXPECT_FALSE(before->entry);
  EXPECT_GT(before->revision, 0U);
  const std::string bytes("\0\xff\n\"\\", 5);
  const Revision first = ask_->put("a", bytes);
  EXPECT_GT(first, before->revision);
  const auto after = ask_->get("a");
  ASSERT_TRUE(after && after->entry);
  EXPECT_EQ(*after->entry, (Entry{.key = "a", .value = bytes, .modified = first}));
  EXPECT_EQ(after->revision, first);
  const Revision second = ask_->put("a", "");
  EXPECT_GT(second, first);
  EXPECT_EQ(ask_->value("a"), "");
  ASSERT_TRUE(ask_->commit(Transaction().erase("a")));
  EXPECT_EQ(ask_->value("a"), "(absent)");
}

TEST_P(StoreContract, a_transaction_is_done_whole_or_not_at_all) {
  const Revision first = ask_->put("a", "1");
  const auto lost =
      ask_->commit(Transaction().expect("a", first).expect_absent("a").put("b", "2").erase("a"));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind, Kind::conflict);
  EXPECT_EQ(lost.error().key, "a");
  EXPECT_EQ(lost.error().found, first);
  EXPECT_EQ(ask_->value("a"), "1");
  EXPECT_EQ(ask_->value("b"), "(absent)");

  const auto done =
      ask_->commit(Transaction().expect("a", first).expect_absent("b").put("b", "2").erase("a"));
  ASSERT_TRUE(done);
  EXPECT_EQ(ask_->value("a"), "(absent)");
  const auto reading = ask_->get("b");
  ASSERT_TRUE(reading && reading->entry);
  EXPECT_EQ(reading->entry->modified, *done);
}

TEST_P(StoreContract, a_conflict_names_the_first_compare_that_does_not_hold) {
  const Revision first = ask_->put("a", "1");
  const auto lost = ask_->commit(
      Transaction().expect("a", first).expect("gone", first).expect_absent("a").put("c", ""));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().kind, Kind::conflict);
  EXPECT_EQ(lost.error().key, "gone");
  EXPECT_EQ(lost.error().found, 0U);
  EXPECT_THAT(lost.error().error.message(), HasSubstr("'gone'"));
}

TEST_P(StoreContract, a_guard_that_does_not_hold_is_told_from_a_conflict) {
  const Revision first = ask_->put("leader", "me");
  Transaction transaction = Transaction().expect_absent("leader").put("a", "1");
  transaction.guard = Compare{.key = "leader", .modified = first};
  const auto conflict = ask_->commit(transaction);
  ASSERT_FALSE(conflict);
  EXPECT_EQ(conflict.error().kind, Kind::conflict);
  ask_->put("leader", "another");
  const auto deposed = ask_->commit(transaction);
  ASSERT_FALSE(deposed);
  EXPECT_EQ(deposed.error().kind, Kind::deposed);
  EXPECT_EQ(deposed.error().key, "leader");
  EXPECT_EQ(ask_->value("a"), "(absent)");
}

TEST_P(StoreContract, what_changes_nothing_makes_no_revision) {
  const Revision first = ask_->put("a", "1");
  const auto compared = ask_->commit(Transaction().expect("a", first));
  ASSERT_TRUE(compared);
  EXPECT_EQ(*compared, first);
  const auto erased = ask_->commit(Transaction().erase("b"));
  ASSERT_TRUE(erased);
  EXPECT_EQ(*erased, first);
}

TEST_P(StoreContract, bounds_are_refused_with_their_text_and_reached_without_harm) {
  Transaction most;
  for (std::size_t i = 0; i < kMaxOperations; ++i) {
    most.put(std::string(kMaxKeyBytes - 3, 'k') + fmt::format("{:03}", i), "v");
    most.expect_absent(fmt::format("absent/{}", i));
  }
  EXPECT_TRUE(ask_->commit(most));
  EXPECT_TRUE(ask_->commit(Transaction().put("large", std::string(kMaxValueBytes, 'v'))));
  EXPECT_EQ(ask_->value("large"), std::string(kMaxValueBytes, 'v'));

  const auto refused = [&](const Transaction& transaction, const std::string& text) {
    const auto result = ask_->commit(transaction);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().kind, Kind::not_committed);
    EXPECT_EQ(result.error().error.code(), ErrorCode::invalid_argument);
    EXPECT_THAT(result.error().error.message(), HasSubstr(text));
  };
  refused(Transaction(most).put("more", ""), "129 operations");
  refused(Transaction().put("", "v"), "empty");
  refused(Transaction().put(std::string(kMaxKeyBytes + 1, 'k'), "v"), "513 bytes");
  refused(Transaction().put("a", std::string(kMaxValueBytes + 1, 'v')), "1048577 bytes");
  refused(Transaction().put("a", "1").erase("a"), "twice");
  refused(Transaction()
              .put("a", std::string(kMaxValueBytes, 'v'))
              .put("b", std::string(kMaxValueBytes, 'v')),
          "a transaction of");
}

TEST_P(StoreContract, lists_below_a_prefix_in_order_and_in_pages) {
  Transaction all;
  for (int i = 0; i < 25; ++i) all.put(fmt::format("host/{:02}", i), std::to_string(i));
  all.put("host", "not below").put("hosu", "after").put("\xff", "last");
  const auto done = ask_->commit(all);
  ASSERT_TRUE(done);
  ListQuery query{.prefix = "host/", .after = {}, .limit = 10};
  std::vector<std::string> keys;
  std::vector<std::size_t> sizes;
  while (true) {
    const auto page = ask_->list(query);
    ASSERT_TRUE(page) << page.error().to_string();
    EXPECT_EQ(page->revision, *done);
    sizes.push_back(page->entries.size());
    for (const Entry& entry : page->entries) {
      EXPECT_EQ(entry.modified, *done);
      EXPECT_EQ(entry.key, fmt::format("host/{:02}", std::stoi(entry.value)));
      keys.push_back(entry.key);
    }
    if (!page->has_more) break;
    query.after = page->entries.back().key;
  }
  EXPECT_THAT(sizes, ElementsAre(10, 10, 5));
  EXPECT_EQ(keys.size(), 25U);
  EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  const auto everything = ask_->list({});
  ASSERT_TRUE(everything);
  EXPECT_EQ(everything->entries.size(), 28U);
  EXPECT_EQ(everything->entries.back().key, "\xff");
  const auto above = ask_->list({.prefix = "host/", .after = "a", .limit = 1});
  ASSERT_TRUE(above);
  EXPECT_EQ(above->entries.front().key, "host/00");
  const auto none = ask_->list({.prefix = "x", .after = {}, .limit = 5});
  ASSERT_TRUE(none);
  EXPECT_TRUE(none->entries.empty());
  EXPECT_FALSE(none->has_more);
}

TEST_P(StoreContract, a_page_ends_where_its_bytes_are_too_many) {
  for (int i = 0; i < 9; ++i) {
    ask_->put(fmt::format("k{}", i),
              std::string(kMaxValueBytes - 1000, static_cast<char>('a' + i)));
  }
  ListQuery query;
  int count = 0;
  while (true) {
    const auto page = ask_->list(query);
    ASSERT_TRUE(page) << page.error().to_string();
    ASSERT_FALSE(page->entries.empty());
    EXPECT_LE(page->entries.size(), 4U);
    for (const Entry& entry : page->entries) {
      EXPECT_EQ(entry.key, fmt::format("k{}", count));
      EXPECT_EQ(entry.value[0], static_cast<char>('a' + count));
      ++count;
    }
    if (!page->has_more) break;
    query.after = page->entries.back().key;
  }
  EXPECT_EQ(count, 9);
}

TEST_P(StoreContract, a_page_of_no_entries_is_refused) {
  const auto page = ask_->list({.prefix = {}, .after = {}, .limit = 0});
  ASSERT_FALSE(page);
  EXPECT_EQ(page.error().code(), ErrorCode::invalid_argument);
}

TEST_P(StoreContract, a_watch_shows_each_change_once_in_order) {
  const Revision start = ask_->put("w/old", "0");
  const auto watch = store_->watch("w/", start + 1);
  const Revision first = ask_->put("w/a", "1");
  ask_->put("elsewhere", "x");
  const auto second =
      ask_->commit(Transaction().put("w/b", "2").put("z", "no").put("w/a", "3").erase("w/old"));
  ASSERT_TRUE(second);
  const auto one = ask_->next(*watch);
  ASSERT_TRUE(one) << one.error().error.to_string();
  EXPECT_EQ(*one, (Change{.revision = first, .events = {put_event("w/a", "1")}}));
  const auto two = ask_->next(*watch);
  ASSERT_TRUE(two);
  EXPECT_EQ(
      *two,
      (Change{.revision = *second,
              .events = {put_event("w/a", "3"), put_event("w/b", "2"), erase_event("w/old")}}));
  // One that has not happened yet.
  std::optional<Change> three;
  watch->next([&](const auto& change) { three = change.value(); });
  loop_.turn();
  EXPECT_FALSE(three);
  const Revision third = ask_->put("w/c", "4");
  ASSERT_TRUE(loop_.run_until([&] { return three.has_value(); }));
  EXPECT_EQ(*three, (Change{.revision = third, .events = {put_event("w/c", "4")}}));
}

TEST_P(StoreContract, a_watch_begins_in_the_past_or_in_the_future) {
  const Revision first = ask_->put("w/a", "1");
  ask_->put("w/b", "2");
  const auto past = store_->watch("w/", first);
  const auto change = ask_->next(*past);
  ASSERT_TRUE(change) << change.error().error.to_string();
  EXPECT_EQ(change->revision, first);
  const auto future = store_->watch("w/", first + 3);
  ask_->put("w/c", "3");
  const Revision wanted = ask_->put("w/d", "4");
  ASSERT_EQ(wanted, first + 3);
  const auto later = ask_->next(*future);
  ASSERT_TRUE(later);
  EXPECT_EQ(*later, (Change{.revision = wanted, .events = {put_event("w/d", "4")}}));
}

TEST_P(StoreContract, a_watch_of_what_is_forgotten_is_told_so) {
  const Revision first = ask_->put("w/a", "1");
  const auto second = ask_->commit(Transaction().erase("w/a"));
  ASSERT_TRUE(second);
  const Revision third = ask_->put("w/b", "3");
  const auto kept = ask_->compact(*second);
  ASSERT_TRUE(kept) << kept.error().to_string();
  EXPECT_TRUE(ask_->compact(*second)) << "again";
  const auto lost = ask_->next(*store_->watch("w/", first));
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().reason, Reason::compacted);
  const auto watch = store_->watch("w/", *second);
  const auto erased = ask_->next(*watch);
  ASSERT_TRUE(erased) << erased.error().error.to_string();
  EXPECT_EQ(*erased, (Change{.revision = *second, .events = {erase_event("w/a")}}));
  EXPECT_EQ(ask_->next(*watch)->revision, third);
  EXPECT_EQ(ask_->value("w/b"), "3") << "entries stay";
  const auto future = ask_->compact(third + 100);
  ASSERT_FALSE(future);
  EXPECT_EQ(future.error().code(), ErrorCode::invalid_argument);
}

TEST_P(StoreContract, a_watch_that_is_not_asked_in_time_lags_and_can_begin_again) {
  const auto start = ask_->get("w/a");
  const auto watch = store_->watch("w/", start->revision + 1);
  ask_->put("w/a", "0");
  ASSERT_TRUE(ask_->next(*watch));
  Revision last = 0;
  tl::expected<Change, WatchEnd> shown;
  // etcd shows its changes when it wants to, but it does.
  for (int round = 0; shown && round < 30; ++round) {
    for (std::size_t i = 0; i < 3 * kHistory; ++i) last = ask_->put("w/a", std::to_string(i));
    shown = ask_->next(*watch);
  }
  ASSERT_FALSE(shown);
  EXPECT_EQ(shown.error().reason, Reason::lagging);
  EXPECT_EQ(ask_->next(*watch).error().reason, Reason::lagging) << "it stays so";
  const auto again = store_->watch("w/", last);
  const auto change = ask_->next(*again);
  ASSERT_TRUE(change) << change.error().error.to_string();
  EXPECT_EQ(change->revision, last);
}

TEST_P(StoreContract, nothing_is_said_after_a_watch_or_the_store_is_gone) {
  bool is_called = false;
  auto watch = store_->watch("w/", 1);
  watch->next([&](const auto&) { is_called = true; });
  watch.reset();
  auto left = store_->watch("w/", ask_->put("x", "") + 1);
  left->next([&](const auto&) { is_called = true; });
  store_->commit(Transaction().put("w/a", "1"), [&](const auto&) { is_called = true; });
  store_->get("w/a", [&](const auto&) { is_called = true; });
  store_.reset();
  for (int i = 0; i < 20; ++i) loop_.turn();
  left.reset();
  EXPECT_FALSE(is_called);
}

TEST_P(StoreContract, a_callback_may_destroy_the_store) {
  bool is_called = false;
  store_->commit(Transaction().put("a", "1"), [&](const CommitResult& result) {
    EXPECT_TRUE(result);
    store_.reset();
    is_called = true;
  });
  EXPECT_TRUE(loop_.run_until([&] { return is_called; }));
  loop_.turn();
}

TEST_P(StoreContract, many_commits_at_once_are_each_done_once) {
  constexpr int kCommits = 300;
  int committed = 0;
  int conflicts = 0;
  for (int i = 0; i < kCommits; ++i) {
    // Three want the same key.
    store_->commit(Transaction()
                       .expect_absent(fmt::format("k/{}", i / 3))
                       .put(fmt::format("k/{}", i / 3), std::to_string(i)),
                   [&](const CommitResult& result) {
                     if (result)
                       ++committed;
                     else if (result.error().kind == Kind::conflict)
                       ++conflicts;
                   });
  }
  ASSERT_TRUE(loop_.run_until([&] { return committed + conflicts == kCommits; }));
  EXPECT_EQ(committed, kCommits / 3);
  const auto page = ask_->list({.prefix = "k/", .after = {}, .limit = 1000});
  ASSERT_TRUE(page);
  EXPECT_EQ(page->entries.size(), static_cast<std::size_t>(kCommits / 3));
}

TEST_P(StoreContract, more_requests_than_can_wait_are_refused_and_the_others_answered) {
  if (GetParam() == "memory") GTEST_SKIP() << "nothing waits";
  std::size_t done = 0;
  std::size_t refused = 0;
  constexpr std::size_t kRequests = kMaxPending + 200;
  for (std::size_t i = 0; i < kRequests; ++i) {
    store_->get("a", [&](const base::Result<Reading>& reading) {
      ++done;
      if (!reading && reading.error().code() == ErrorCode::resource_exhausted) ++refused;
    });
  }
  ASSERT_TRUE(loop_.run_until([&] { return done == kRequests; }));
  EXPECT_GT(refused, 100U);
  EXPECT_LT(refused, 201U);
}

TEST_P(StoreContract, what_has_a_lease_ends_with_it) {
  const auto lease = ask_->grant(60s);
  ASSERT_TRUE(lease) << lease.error().to_string();
  ASSERT_TRUE(
      ask_->commit(Transaction().put("a", "1", *lease).put("b", "2").put("c", "3", *lease)));
  // Put again without: it is not the lease's any more.
  const auto last = ask_->commit(Transaction().put("c", "4"));
  ASSERT_TRUE(last);
  EXPECT_TRUE(ask_->keep_alive(*lease));
  const auto watch = store_->watch("", *last + 1);
  ASSERT_TRUE(ask_->revoke(*lease));
  EXPECT_EQ(*ask_->next(*watch), (Change{.revision = *last + 1, .events = {erase_event("a")}}));
  EXPECT_EQ(ask_->value("a"), "(absent)");
  EXPECT_EQ(ask_->value("b"), "2");
  EXPECT_EQ(ask_->value("c"), "4");
  const auto kept = ask_->keep_alive(*lease);
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code(), ErrorCode::not_found);
  const auto late = ask_->commit(Transaction().put("a", "1", *lease));
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, Kind::not_committed);
  EXPECT_EQ(late.error().error.code(), ErrorCode::not_found);
  EXPECT_EQ(ask_->grant(0s).error().code(), ErrorCode::invalid_argument);
}

struct Candidate {
  Candidate(Store& store, Scheduler& scheduler, const std::string& name)
      : election(store, scheduler, {.key = "election", .candidate = name, .ttl = 60s},
                 {.on_elected = [this](const Compare& guard) { token = guard; },
                  .on_deposed =
                      [this](const std::string& reason) {
                        token.reset();
                        why = reason;
                      },
                  .on_leader = [this](const auto& seen) { leader = seen; }}) {
    election.campaign();
  }
  std::optional<Compare> token;
  std::string why;
  std::optional<Election::Leader> leader;
  Election election;
};

TEST_P(StoreContract, one_candidate_leads_and_the_next_when_it_resigns) {
  const std::unique_ptr<Store> other = GetParam() == "sqlite" ? nullptr : open();
  Candidate first(*store_, *loop_.scheduler, "first");
  ASSERT_TRUE(loop_.run_until([&] { return first.token.has_value(); }));
  Candidate second(other ? *other : *store_, *loop_.scheduler, "second");
  ASSERT_TRUE(loop_.run_until([&] { return second.leader.has_value(); }));
  EXPECT_EQ(second.leader->candidate, "first");
  EXPECT_EQ(second.leader->token, first.token->modified);
  Transaction transaction = Transaction().put("done", "by the first");
  transaction.guard = first.token;
  EXPECT_TRUE(ask_->commit(transaction));

  bool has_resigned = false;
  first.election.resign(
      [&](const base::Result<void>& result) { has_resigned = result.has_value(); });
  ASSERT_TRUE(loop_.run_until([&] { return has_resigned && second.token.has_value(); }));
  EXPECT_EQ(first.why, "it has resigned");
  EXPECT_GT(second.token->modified, transaction.guard->modified);
  EXPECT_EQ(second.election.guard(), second.token);
  const auto late = ask_->commit(transaction);
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, Kind::deposed);
  transaction.guard = second.token;
  EXPECT_TRUE(ask_->commit(transaction));
}

TEST_P(StoreContract, a_leader_whose_key_is_taken_away_is_deposed_and_campaigns_on) {
  Candidate candidate(*store_, *loop_.scheduler, "one");
  ASSERT_TRUE(loop_.run_until([&] { return candidate.token.has_value(); }));
  const Compare old = *candidate.token;
  ASSERT_TRUE(ask_->commit(Transaction().erase("election")));
  ASSERT_TRUE(loop_.run_until([&] { return !candidate.why.empty() && candidate.token; }));
  EXPECT_GT(candidate.token->modified, old.modified);
}

INSTANTIATE_TEST_SUITE_P(Stores, StoreContract, testing::Values("memory", "sqlite", "etcd"),
                         [](const auto& tested) { return tested.param; });

}  // namespace
}  // namespace segue::store
