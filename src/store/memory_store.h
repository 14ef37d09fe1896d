// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "store/feed.h"
#include "store/scheduler.h"
#include "store/store.h"

namespace segue::store {

// What a MemoryStore can be made to do to one request. Times are from the request's beginning.
struct MemoryFault {
  enum class Effect {
    none,
    conflict,       // of a commit, on its first compare; not_committed when it has none
    not_committed,  // of reads: unavailable
    unknown_done,   // of a commit; it takes effect, perhaps after its answer
    unknown_lost,
  };
  Effect effect = Effect::none;
  base::Duration takes_effect{};
  base::Duration answered{};  // unless it is unknown: not before it takes effect
};

enum class MemoryRequest { read, commit, lease };
using MemoryFaults = std::function<MemoryFault(MemoryRequest)>;

// The state, which several servers may share, each through a MemoryStore of its own. Deterministic:
// its clock and its order are the scheduler's, which outlives it. One thread.
class MemoryDatabase {
 public:
  explicit MemoryDatabase(Scheduler& scheduler, Feed::Limits history = {});

  // All take effect at once.
  [[nodiscard]] Reading get(const std::string& key) const;
  [[nodiscard]] Page list(const ListQuery& query) const;
  CommitResult commit(const Transaction& transaction);
  LeaseId grant_lease(base::Duration ttl);
  base::Result<void> keep_alive(LeaseId lease);
  base::Result<void> revoke_lease(LeaseId lease);
  [[nodiscard]] Feed& feed() { return *feed_; }
  [[nodiscard]] Revision revision() const { return revision_; }

 private:
  struct Stored {
    std::string value;
    Revision modified = 0;
    LeaseId lease = 0;
  };
  struct Lease {
    base::Duration ttl;
    base::MonotonicTime ends;
  };
  [[nodiscard]] Revision modified(const std::string& key) const;
  void await_end(LeaseId lease);
  void erase_leased(LeaseId lease);

  Scheduler* scheduler_;
  std::map<std::string, Stored, std::less<>> entries_;
  Revision revision_ = 1;
  std::map<LeaseId, Lease> leases_;
  LeaseId last_lease_ = 0;
  std::shared_ptr<Feed> feed_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

// One server's way to it. Destroyed with requests under way, like a server that crashes: what had
// taken effect stays, the rest does not happen.
class MemoryStore final : public Store {
 public:
  // The scheduler outlives it.
  MemoryStore(std::shared_ptr<MemoryDatabase> database, Scheduler& scheduler,
              MemoryFaults faults = {});

  void get(std::string key, OnReading on_reading) override;
  void list(ListQuery query, OnPage on_page) override;
  void commit(Transaction transaction, OnCommit on_commit) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, Revision first) override;
  void compact(Revision revision, OnDone on_done) override;
  void grant_lease(base::Duration ttl, OnLease on_lease) override;
  void keep_alive(LeaseId lease, OnDone on_done) override;
  void revoke_lease(LeaseId lease, OnDone on_done) override;
  [[nodiscard]] std::string name() const override { return "memory:"; }

 private:
  // Runs `act` when the request takes effect and `answer` with its result when it is answered.
  template <class T>
  void request(MemoryRequest kind, std::function<base::Result<T>()> act,
               std::function<void(base::Result<T>)> answer);
  void at(base::Duration delay, std::function<void()> call);
  [[nodiscard]] MemoryFault fault(MemoryRequest kind) const;

  std::shared_ptr<MemoryDatabase> database_;
  Scheduler* scheduler_;
  MemoryFaults faults_;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
};

}  // namespace segue::store
