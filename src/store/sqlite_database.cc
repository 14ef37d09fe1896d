// SPDX-License-Identifier: Apache-2.0
#include "store/sqlite_database.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <utility>

#include "os/files.h"
#include "store/commit_rules.h"

namespace segue::store {
namespace {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::int64_t kSchema = 1;
constexpr std::int64_t kApplication = 0x53454755;  // "SEGU"
constexpr const char* kCreate =
    "CREATE TABLE entry (key BLOB PRIMARY KEY, value BLOB NOT NULL, modified INTEGER NOT NULL,"
    " lease INTEGER NOT NULL, sum INTEGER NOT NULL);"
    "CREATE INDEX entry_lease ON entry (lease) WHERE lease <> 0;"
    "CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), revision INTEGER NOT NULL);"
    "INSERT INTO state VALUES (1, 1);"
    "PRAGMA application_id = 1397049173;"
    "PRAGMA user_version = 1;";

void bind_bytes(sqlite3_stmt* statement, int index, std::string_view bytes) {
  // Not null, which would be SQL's null, when it is empty.
  sqlite3_bind_blob64(statement, index, bytes.empty() ? "" : bytes.data(), bytes.size(),
                      SQLITE_STATIC);
}

void bind_number(sqlite3_stmt* statement, int index, std::uint64_t number) {
  sqlite3_bind_int64(statement, index, static_cast<sqlite3_int64>(number));
}

std::string bytes_at(sqlite3_stmt* statement, int column) {
  const void* bytes = sqlite3_column_blob(statement, column);
  const auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement, column));
  return bytes == nullptr ? std::string() : std::string(static_cast<const char*>(bytes), size);
}

std::uint64_t number_at(sqlite3_stmt* statement, int column) {
  return static_cast<std::uint64_t>(sqlite3_column_int64(statement, column));
}

// SQLite has no checksums over what it stores.
std::uint32_t sum_of(std::string_view key, std::string_view value, Revision modified) {
  const std::string head = fmt::format("{} {} ", key.size(), modified);
  uLong sum = crc32(0, nullptr, 0);
  for (const std::string_view part : {std::string_view(head), key, value}) {
    sum = crc32_z(sum, reinterpret_cast<const Bytef*>(part.data()), part.size());
  }
  return static_cast<std::uint32_t>(sum);
}

// Columns: key, value, modified, sum.
Result<Entry> entry_at(sqlite3_stmt* row, const std::string& path) {
  Entry entry{.key = bytes_at(row, 0), .value = bytes_at(row, 1), .modified = number_at(row, 2)};
  if (number_at(row, 3) != sum_of(entry.key, entry.value, entry.modified)) {
    return fail(
        ErrorCode::data_loss,
        "{} is damaged: the value of '{}' is not what was written; restore it from a backup", path,
        entry.key);
  }
  return entry;
}

ErrorCode code_of(int code) {
  switch (code & 0xFF) {
    case SQLITE_FULL:
    case SQLITE_NOMEM:
    case SQLITE_TOOBIG:
      return ErrorCode::resource_exhausted;
    case SQLITE_PERM:
    case SQLITE_READONLY:
    case SQLITE_CANTOPEN:
    case SQLITE_AUTH:
      return ErrorCode::permission_denied;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return ErrorCode::data_loss;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return ErrorCode::unavailable;
    default:
      return ErrorCode::internal;
  }
}

const char* advice_for(ErrorCode code) {
  switch (code) {
    case ErrorCode::resource_exhausted:
      return "make room on its disk";
    case ErrorCode::permission_denied:
      return "let this user write there";
    case ErrorCode::data_loss:
      return "restore it from a backup";
    case ErrorCode::unavailable:
      return "another program has it open: end that";
    default:
      return "look at its disk";
  }
}

}  // namespace

void SqliteDatabase::Close::operator()(sqlite3* database) const {
  sqlite3_close_v2(database);
}

void SqliteDatabase::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}

Error SqliteDatabase::error(int code, std::string_view doing) const {
  const ErrorCode canonical = code_of(code);
  return {canonical, fmt::format("cannot {} {}: {} (SQLite error {}); {}", doing, path_,
                                 sqlite3_errmsg(database_.get()), code, advice_for(canonical))};
}

Result<SqliteDatabase> SqliteDatabase::open(const std::string& directory) {
  SEGUE_TRY(os::ensure_private_directory(directory));
  auto lock = os::FileLock::acquire(directory + "/lock", fmt::format("process {}", ::getpid()),
                                    base::Duration(0));
  if (!lock && lock.error().code() == ErrorCode::deadline_exceeded) {
    return fail(ErrorCode::failed_precondition,
                "another server uses the store in {}: {}; end that server, or use etcd for several",
                directory, lock.error().message());
  }
  if (!lock) return fail(std::move(lock).error());
  const std::string path = directory + "/store.db";
  sqlite3* raw = nullptr;
  const int opened =
      sqlite3_open_v2(path.c_str(), &raw,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, nullptr);
  SqliteDatabase self(*std::move(lock), std::unique_ptr<sqlite3, Close>(raw), path);
  if (opened != SQLITE_OK) return fail(self.error(opened, "open"));
  sqlite3_extended_result_codes(raw, 1);
  sqlite3_busy_timeout(raw, 2000);  // for who looks into it with another program
  SEGUE_TRY(self.check_kind());
  SEGUE_TRY(self.set_mode());
  SEGUE_TRY(self.make_schema());
  SEGUE_TRY(self.check_contents());
  SEGUE_TRY(self.prepare_all());
  SEGUE_TRY(self.erase_leased());
  return self;
}

// Before anything is written.
Result<void> SqliteDatabase::check_kind() {
  SEGUE_ASSIGN(const std::int64_t tables, number("SELECT count(*) FROM sqlite_schema"));
  SEGUE_ASSIGN(const std::int64_t application, number("PRAGMA application_id"));
  SEGUE_ASSIGN(const std::int64_t schema, number("PRAGMA user_version"));
  if (tables == 0 && application == 0 && schema == 0) return {};
  if (application != kApplication) {
    return fail(ErrorCode::failed_precondition,
                "{} is a database of another program: name another directory", path_);
  }
  if (schema > kSchema) {
    return fail(ErrorCode::failed_precondition,
                "{} was written by a newer Segue (schema {}; this one reads up to {}): start that "
                "version, or restore a backup from before the upgrade",
                path_, schema, kSchema);
  }
  return {};
}

Result<void> SqliteDatabase::set_mode() {
  SEGUE_TRY(execute("PRAGMA synchronous = FULL"));
  SEGUE_ASSIGN(const Statement mode, prepare("PRAGMA journal_mode = WAL"));
  SEGUE_ASSIGN(const bool has_row, step(mode));
  if (has_row && bytes_at(mode.get(), 0) == "wal") return {};
  return fail(ErrorCode::failed_precondition,
              "{} cannot have a write-ahead log there: use a local disk", path_);
}

Result<void> SqliteDatabase::make_schema() {
  SEGUE_ASSIGN(const std::int64_t schema, number("PRAGMA user_version"));
  if (schema == kSchema) return {};
  SEGUE_TRY(execute("BEGIN IMMEDIATE"));
  auto made = execute(kCreate);
  if (made) made = execute("COMMIT");
  if (!made) roll_back();
  return made;
}

Result<void> SqliteDatabase::check_contents() {
  SEGUE_ASSIGN(const Statement check, prepare("PRAGMA integrity_check(1)"));
  SEGUE_ASSIGN(const bool has_row, step(check));
  const std::string verdict = has_row ? bytes_at(check.get(), 0) : "no answer";
  if (verdict != "ok") {
    return fail(ErrorCode::data_loss, "{} is damaged: {}; restore it from a backup", path_,
                verdict);
  }
  SEGUE_ASSIGN(const Statement all, prepare("SELECT key, value, modified, sum FROM entry"));
  while (true) {
    SEGUE_ASSIGN(const bool has_entry, step(all));
    if (!has_entry) break;
    SEGUE_TRY(entry_at(all.get(), path_));
  }
  SEGUE_ASSIGN(const std::int64_t revision, number("SELECT revision FROM state"));
  SEGUE_ASSIGN(const std::int64_t newest, number("SELECT coalesce(max(modified), 1) FROM entry"));
  if (revision < 1 || newest > revision) {
    return fail(ErrorCode::data_loss,
                "{} is damaged: an entry is of revision {}, the store of {}; restore it from a "
                "backup",
                path_, newest, revision);
  }
  revision_ = durable_revision_ = static_cast<Revision>(revision);
  return {};
}

Result<void> SqliteDatabase::prepare_all() {
  const std::array<std::pair<Statement*, const char*>, 8> statements{{
      {&get_, "SELECT key, value, modified, sum FROM entry WHERE key = ?1"},
      {&modified_, "SELECT modified FROM entry WHERE key = ?1"},
      {&list_,
       "SELECT key, value, modified, sum FROM entry WHERE key >= ?1 AND (?2 OR key < ?3)"
       " AND key > ?4 ORDER BY key LIMIT ?5"},
      {&put_, "INSERT OR REPLACE INTO entry VALUES (?1, ?2, ?3, ?4, ?5)"},
      {&erase_, "DELETE FROM entry WHERE key = ?1"},
      {&leased_, "SELECT key FROM entry WHERE lease = ?1 AND lease <> 0 ORDER BY key"},
      {&erase_leased_, "DELETE FROM entry WHERE lease = ?1 AND lease <> 0"},
      {&set_revision_, "UPDATE state SET revision = ?1"},
  }};
  for (const auto& [statement, sql] : statements) {
    SEGUE_ASSIGN(*statement, prepare(sql));
  }
  return {};
}

// Their leases were those of a process that has ended.
Result<void> SqliteDatabase::erase_leased() {
  SEGUE_ASSIGN(const std::int64_t count, number("SELECT count(*) FROM entry WHERE lease <> 0"));
  if (count == 0) return {};
  SEGUE_TRY(begin(true));
  ++revision_;
  auto done = execute("DELETE FROM entry WHERE lease <> 0");
  if (done) done = end();
  if (!done) roll_back();
  return done;
}

Result<SqliteDatabase::Statement> SqliteDatabase::prepare(const char* sql) {
  sqlite3_stmt* raw = nullptr;
  const int code =
      sqlite3_prepare_v3(database_.get(), sql, -1, SQLITE_PREPARE_PERSISTENT, &raw, nullptr);
  Statement statement(raw);
  if (code != SQLITE_OK) return fail(error(code, "read"));
  return statement;
}

Result<void> SqliteDatabase::execute(const char* sql) {
  const int code = sqlite3_exec(database_.get(), sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) return fail(error(code, "write"));
  return {};
}

Result<std::int64_t> SqliteDatabase::number(const char* sql) {
  SEGUE_ASSIGN(const Statement statement, prepare(sql));
  SEGUE_ASSIGN(const bool has_row, step(statement));
  if (!has_row) {
    return fail(ErrorCode::data_loss, "{} is damaged: it lacks its revision", path_);
  }
  return sqlite3_column_int64(statement.get(), 0);
}

Result<bool> SqliteDatabase::step(const Statement& statement) {
  const int code = sqlite3_step(statement.get());
  if (code == SQLITE_ROW) return true;
  auto failure = error(code, sqlite3_stmt_readonly(statement.get()) != 0 ? "read" : "write");
  sqlite3_reset(statement.get());
  if (code == SQLITE_DONE) return false;
  return fail(std::move(failure));
}

Result<void> SqliteDatabase::begin(bool to_write) {
  return execute(to_write ? "BEGIN IMMEDIATE" : "BEGIN");
}

Result<void> SqliteDatabase::end() {
  if (revision_ != durable_revision_) {
    bind_number(set_revision_.get(), 1, revision_);
    SEGUE_TRY(step(set_revision_));
  }
  const int code = sqlite3_exec(database_.get(), "COMMIT", nullptr, nullptr, nullptr);
  if (code == SQLITE_OK) {
    durable_revision_ = revision_;
    return {};
  }
  // Once its last frame is written and only the fsync failed, recovery may still find it.
  const Error cause = error(code, "write");
  if ((code & 0xFF) == SQLITE_IOERR && revision_ != durable_revision_) {
    return fail(ErrorCode::unknown_outcome, "{}", cause.message());
  }
  return fail(cause);
}

void SqliteDatabase::roll_back() {
  for (const Statement* statement :
       {&get_, &modified_, &list_, &put_, &erase_, &leased_, &erase_leased_, &set_revision_}) {
    if (*statement) sqlite3_reset(statement->get());
  }
  // SQLite may have done it by itself.
  if (sqlite3_get_autocommit(database_.get()) == 0) {
    sqlite3_exec(database_.get(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
  revision_ = durable_revision_;
}

Result<Reading> SqliteDatabase::get(const std::string& key) {
  bind_bytes(get_.get(), 1, key);
  Reading reading{.entry = {}, .revision = revision_};
  SEGUE_ASSIGN(const bool found, step(get_));
  if (!found) return reading;
  auto entry = entry_at(get_.get(), path_);
  sqlite3_reset(get_.get());
  if (!entry) return fail(std::move(entry).error());
  reading.entry = *std::move(entry);
  return reading;
}

Result<Revision> SqliteDatabase::modified(const std::string& key) {
  bind_bytes(modified_.get(), 1, key);
  SEGUE_ASSIGN(const bool found, step(modified_));
  if (!found) return 0U;
  const Revision revision = number_at(modified_.get(), 0);
  sqlite3_reset(modified_.get());
  return revision;
}

Result<Page> SqliteDatabase::list(const ListQuery& query) {
  PageBuilder builder(query, revision_);
  const std::string end = end_of_prefix(query.prefix);
  bind_bytes(list_.get(), 1, query.prefix);
  bind_number(list_.get(), 2, end.empty() ? 1 : 0);
  bind_bytes(list_.get(), 3, end);
  bind_bytes(list_.get(), 4, query.after);
  bind_number(list_.get(), 5, query.limit + 1);
  while (true) {
    SEGUE_ASSIGN(const bool found, step(list_));
    if (!found) break;
    auto entry = entry_at(list_.get(), path_);
    const bool fits = entry && builder.add(*entry);
    if (fits) continue;
    sqlite3_reset(list_.get());
    if (!entry) return fail(std::move(entry).error());
    break;
  }
  return std::move(builder).take();
}

Result<bool> SqliteDatabase::apply(const Operation& operation, Revision revision) {
  if (operation.kind == Operation::Kind::erase) {
    bind_bytes(erase_.get(), 1, operation.key);
    SEGUE_TRY(step(erase_));
    return sqlite3_changes(database_.get()) > 0;
  }
  bind_bytes(put_.get(), 1, operation.key);
  bind_bytes(put_.get(), 2, operation.value);
  bind_number(put_.get(), 3, revision);
  bind_number(put_.get(), 4, operation.lease);
  bind_number(put_.get(), 5, sum_of(operation.key, operation.value, revision));
  SEGUE_TRY(step(put_));
  return true;
}

Result<SqliteDatabase::Committed> SqliteDatabase::commit(const Transaction& transaction) {
  SEGUE_ASSIGN(auto broken, find_broken_compare(transaction, [this](const std::string& key) {
                 return modified(key);
               }));
  if (broken) return Committed{.result = tl::unexpected(*std::move(broken)), .change = {}};
  for (const Operation& operation : transaction.operations) {
    if (operation.lease != 0 && !has_lease(operation.lease)) {
      return Committed{.result = not_committed(no_lease(operation.lease)), .change = {}};
    }
  }
  Change change{.revision = revision_ + 1, .events = {}};
  for (const Operation& operation : transaction.operations) {
    SEGUE_ASSIGN(const bool changed, apply(operation, change.revision));
    if (changed) change.events.push_back(event_of(operation));
  }
  if (!change.events.empty()) revision_ = change.revision;
  sort_events(change);
  return Committed{.result = revision_, .change = std::move(change)};
}

LeaseId SqliteDatabase::grant_lease() {
  leases_.insert(++last_lease_);
  return last_lease_;
}

Result<Change> SqliteDatabase::end_lease(LeaseId lease) {
  Change change{.revision = revision_ + 1, .events = {}};
  bind_number(leased_.get(), 1, lease);
  while (true) {
    SEGUE_ASSIGN(const bool found, step(leased_));
    if (!found) break;
    change.events.push_back(
        {.kind = Event::Kind::erase, .key = bytes_at(leased_.get(), 0), .value = {}});
  }
  if (!change.events.empty()) {
    bind_number(erase_leased_.get(), 1, lease);
    SEGUE_TRY(step(erase_leased_));
    revision_ = change.revision;
  }
  leases_.erase(lease);
  return change;
}

}  // namespace segue::store
