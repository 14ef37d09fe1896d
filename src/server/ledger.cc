// SPDX-License-Identifier: Apache-2.0
#include "server/ledger.h"

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

void Ledger::continue_audit(std::uint64_t last_number, std::string last_digest) {
  last_number_ = last_number;
  last_digest_ = std::move(last_digest);
}

void Ledger::write(store::Transaction transaction, std::vector<Deed> deeds, OnWritten on_written) {
  if (dead_) return;
  for (const auto& deed : deeds) add_deed(transaction, deed);
  if (!deeds.empty()) {
    transaction.put(std::string(kAuditHead), write_record(AuditHead{last_number_, last_digest_}));
  }
  SEGUE_ASSERT(transaction.operations.size() <= store::kMaxOperations);
  transaction.guard = guard_;
  waiting_.push_back({std::move(transaction), std::move(on_written), scheduler_.now()});
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
  store_.commit(waiting_.front().transaction,
                [this](store::CommitResult result) { take(std::move(result)); });
}

void Ledger::take(store::CommitResult result) {
  if (dead_) return;
  if (result) {
    const Write done = std::move(waiting_.front());
    waiting_.pop_front();
    latency_.add(scheduler_.now() - done.asked);
    if (!waiting_.empty()) commit_first();
    if (waiting_.size() < kMaxWaiting / 2) say_trouble("");
    if (done.on_written) done.on_written(*result);
    return;
  }
  const auto& failure = result.error();
  if (failure.kind == store::CommitFailure::Kind::not_committed &&
      is_passing(failure.error.code())) {
    say_trouble(failure.error.to_string());
    scheduler_.call_at(scheduler_.now() + kRetry, [this] {
      if (!dead_) commit_first();
    });
    return;
  }
  dead_ = true;
  observer_.on_fatal(failure.error);
}

void Ledger::say_trouble(std::string trouble) {
  if (trouble == trouble_) return;
  trouble_ = std::move(trouble);
  observer_.on_trouble(trouble_);
}

}  // namespace segue::server
