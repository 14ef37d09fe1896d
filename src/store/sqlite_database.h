// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "base/error.h"
#include "os/file_lock.h"
#include "store/store.h"

struct sqlite3;
struct sqlite3_stmt;

namespace segue::store {

// The file below a SqliteStore: `store.db` in a directory that one process holds at a time. Blocks;
// one thread at a time.
class SqliteDatabase {
 public:
  // Makes what is missing. Nothing is touched when it fails: failed_precondition (another server
  // holds it, a newer Segue wrote it, or it is no store), data_loss (it is damaged),
  // permission_denied, resource_exhausted (no room).
  static base::Result<SqliteDatabase> open(const std::string& directory);

  SqliteDatabase(SqliteDatabase&&) noexcept = default;
  SqliteDatabase& operator=(SqliteDatabase&&) noexcept = default;
  ~SqliteDatabase() = default;

  // What follows belongs to a group, from begin() to end(): on the disk as a whole, or not at all.
  // An error of any of these is one of the disk: roll_back() then.
  base::Result<void> begin(bool to_write);
  base::Result<Reading> get(const std::string& key);
  base::Result<Page> list(const ListQuery& query);
  struct Committed {
    CommitResult result;
    Change change;  // empty when nothing was changed
  };
  base::Result<Committed> commit(const Transaction& transaction);
  // Erases what has the lease.
  base::Result<Change> end_lease(LeaseId lease);
  [[nodiscard]] LeaseId grant_lease();
  [[nodiscard]] bool has_lease(LeaseId lease) const { return leases_.contains(lease); }
  // Returns when the group survives a power failure. unknown_outcome: perhaps it does.
  base::Result<void> end();
  void roll_back();

  [[nodiscard]] Revision revision() const { return revision_; }

 private:
  struct Close {
    void operator()(sqlite3* database) const;
  };
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  using Statement = std::unique_ptr<sqlite3_stmt, Finalize>;

  SqliteDatabase(os::FileLock lock, std::unique_ptr<sqlite3, Close> database, std::string path)
      : lock_(std::move(lock)), path_(std::move(path)), database_(std::move(database)) {}

  base::Result<void> check_kind();
  base::Result<void> set_mode();
  base::Result<void> make_schema();
  base::Result<void> check_contents();
  base::Result<void> prepare_all();
  base::Result<void> erase_leased();

  base::Result<Statement> prepare(const char* sql);
  base::Result<void> execute(const char* sql);
  base::Result<std::int64_t> number(const char* sql);
  // True: there is a row. A statement that has no more rows is reset.
  base::Result<bool> step(const Statement& statement);
  base::Result<Revision> modified(const std::string& key);
  base::Result<bool> apply(const Operation& operation, Revision revision);
  [[nodiscard]] base::Error error(int code, std::string_view doing) const;

  os::FileLock lock_;
  std::string path_;
  std::unique_ptr<sqlite3, Close> database_;  // closed after its statements
  Statement get_, modified_, list_, put_, erase_, leased_, erase_leased_, set_revision_;
  Revision revision_ = 0;
  Revision durable_revision_ = 0;
  std::set<LeaseId> leases_;
  LeaseId last_lease_ = 0;
};

}  // namespace segue::store
