// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "os/clock.h"
#include "server/latency.h"
#include "store/scheduler.h"
#include "store/store.h"

namespace segue::server {

// Something that a person, or the server by itself, did; for the audit log.
struct Deed {
  std::string by;      // a person, or "server"
  std::string action;  // "rollout.pause"
  std::string object;  // "chat-7"
  std::string text;
};

// Writes to the store in the order of the calls, one transaction after the other, each with the
// deeds that it is about. Each replaces the audit log's head as the one before has left it, so that
// it can be written once only: what nobody knows the outcome of is given again, and either is
// written by that or is found to be written. What cannot be written now is tried again. What
// another server has changed, or what stays unknown, is fatal: the next term reads anew.
class Ledger {
 public:
  static constexpr std::size_t kMaxWaiting = 20'000;
  static constexpr base::Duration kRetry = std::chrono::seconds(1);
  // Of one write, whose outcome stays unknown; and the least time from one to the next.
  static constexpr std::size_t kMaxUnclear = 5;
  static constexpr base::Duration kSettle = std::chrono::milliseconds(250);

  struct Observer {
    std::function<void(const base::Error& why)> on_fatal;
    // Why writing fails now; empty: it works again.
    std::function<void(const std::string& trouble)> on_trouble;
  };
  // All outlive it.
  Ledger(store::Store& store, store::Scheduler& scheduler, const os::Clock& clock,
         Observer observer);

  // Of a leader (store/election.h), before the first write.
  void guard_with(store::Compare guard) { guard_ = std::move(guard); }
  // With the log whose last entry is so numbered and hashed, and whose head was put then; 0: there
  // is none.
  void continue_audit(std::uint64_t last_number, std::string last_digest, store::Revision head);

  using OnWritten = std::function<void(store::Revision revision)>;
  // At most kMaxOperations, the deeds, one each, and the log's head included. `on_written` is
  // called once it is stored for sure; never inside this call, nor after something fatal.
  void write(store::Transaction transaction, const std::vector<Deed>& deeds, OnWritten on_written);

  // Why nothing new may be begun: too much waits, or writing fails. Empty: all is well.
  [[nodiscard]] const std::string& trouble() const { return trouble_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_.size(); }
  // Of transactions, with what they waited for the store.
  [[nodiscard]] const Latency& latency() const { return latency_; }
  // Of the audit log, as decided.
  [[nodiscard]] std::uint64_t audit_number() const { return last_number_; }
  [[nodiscard]] const std::string& audit_digest() const { return last_digest_; }

 private:
  struct Write {
    store::Transaction transaction;
    OnWritten on_written;
    base::MonotonicTime asked{};
    base::MonotonicTime tried{};
    std::size_t unclear = 0;  // tries whose outcome is unknown
  };

  void add_deed(store::Transaction& transaction, const Deed& deed);
  void commit_first();
  void commit_later(base::Duration pause);
  void take(const store::CommitResult& result);
  void take_failure(const store::CommitFailure& failure);
  void written(store::Revision revision);
  void say_trouble(std::string trouble);

  store::Store& store_;
  store::Scheduler& scheduler_;
  const os::Clock& clock_;
  Observer observer_;
  std::optional<store::Compare> guard_;
  std::uint64_t last_number_ = 0;
  std::string last_digest_;
  store::Revision head_ = 0;   // of the audit log's head, as stored
  std::deque<Write> waiting_;  // the first is being written
  bool dead_ = false;
  std::string trouble_;
  Latency latency_;
};

}  // namespace segue::server
