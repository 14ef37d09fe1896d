// SPDX-License-Identifier: Apache-2.0
#include "store/feed.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace segue::store {
namespace {

using base::Error;
using base::ErrorCode;

std::size_t bytes_of(const Change& change) {
  std::size_t bytes = sizeof(Change);
  for (const Event& event : change.events) {
    bytes += sizeof(Event) + event.key.size() + event.value.size();
  }
  return bytes;
}

bool touches(const Change& change, std::string_view prefix) {
  return std::any_of(change.events.begin(), change.events.end(),
                     [&](const Event& event) { return event.key.starts_with(prefix); });
}

}  // namespace

Change below(const Change& change, std::string_view prefix) {
  Change part{.revision = change.revision, .events = {}};
  for (const Event& event : change.events) {
    if (event.key.starts_with(prefix)) part.events.push_back(event);
  }
  return part;
}

struct Feed::Cursor {
  std::string prefix;
  Revision next = 0;
  bool started = false;  // it has shown something, or has waited at the end
  bool scheduled = false;
  Watch::OnChange waiting;
  std::optional<WatchEnd> end;
};

class Feed::FeedWatch final : public Watch {
 public:
  FeedWatch(std::weak_ptr<Feed> feed, std::shared_ptr<Cursor> cursor)
      : feed_(std::move(feed)), cursor_(std::move(cursor)) {}
  ~FeedWatch() override { cursor_->waiting = nullptr; }

  void next(OnChange on_change) override {
    SEGUE_ASSERT(!cursor_->waiting);
    cursor_->waiting = std::move(on_change);
    if (const auto feed = feed_.lock()) feed->schedule(cursor_);
  }

 private:
  std::weak_ptr<Feed> feed_;
  std::shared_ptr<Cursor> cursor_;
};

void Feed::publish(Change change) {
  SEGUE_ASSERT(change.revision > forgotten_);
  SEGUE_ASSERT(changes_.empty() || change.revision > changes_.back().revision);
  std::erase_if(cursors_, [](const auto& cursor) { return cursor.expired(); });
  for (const auto& weak : cursors_) {
    const auto cursor = weak.lock();
    if (!cursor->waiting || cursor->scheduled) continue;
    if (change.revision >= cursor->next && touches(change, cursor->prefix))
      schedule(cursor);
    else
      cursor->next = std::max(cursor->next, change.revision + 1);
  }
  bytes_ += bytes_of(change);
  changes_.push_back(std::move(change));
  // The newest stays, whatever its size.
  while (changes_.size() > 1 && (changes_.size() > limits_.revisions || bytes_ > limits_.bytes)) {
    forget_first();
  }
}

void Feed::forget_first() {
  forgotten_ = changes_.front().revision;
  bytes_ -= bytes_of(changes_.front());
  changes_.pop_front();
}

void Feed::compact(Revision revision) {
  while (!changes_.empty() && changes_.front().revision < revision) forget_first();
}

std::unique_ptr<Watch> Feed::watch(std::string prefix, Revision first) {
  SEGUE_ASSERT(first > 0);
  std::erase_if(cursors_, [](const auto& cursor) { return cursor.expired(); });
  auto cursor = std::make_shared<Cursor>();
  cursor->prefix = std::move(prefix);
  cursor->next = first;
  if (cursors_.size() >= kMaxWatches) {
    cursor->end =
        WatchEnd{.reason = WatchEnd::Reason::failed,
                 .error = Error(ErrorCode::resource_exhausted,
                                fmt::format("there are {} watches already", kMaxWatches))};
  } else {
    cursors_.push_back(cursor);
  }
  return std::make_unique<FeedWatch>(weak_from_this(), std::move(cursor));
}

void Feed::end_all(const WatchEnd& end) {
  for (const auto& weak : cursors_) {
    const auto cursor = weak.lock();
    if (!cursor || cursor->end) continue;
    cursor->end = end;
    if (cursor->waiting) schedule(cursor);
  }
}

void Feed::schedule(const std::shared_ptr<Cursor>& cursor) {
  if (std::exchange(cursor->scheduled, true)) return;
  scheduler_->call_soon([feed = weak_from_this(), weak = std::weak_ptr(cursor)] {
    const auto self = feed.lock();
    const auto here = weak.lock();
    if (self && here) self->serve(here);
  });
}

void Feed::serve(const std::shared_ptr<Cursor>& cursor) {
  cursor->scheduled = false;
  if (!cursor->waiting) return;
  if (!cursor->end && cursor->next <= forgotten_) {
    const auto reason = cursor->started ? WatchEnd::Reason::lagging : WatchEnd::Reason::compacted;
    cursor->end = WatchEnd{
        .reason = reason,
        .error = Error(ErrorCode::failed_precondition,
                       fmt::format("the changes of '{}' from revision {} on are wanted, and those "
                                   "up to {} are forgotten: list again",
                                   cursor->prefix, cursor->next, forgotten_))};
  }
  if (cursor->end) {
    std::exchange(cursor->waiting, nullptr)(tl::unexpected(*cursor->end));
    return;
  }
  cursor->started = true;
  auto found = std::lower_bound(
      changes_.begin(), changes_.end(), cursor->next,
      [](const Change& change, Revision revision) { return change.revision < revision; });
  while (found != changes_.end() && !touches(*found, cursor->prefix)) ++found;
  if (found == changes_.end()) {
    if (!changes_.empty()) cursor->next = std::max(cursor->next, changes_.back().revision + 1);
    return;
  }
  cursor->next = found->revision + 1;
  std::exchange(cursor->waiting, nullptr)(below(*found, cursor->prefix));
}

}  // namespace segue::store
