// SPDX-License-Identifier: Apache-2.0
#include "store/memory_store.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "store/commit_rules.h"

namespace segue::store {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

MemoryDatabase::MemoryDatabase(Scheduler& scheduler, Feed::Limits history)
    : scheduler_(&scheduler), feed_(std::make_shared<Feed>(scheduler, history, revision_)) {}

Revision MemoryDatabase::modified(const std::string& key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? 0 : found->second.modified;
}

Reading MemoryDatabase::get(const std::string& key) const {
  Reading reading{.entry = {}, .revision = revision_};
  const auto found = entries_.find(key);
  if (found != entries_.end()) {
    reading.entry =
        Entry{.key = key, .value = found->second.value, .modified = found->second.modified};
  }
  return reading;
}

Page MemoryDatabase::list(const ListQuery& query) const {
  PageBuilder builder(query, revision_);
  auto next = entries_.lower_bound(query.prefix);
  if (query.after >= query.prefix && !query.after.empty()) {
    next = entries_.upper_bound(query.after);
  }
  for (; next != entries_.end() && next->first.starts_with(query.prefix); ++next) {
    const auto& [key, stored] = *next;
    if (!builder.add({.key = key, .value = stored.value, .modified = stored.modified})) break;
  }
  return std::move(builder).take();
}

CommitResult MemoryDatabase::commit(const Transaction& transaction) {
  if (auto valid = check(transaction); !valid) return not_committed(std::move(valid).error());
  auto broken = find_broken_compare(
      transaction, [this](const std::string& key) -> Result<Revision> { return modified(key); });
  SEGUE_ASSERT(broken.has_value());
  if (*broken) return tl::unexpected(**std::move(broken));
  for (const Operation& operation : transaction.operations) {
    if (operation.lease != 0 && !leases_.contains(operation.lease)) {
      return not_committed(no_lease(operation.lease));
    }
  }
  Change change{.revision = revision_ + 1, .events = {}};
  for (const Operation& operation : transaction.operations) {
    if (operation.kind == Operation::Kind::put) {
      entries_[operation.key] = {
          .value = operation.value, .modified = change.revision, .lease = operation.lease};
    } else if (entries_.erase(operation.key) == 0) {
      continue;
    }
    change.events.push_back(event_of(operation));
  }
  if (change.events.empty()) return revision_;
  revision_ = change.revision;
  sort_events(change);
  feed_->publish(std::move(change));
  return revision_;
}

LeaseId MemoryDatabase::grant_lease(base::Duration ttl) {
  const LeaseId lease = ++last_lease_;
  leases_[lease] = {.ttl = ttl, .ends = scheduler_->now() + ttl};
  await_end(lease);
  return lease;
}

void MemoryDatabase::await_end(LeaseId lease) {
  scheduler_->call_at(leases_.at(lease).ends, [this, lease, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    const auto found = leases_.find(lease);
    if (found == leases_.end()) return;
    if (scheduler_->now() < found->second.ends) {
      await_end(lease);
    } else {
      erase_leased(lease);
    }
  });
}

void MemoryDatabase::erase_leased(LeaseId lease) {
  leases_.erase(lease);
  Change change{.revision = revision_ + 1, .events = {}};
  for (const auto& [key, stored] : entries_) {
    if (stored.lease != lease) continue;
    change.events.push_back({.kind = Event::Kind::erase, .key = key, .value = {}});
  }
  if (change.events.empty()) return;
  for (const Event& event : change.events) entries_.erase(event.key);
  revision_ = change.revision;
  feed_->publish(std::move(change));
}

Result<void> MemoryDatabase::keep_alive(LeaseId lease) {
  const auto found = leases_.find(lease);
  if (found == leases_.end()) return fail(no_lease(lease));
  found->second.ends = scheduler_->now() + found->second.ttl;
  return {};
}

Result<void> MemoryDatabase::revoke_lease(LeaseId lease) {
  if (!leases_.contains(lease)) return fail(no_lease(lease));
  erase_leased(lease);
  return {};
}

MemoryStore::MemoryStore(std::shared_ptr<MemoryDatabase> database, Scheduler& scheduler,
                         MemoryFaults faults)
    : database_(std::move(database)), scheduler_(&scheduler), faults_(std::move(faults)) {}

MemoryFault MemoryStore::fault(MemoryRequest kind) const {
  return faults_ ? faults_(kind) : MemoryFault{};
}

void MemoryStore::at(base::Duration delay, std::function<void()> call) {
  scheduler_->call_at(scheduler_->now() + delay,
                      [call = std::move(call), alive = std::weak_ptr(alive_)] {
                        if (!alive.expired()) call();
                      });
}

template <class T>
void MemoryStore::request(MemoryRequest kind, std::function<Result<T>()> act,
                          std::function<void(Result<T>)> answer) {
  const MemoryFault drawn = fault(kind);
  if (drawn.effect != MemoryFault::Effect::none) {
    at(drawn.answered, [answer = std::move(answer)] {
      answer(fail(ErrorCode::unavailable, "the store does not answer"));
    });
    return;
  }
  const base::Duration wait = std::max(drawn.answered - drawn.takes_effect, base::Duration(0));
  at(drawn.takes_effect, [this, wait, act = std::move(act), answer = std::move(answer)] {
    at(wait, [answer, result = act()] { answer(result); });
  });
}

void MemoryStore::get(std::string key, OnReading on_reading) {
  request<Reading>(
      MemoryRequest::read,
      [this, key = std::move(key)]() -> Result<Reading> { return database_->get(key); },
      std::move(on_reading));
}

void MemoryStore::list(ListQuery query, OnPage on_page) {
  request<Page>(
      MemoryRequest::read,
      [this, query = std::move(query)]() -> Result<Page> {
        SEGUE_TRY(check(query));
        return database_->list(query);
      },
      std::move(on_page));
}

void MemoryStore::commit(Transaction transaction, OnCommit on_commit) {
  using Effect = MemoryFault::Effect;
  const MemoryFault drawn = fault(MemoryRequest::commit);
  const auto shared = std::make_shared<Transaction>(std::move(transaction));
  switch (drawn.effect) {
    case Effect::none: {
      const base::Duration wait = std::max(drawn.answered - drawn.takes_effect, base::Duration(0));
      at(drawn.takes_effect, [this, wait, shared, on_commit = std::move(on_commit)] {
        at(wait, [on_commit, result = database_->commit(*shared)] { on_commit(result); });
      });
      return;
    }
    case Effect::unknown_done:
      at(drawn.takes_effect, [this, shared] { static_cast<void>(database_->commit(*shared)); });
      [[fallthrough]];
    case Effect::unknown_lost:
      at(drawn.answered, [on_commit = std::move(on_commit)] {
        on_commit(unknown(Error(ErrorCode::unknown_outcome, "the store has not answered in time")));
      });
      return;
    case Effect::conflict:
    case Effect::not_committed:
      break;
  }
  at(drawn.answered, [this, drawn, shared, on_commit = std::move(on_commit)] {
    if (drawn.effect == Effect::conflict && !shared->compares.empty()) {
      const std::string& key = shared->compares.front().key;
      on_commit(broken_compare(key, database_->get(key).revision, false));
      return;
    }
    on_commit(not_committed(Error(ErrorCode::unavailable, "the store does not answer")));
  });
}

std::unique_ptr<Watch> MemoryStore::watch(std::string prefix, Revision first) {
  return database_->feed().watch(std::move(prefix), first);
}

void MemoryStore::compact(Revision revision, OnDone on_done) {
  request<void>(
      MemoryRequest::read,
      [this, revision]() -> Result<void> {
        if (revision > database_->revision() + 1) return fail(no_revision(revision));
        database_->feed().compact(revision);
        return {};
      },
      std::move(on_done));
}

void MemoryStore::grant_lease(base::Duration ttl, OnLease on_lease) {
  request<LeaseId>(
      MemoryRequest::lease,
      [this, ttl]() -> Result<LeaseId> {
        SEGUE_TRY(check_lease_ttl(ttl));
        return database_->grant_lease(ttl);
      },
      std::move(on_lease));
}

void MemoryStore::keep_alive(LeaseId lease, OnDone on_done) {
  request<void>(
      MemoryRequest::lease, [this, lease] { return database_->keep_alive(lease); },
      std::move(on_done));
}

void MemoryStore::revoke_lease(LeaseId lease, OnDone on_done) {
  request<void>(
      MemoryRequest::lease, [this, lease] { return database_->revoke_lease(lease); },
      std::move(on_done));
}

}  // namespace segue::store
