// SPDX-License-Identifier: Apache-2.0
// For tests: a loop in real time, and a store that is asked and waited for.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "os/clock.h"
#include "os/epoll_loop.h"
#include "store/loop_scheduler.h"
#include "store/store.h"

namespace segue::store {

struct TestLoop {
  template <class Condition>
  [[nodiscard]] bool run_until(const Condition& condition,
                               base::Duration limit = std::chrono::seconds(60)) {
    const auto deadline = clock.monotonic_now() + limit;
    while (!condition()) {
      if (clock.monotonic_now() > deadline) return false;
      EXPECT_TRUE(loop.run_once(std::chrono::milliseconds(100)));
    }
    return true;
  }

  // Everything that is due has had its turn.
  void turn() {
    bool is_done = false;
    scheduler->call_soon([&] { is_done = true; });
    EXPECT_TRUE(run_until([&] { return is_done; }));
  }

  os::SystemClock clock;
  os::EpollLoop loop = *os::EpollLoop::create(clock);
  std::unique_ptr<LoopScheduler> scheduler = *LoopScheduler::create(loop, clock);
};

// Waits for each answer. What does not come in time ends the test program.
class Asker {
 public:
  Asker(TestLoop& loop, Store& store) : loop_(&loop), store_(&store) {}

  [[nodiscard]] base::Result<Reading> get(const std::string& key) {
    return wait<base::Result<Reading>>([&](const auto& done) { store_->get(key, done); });
  }
  [[nodiscard]] base::Result<Page> list(const ListQuery& query) {
    return wait<base::Result<Page>>([&](const auto& done) { store_->list(query, done); });
  }
  CommitResult commit(const Transaction& transaction) {
    return wait<CommitResult>([&](const auto& done) { store_->commit(transaction, done); });
  }
  Revision put(const std::string& key, const std::string& value) {
    const CommitResult result = commit(Transaction().put(key, value));
    EXPECT_TRUE(result.has_value()) << result.error().error.to_string();
    return result.value_or(0);
  }
  [[nodiscard]] std::string value(const std::string& key) {
    const auto reading = get(key);
    EXPECT_TRUE(reading) << reading.error().to_string();
    return reading && reading->entry ? reading->entry->value : "(absent)";
  }
  tl::expected<Change, WatchEnd> next(Watch& watch) {
    return wait<tl::expected<Change, WatchEnd>>([&](const auto& done) { watch.next(done); });
  }
  base::Result<LeaseId> grant(base::Duration ttl) {
    return wait<base::Result<LeaseId>>([&](const auto& done) { store_->grant_lease(ttl, done); });
  }
  base::Result<void> keep_alive(LeaseId lease) {
    return wait<base::Result<void>>([&](const auto& done) { store_->keep_alive(lease, done); });
  }
  base::Result<void> revoke(LeaseId lease) {
    return wait<base::Result<void>>([&](const auto& done) { store_->revoke_lease(lease, done); });
  }
  base::Result<void> compact(Revision revision) {
    return wait<base::Result<void>>([&](const auto& done) { store_->compact(revision, done); });
  }
  [[nodiscard]] Store& store() { return *store_; }

 private:
  template <class T, class Ask>
  T wait(const Ask& ask) {
    auto answer = std::make_shared<std::optional<T>>();
    ask([answer](T result) { *answer = std::move(result); });
    EXPECT_FALSE(answer->has_value()) << "answered inside the call";
    if (!loop_->run_until([&] { return answer->has_value(); })) {
      ADD_FAILURE() << "the store has not answered in time";
      std::abort();
    }
    return **std::move(answer);
  }

  TestLoop* loop_;
  Store* store_;
};

}  // namespace segue::store
