// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "store/feed.h"
#include "store/loop_scheduler.h"
#include "store/sqlite_database.h"
#include "store/store.h"

namespace segue::store {

// SQLite in a directory of this host (WAL, synchronous=FULL), for one server. One thread does the
// disk's work: what waits when it is free is one group, one fsync. Changes from before open() are
// forgotten; leases last as long as the object. After an error that leaves open what is on the disk
// it refuses everything, until it is opened anew.
class SqliteStore final : public Store {
 public:
  static constexpr std::size_t kMaxGroup = 256;

  // Blocks while it checks the file, which grows with its size. The scheduler outlives the store.
  // Errors: those of SqliteDatabase::open.
  static base::Result<std::unique_ptr<SqliteStore>> open(const std::string& directory,
                                                         LoopScheduler& scheduler,
                                                         Feed::Limits history = {});
  ~SqliteStore() override;

  void get(std::string key, OnReading on_reading) override;
  void list(ListQuery query, OnPage on_page) override;
  void commit(Transaction transaction, OnCommit on_commit) override;
  [[nodiscard]] std::unique_ptr<Watch> watch(std::string prefix, Revision first) override;
  void compact(Revision revision, OnDone on_done) override;
  void grant_lease(base::Duration ttl, OnLease on_lease) override;
  void keep_alive(LeaseId lease, OnDone on_done) override;
  void revoke_lease(LeaseId lease, OnDone on_done) override;
  [[nodiscard]] std::string name() const override { return "sqlite:" + directory_; }

 private:
  struct Job;
  struct Writer;
  template <class T, bool is_write>
  struct Call;
  struct CommitJob;

  SqliteStore(std::string directory, SqliteDatabase database, LoopScheduler& scheduler,
              Feed::Limits history);
  void submit(std::unique_ptr<Job> job);
  // A group is done: its changes are shown, then its requests answered.
  void answer(std::vector<std::unique_ptr<Job>> group, const std::optional<base::Error>& error);

  std::string directory_;
  LoopScheduler* scheduler_;
  std::shared_ptr<Feed> feed_;
  Revision revision_;  // as far as this thread has heard
  std::size_t pending_ = 0;
  std::shared_ptr<char> alive_ = std::make_shared<char>();
  std::unique_ptr<Writer> writer_;
};

}  // namespace segue::store
