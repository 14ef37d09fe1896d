// SPDX-License-Identifier: Apache-2.0
// Where `segue server` keeps what it knows: keys and values with revisions, transactions and watch,
// after etcd's data model (https://etcd.io/docs/v3.4/learning/data_model/). One thread uses a
// store, its loop's; every callback runs there, never inside the call that it was given to, once,
// and not at all after the store is destroyed.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/time.h"

namespace segue::store {

// Each commit that changes something has a greater one than all before it. 0: never.
using Revision = std::uint64_t;
// 0: none.
using LeaseId = std::uint64_t;

// What etcd takes as it comes, so that nothing works on one store and fails on another.
inline constexpr std::size_t kMaxKeyBytes = 512;
inline constexpr std::size_t kMaxValueBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxOperations = 128;  // as many compares, too
inline constexpr std::size_t kMaxTransactionBytes = std::size_t{5} << 18;
inline constexpr std::size_t kMaxPending = 4096;  // requests that are not answered yet
inline constexpr std::size_t kMaxWatches = 256;
inline constexpr std::size_t kMaxPageEntries = 1000;
inline constexpr std::size_t kMaxPageBytes = std::size_t{4} << 20;

struct Entry {
  std::string key;
  std::string value;
  Revision modified = 0;
  friend bool operator==(const Entry&, const Entry&) = default;
};

// What get() read: no entry when the key is absent. `revision` is the store's at that moment.
struct Reading {
  std::optional<Entry> entry;
  Revision revision = 0;
};

// A page of a list, ordered by the keys' bytes, at one revision. More pages: list again after the
// last key. They may show later revisions: whoever watches from the first page's revision + 1 and
// takes each event whose revision is above the entry's misses nothing.
struct Page {
  std::vector<Entry> entries;
  bool has_more = false;
  Revision revision = 0;
};

struct ListQuery {
  std::string prefix;                   // empty: all
  std::string after;                    // only greater keys; empty: from the first
  std::size_t limit = kMaxPageEntries;  // a page may end earlier, at kMaxPageBytes
};

// Holds when the key was last modified at that revision; 0: when it is absent.
struct Compare {
  std::string key;
  Revision modified = 0;
  friend bool operator==(const Compare&, const Compare&) = default;
};

struct Operation {
  enum class Kind { put, erase };
  Kind kind = Kind::put;
  std::string key;  // no key twice in a transaction
  std::string value;
  LeaseId lease = 0;  // with one the entry ends when the lease does
};

// All operations, at one revision, or none.
struct Transaction {
  // Of a leader (election.h): while it holds, no other leader has been elected. Whoever has been
  // deposed, and does not know it yet, cannot commit.
  std::optional<Compare> guard;
  std::vector<Compare> compares;
  std::vector<Operation> operations;

  Transaction& expect(std::string key, Revision modified);
  Transaction& expect_absent(std::string key) { return expect(std::move(key), 0); }
  Transaction& put(std::string key, std::string value, LeaseId lease = 0);
  Transaction& erase(std::string key);
};

// invalid_argument: a bound above is passed, a key is empty, or is put or erased twice.
base::Result<void> check(const Transaction& transaction);

struct CommitFailure {
  enum class Kind {
    deposed,        // the guard does not hold: stop leading. Nothing was changed
    conflict,       // a compare does not hold: read `key` again. Nothing was changed
    not_committed,  // surely, and it never will be: retry as it is, if `error` is passing
    unknown,        // it may be committed, or may be still: read back before anything else
  };
  Kind kind = Kind::not_committed;
  std::string key;     // conflict, deposed: the first compare that does not hold
  Revision found = 0;  // its revision as it is; 0: absent
  base::Error error;   // unavailable, invalid_argument, resource_exhausted, aborted, …
};

// The revision of the commit. Where nothing was to be changed (no operations, or erasing what is
// absent): the store's at that moment.
using CommitResult = tl::expected<Revision, CommitFailure>;

struct Event {
  enum class Kind { put, erase };
  Kind kind = Kind::put;
  std::string key;
  std::string value;
  friend bool operator==(const Event&, const Event&) = default;
};

// What one commit did below a prefix; sorted by key.
struct Change {
  Revision revision = 0;
  std::vector<Event> events;
  friend bool operator==(const Change&, const Change&) = default;
};

// A watch that ends can only be made anew: list, then watch from there.
struct WatchEnd {
  enum class Reason {
    compacted,  // the changes asked for are forgotten
    lagging,    // they came faster than they were asked for
    failed,     // the store cannot say what happens; `error` says why
  };
  Reason reason = Reason::failed;
  base::Error error;
};

// The changes below a prefix, each once, in order. Destroying it ends it. It may outlive its store,
// and says nothing then.
class Watch {
 public:
  Watch() = default;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  virtual ~Watch() = default;

  using OnChange = std::function<void(tl::expected<Change, WatchEnd>)>;
  // The next change, when there is one. One at a time: not before the callback has been called.
  // What comes meanwhile is kept, up to a bound, at which the watch ends as `lagging`.
  virtual void next(OnChange on_change) = 0;
};

class Store {
 public:
  Store() = default;
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;
  virtual ~Store() = default;

  using OnReading = std::function<void(base::Result<Reading>)>;
  using OnPage = std::function<void(base::Result<Page>)>;
  using OnCommit = std::function<void(CommitResult)>;
  using OnLease = std::function<void(base::Result<LeaseId>)>;
  using OnDone = std::function<void(base::Result<void>)>;

  // Reads see every commit that had been answered, by whichever server, before they began.
  virtual void get(std::string key, OnReading on_reading) = 0;
  virtual void list(ListQuery query, OnPage on_page) = 0;
  // Answered as committed when it survives what the store promises to survive: a power failure
  // (SQLite), that and the loss of a minority of members (etcd), the process's end not at all
  // (memory). Never committed twice.
  virtual void commit(Transaction transaction, OnCommit on_commit) = 0;

  // `first`: the first revision wanted, above 0; may be in the future.
  virtual std::unique_ptr<Watch> watch(std::string prefix, Revision first) = 0;
  // Forgets changes before `revision`, for watches; entries stay.
  virtual void compact(Revision revision, OnDone on_done) = 0;

  // A lease ends when nobody keeps it alive for `ttl`, or when it is revoked, or (SQLite) with the
  // process; its entries are erased then, as a commit.
  virtual void grant_lease(base::Duration ttl, OnLease on_lease) = 0;
  // not_found: it has ended.
  virtual void keep_alive(LeaseId lease, OnDone on_done) = 0;
  virtual void revoke_lease(LeaseId lease, OnDone on_done) = 0;

  // For messages: "sqlite:/var/lib/segue/server", "etcd://10.0.0.1:2379/segue".
  [[nodiscard]] virtual std::string name() const = 0;
};

}  // namespace segue::store
