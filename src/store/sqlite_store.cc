// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_store.h"

#include <utility>

#include "store/commit_rules.h"

namespace segue::store {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

// A request on its way to the writer and back. `run` is called there, the others on the loop's
// thread.
struct SqliteStore::Job {
  explicit Job(bool is_write) : writes(is_write) {}
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;
  virtual ~Job() = default;

  // An error is one of the disk: nothing of the group is done.
  virtual Result<void> run(SqliteDatabase& database) = 0;
  virtual void answer() = 0;
  virtual void refuse(const Error& error) = 0;

  const bool writes;
  Change change;  // what it did, to be shown to watches
};

// Everything but a commit.
template <class T, bool is_write>
struct SqliteStore::Call final : Job {
  using Act = std::function<Result<Result<T>>(SqliteDatabase& database, Change& change)>;
  using Answer = std::function<void(Result<T>)>;
  Call(Act act, Answer answer) : Job(is_write), act_(std::move(act)), answer_(std::move(answer)) {}

  Result<void> run(SqliteDatabase& database) override {
    auto result = act_(database, change);
    if (!result) return fail(std::move(result).error());
    result_ = *std::move(result);
    return {};
  }
  void answer() override { answer_(*std::move(result_)); }
  void refuse(const Error& error) override { answer_(fail(error)); }

  Act act_;
  Answer answer_;
  std::optional<Result<T>> result_;
};

struct SqliteStore::CommitJob final : Job {
  CommitJob(Transaction wanted, OnCommit on_commit)
      : Job(true), transaction(std::move(wanted)), answer_(std::move(on_commit)) {}

  Result<void> run(SqliteDatabase& database) override {
    SEGUE_ASSIGN(auto committed, database.commit(transaction));
    result_ = std::move(committed.result);
    change = std::move(committed.change);
    return {};
  }
  void answer() override { answer_(std::move(result_)); }
  void refuse(const Error& error) override {
    if (error.code() == ErrorCode::unknown_outcome) {
      answer_(unknown(error));
    } else {
      answer_(not_committed(error));
    }
  }

  Transaction transaction;
  OnCommit answer_;
  CommitResult result_ = Revision{0};
};

// The thread, and what it shares with the loop's.
struct SqliteStore::Writer {
  Writer(SqliteDatabase opened, SqliteStore& owner)
      : database(std::move(opened)), store(owner), thread([this] { work(); }) {}
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;
  ~Writer() {
    {
      const std::lock_guard lock(mutex);
      is_over = true;
    }
    changed.notify_one();
    thread.join();
  }

  void submit(std::unique_ptr<Job> job) {
    {
      const std::lock_guard lock(mutex);
      waiting.push_back(std::move(job));
    }
    changed.notify_one();
  }

  // Empty: it is over.
  std::vector<std::unique_ptr<Job>> next_group() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [this] { return is_over || !waiting.empty(); });
    std::vector<std::unique_ptr<Job>> group;
    while (!is_over && !waiting.empty() && group.size() < kMaxGroup) {
      group.push_back(std::move(waiting.front()));
      waiting.pop_front();
    }
    return group;
  }

  void work() {
    while (true) {
      auto group = next_group();
      if (group.empty()) return;
      auto done = run(group);
      // Shared, for a std::function can be copied.
      const auto shared = std::make_shared<std::vector<std::unique_ptr<Job>>>(std::move(group));
      auto error = done ? std::nullopt : std::optional<Error>(std::move(done).error());
      store.scheduler_->post(
          [&owner = store, alive = std::weak_ptr(store.alive_), shared, error = std::move(error)] {
            if (!alive.expired()) owner.answer(std::move(*shared), error);
          });
    }
  }

  Result<void> run(std::vector<std::unique_ptr<Job>>& group) {
    if (broken) return fail(*broken);
    bool writes = false;
    for (const auto& job : group) writes = writes || job->writes;
    auto done = database.begin(writes);
    for (auto job = group.begin(); done && job != group.end(); ++job) {
      done = (*job)->run(database);
    }
    if (done) done = database.end();
    if (done) return done;
    database.roll_back();
    const ErrorCode code = done.error().code();
    if (code != ErrorCode::resource_exhausted && code != ErrorCode::unavailable) {
      broken = Error(ErrorCode::failed_precondition,
                     fmt::format("the store has stopped after an error of its disk; start the "
                                 "server again once that is repaired: {}",
                                 done.error().message()));
    }
    return done;
  }

  SqliteDatabase database;  // the thread's from its start to its end
  std::optional<Error> broken;
  SqliteStore& store;
  std::mutex mutex;
  std::condition_variable changed;
  std::deque<std::unique_ptr<Job>> waiting;  // guarded by mutex, as is_over is
  bool is_over = false;
  std::thread thread;  // begins last
};

Result<std::unique_ptr<SqliteStore>> SqliteStore::open(const std::string& directory,
                                                       LoopScheduler& scheduler,
                                                       Feed::Limits history) {
  auto database = SqliteDatabase::open(directory);
  if (!database) return fail(std::move(database).error().with("cannot open the store"));
  return std::unique_ptr<SqliteStore>(
      new SqliteStore(directory, *std::move(database), scheduler, history));
}

SqliteStore::SqliteStore(std::string directory, SqliteDatabase database, LoopScheduler& scheduler,
                         Feed::Limits history)
    : directory_(std::move(directory)),
      scheduler_(&scheduler),
      feed_(std::make_shared<Feed>(scheduler, history, database.revision())),
      revision_(database.revision()),
      writer_(std::make_unique<Writer>(std::move(database), *this)) {}

SqliteStore::~SqliteStore() = default;

void SqliteStore::submit(std::unique_ptr<Job> job) {
  if (pending_ < kMaxPending) {
    ++pending_;
    writer_->submit(std::move(job));
    return;
  }
  scheduler_->call_soon(
      [shared = std::shared_ptr<Job>(std::move(job)), alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        shared->refuse(Error(ErrorCode::resource_exhausted,
                             fmt::format("{} requests wait for the disk already", kMaxPending)));
      });
}

void SqliteStore::answer(std::vector<std::unique_ptr<Job>> group,
                         const std::optional<Error>& error) {
  pending_ -= group.size();
  const std::weak_ptr alive(alive_);
  for (const auto& job : group) {
    if (alive.expired()) return;  // a callback has destroyed the store
    if (error) {
      job->refuse(*error);
      continue;
    }
    if (!job->change.events.empty()) {
      revision_ = job->change.revision;
      feed_->publish(std::move(job->change));
    }
    job->answer();
  }
}

void SqliteStore::get(std::string key, OnReading on_reading) {
  submit(std::make_unique<Call<Reading, false>>(
      [key = std::move(key)](SqliteDatabase& database, Change&) -> Result<Result<Reading>> {
        return database.get(key);
      },
      std::move(on_reading)));
}

void SqliteStore::list(ListQuery query, OnPage on_page) {
  submit(std::make_unique<Call<Page, false>>(
      [query = std::move(query)](SqliteDatabase& database, Change&) -> Result<Result<Page>> {
        if (auto valid = check(query); !valid) return Result<Page>(fail(valid.error()));
        return database.list(query);
      },
      std::move(on_page)));
}

void SqliteStore::commit(Transaction transaction, OnCommit on_commit) {
  if (auto valid = check(transaction); !valid) {
    scheduler_->call_soon([on_commit = std::move(on_commit), error = std::move(valid).error(),
                           alive = std::weak_ptr(alive_)] {
      if (!alive.expired()) on_commit(not_committed(error));
    });
    return;
  }
  submit(std::make_unique<CommitJob>(std::move(transaction), std::move(on_commit)));
}

std::unique_ptr<Watch> SqliteStore::watch(std::string prefix, Revision first) {
  return feed_->watch(std::move(prefix), first);
}

void SqliteStore::compact(Revision revision, OnDone on_done) {
  scheduler_->call_soon(
      [this, revision, on_done = std::move(on_done), alive = std::weak_ptr(alive_)] {
        if (alive.expired()) return;
        if (revision > revision_ + 1) return on_done(fail(no_revision(revision)));
        feed_->compact(revision);
        on_done({});
      });
}

void SqliteStore::grant_lease(base::Duration ttl, OnLease on_lease) {
  submit(std::make_unique<Call<LeaseId, false>>(
      [ttl](SqliteDatabase& database, Change&) -> Result<Result<LeaseId>> {
        if (auto valid = check_lease_ttl(ttl); !valid) {
          return Result<LeaseId>(fail(valid.error()));
        }
        return Result<LeaseId>(database.grant_lease());
      },
      std::move(on_lease)));
}

void SqliteStore::keep_alive(LeaseId lease, OnDone on_done) {
  submit(std::make_unique<Call<void, false>>(
      [lease](SqliteDatabase& database, Change&) -> Result<Result<void>> {
        if (!database.has_lease(lease)) return Result<void>(fail(no_lease(lease)));
        return Result<void>();
      },
      std::move(on_done)));
}

void SqliteStore::revoke_lease(LeaseId lease, OnDone on_done) {
  submit(std::make_unique<Call<void, true>>(
      [lease](SqliteDatabase& database, Change& change) -> Result<Result<void>> {
        if (!database.has_lease(lease)) return Result<void>(fail(no_lease(lease)));
        SEGUE_ASSIGN(change, database.end_lease(lease));
        return Result<void>();
      },
      std::move(on_done)));
}

}  // namespace segue::store
