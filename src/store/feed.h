// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "store/scheduler.h"
#include "store/store.h"

namespace segue::store {

// The latest changes, and watches as places in them: a watch holds no queue of its own, and lags
// when the change that it would show next is forgotten. One thread. Made with make_shared.
class Feed : public std::enable_shared_from_this<Feed> {
 public:
  struct Limits {
    std::size_t revisions = 10'000;
    std::size_t bytes = std::size_t{64} << 20;
  };

  // Knows nothing of what happened up to `current`. The scheduler outlives it.
  Feed(Scheduler& scheduler, Limits limits, Revision current)
      : scheduler_(&scheduler), limits_(limits), forgotten_(current) {}

  void publish(Change change);
  // Forgets what is before `revision`.
  void compact(Revision revision);
  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, Revision first);
  // Ends all there are.
  void end_all(const WatchEnd& end);

 private:
  struct Cursor;
  class FeedWatch;

  void schedule(const std::shared_ptr<Cursor>& cursor);
  void serve(const std::shared_ptr<Cursor>& cursor);
  void forget_first();

  Scheduler* scheduler_;
  Limits limits_;
  Revision forgotten_;  // the last
  std::deque<Change> changes_;
  std::size_t bytes_ = 0;
  std::vector<std::weak_ptr<Cursor>> cursors_;
};

// What of a change lies below a prefix.
[[nodiscard]] Change below(const Change& change, std::string_view prefix);

}  // namespace segue::store
