// SPDX-License-Identifier: Apache-2.0
#include "server/ledger.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"
#include "fleet/audit.h"
#include "server/documents.h"

namespace segue::server {
namespace {

using base::ErrorCode;

// What may have passed when it is tried again.
bool is_passing(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::resource_exhausted ||
         code == ErrorCode::deadline_exceeded || code == ErrorCode::aborted;
}

}  // namespace

Ledger::Ledger(store::Store& store, store::Scheduler& scheduler, const os::Clock& clock,
               Observer observer)
    : store_(store), scheduler_(scheduler), clock_(clock), observer_(std::move(observer)) {}

void Ledger::continue_audit(std::uint64_t last_number, std::string last_digest,
                            store::Revision head) {
  last_number_ = last_number;
  last_digest_ = std::move(last_digest);
  head_ = head;
}

void Ledger::write(store::Transaction transaction, const std::vector<Deed>& deeds,
                   OnWritten on_written) {
  if (dead_) return;
  for (const auto& deed : deeds) add_deed(transaction, deed);
  if (!transaction.operations.empty()) {
    transaction.put(std::string(kAuditHead), write_record(AuditHead{last_number_, last_digest_}));
  }
  SEGUE_ASSERT(transaction.operations.size() <= store::kMaxOperations);
  transaction.guard = guard_;
  waiting_.push_back({.transaction = std::move(transaction),
                      .on_written = std::move(on_written),
                      .asked = scheduler_.now()});
  if (waiting_.size() == 1) commit_first();
  if (waiting_.size() >= kMaxWaiting) {
    say_trouble(fmt::format("{} writes wait for {}", waiting_.size(), store_.name()));
  }
}

void Ledger::add_deed(store::Transaction& transaction, const Deed& deed) {
  const fleet::AuditEntry entry{.number = last_number_ + 1,
                                .time_ms = milliseconds_of(clock_.realtime_now()),
                                .by = deed.by,
                                .action = deed.action,
                                .object = deed.object,
                                .text = deed.text,
                                .previous = last_digest_};
  std::string line = fleet::write_audit_entry(entry);
  last_number_ = entry.number;
  last_digest_ = fleet::audit_digest(line);
  transaction.put(audit_key(entry.number), std::move(line));
}

void Ledger::commit_first() {
  Write& first = waiting_.front();
  first.tried = scheduler_.now();
  store::Transaction transaction = first.transaction;
  // Before what the write itself compares: an earlier try may have changed that, too.
  if (!transaction.operations.empty()) {
    transaction.compares.insert(transaction.compares.begin(), {std::string(kAuditHead), head_});
  }
  store_.commit(std::move(transaction),
                [this](const store::CommitResult& result) { take(result); });
}

void Ledger::commit_later(base::Duration pause) {
  scheduler_.call_at(scheduler_.now() + pause, [this] {
    if (!dead_) commit_first();
  });
}

void Ledger::take(const store::CommitResult& result) {
  if (dead_) return;
  if (!result) return take_failure(result.error());
  if (!waiting_.front().transaction.operations.empty()) head_ = *result;
  written(*result);
}

void Ledger::written(store::Revision revision) {
  const Write done = std::move(waiting_.front());
  waiting_.pop_front();
  latency_.add(scheduler_.now() - done.asked);
  if (!waiting_.empty()) commit_first();
  if (waiting_.size() < kMaxWaiting / 2) say_trouble("");
  if (done.on_written) done.on_written(revision);
}

void Ledger::take_failure(const store::CommitFailure& failure) {
  using Kind = store::CommitFailure::Kind;
  Write& first = waiting_.front();
  if (failure.kind == Kind::unknown && ++first.unclear < kMaxUnclear) {
    if (first.unclear > 1) say_trouble(failure.error.to_string());
    const base::Duration passed = scheduler_.now() - first.tried;
    return commit_later(std::max(kSettle - passed, base::Duration(0)));
  }
  // While this server leads nothing but an earlier try can have changed it.
  if (failure.kind == Kind::conflict && failure.key == kAuditHead && first.unclear > 0) {
    head_ = failure.found;
    return written(head_);
  }
  if (failure.kind == Kind::not_committed && is_passing(failure.error.code())) {
    say_trouble(failure.error.to_string());
    return commit_later(kRetry);
  }
  dead_ = true;
  // An earlier try may have been done, and may be yet.
  if (first.unclear == 0) return observer_.on_fatal(failure.error);
  observer_.on_fatal({ErrorCode::unknown_outcome, failure.error.message()});
}

void Ledger::say_trouble(std::string trouble) {
  if (trouble == trouble_) return;
  trouble_ = std::move(trouble);
  observer_.on_trouble(trouble_);
}

}  // namespace segue::server
