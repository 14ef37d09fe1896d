// SPDX-License-Identifier: Apache-2.0
// What SQLite's store does about disks, other servers and its own past.
#include "store/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <random>

#include "os/files.h"
#include "os/temp_directory.h"
#include "store/test_store.h"

namespace segue::store {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;
using base::ErrorCode;
using testing::AnyOf;
using testing::HasSubstr;

// A file system of so little room, for as long as this lives.
class SmallDisk {
 public:
  explicit SmallDisk(const std::string& path) : path_(path) {
    fs::create_directory(path);
    is_mounted_ = ::mount("tmpfs", path.c_str(), "tmpfs", 0, "size=3m,mode=0755") == 0;
  }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;
  ~SmallDisk() {
    if (is_mounted_) ::umount2(path_.c_str(), MNT_DETACH);
  }
  [[nodiscard]] bool is_mounted() const { return is_mounted_; }
  [[nodiscard]] bool make_read_only() const {
    return ::mount("tmpfs", path_.c_str(), "tmpfs", MS_REMOUNT | MS_RDONLY, nullptr) == 0;
  }

 private:
  std::string path_;
  bool is_mounted_ = false;
};

class SqliteStoreTest : public testing::Test {
 protected:
  base::Result<std::unique_ptr<SqliteStore>> open() {
    return SqliteStore::open(path_, *loop_.scheduler);
  }
  // Opened, used and closed.
  template <class Use>
  void use(const Use& use) {
    const auto store = open();
    ASSERT_TRUE(store) << store.error().to_string();
    Asker ask(loop_, **store);
    use(ask);
  }
  [[nodiscard]] std::string database() const { return path_ + "/store.db"; }
  [[nodiscard]] std::string contents() const {
    return os::read_file(database(), std::size_t{64} << 20).value();
  }
  void overwrite(std::size_t at, const std::string& bytes) const {
    std::fstream file(database(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(at));
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    ASSERT_TRUE(file.flush());
  }
  void execute(const char* sql) const {
    sqlite3* database_handle = nullptr;
    ASSERT_EQ(sqlite3_open(database().c_str(), &database_handle), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(database_handle, sql, nullptr, nullptr, nullptr), SQLITE_OK);
    sqlite3_close(database_handle);
  }
  void refused(ErrorCode code, const std::string& text) {
    const auto store = open();
    ASSERT_FALSE(store) << "it was opened";
    EXPECT_EQ(store.error().code(), code);
    EXPECT_THAT(store.error().to_string(), HasSubstr(text));
  }

  TestLoop loop_;
  os::TempDirectory directory_;
  std::string path_ = directory_.path("store");
};

TEST_F(SqliteStoreTest, keeps_entries_and_revisions_and_ends_the_leases_of_before) {
  Revision last = 0;
  use([&](Asker& ask) {
    ask.put("a", "1");
    const auto lease = ask.grant(10s);
    ASSERT_TRUE(ask.commit(Transaction().put("leased", "x", *lease)));
    last = ask.put("b", "2");
  });
  use([&](Asker& ask) {
    const auto reading = ask.get("b");
    ASSERT_TRUE(reading && reading->entry);
    EXPECT_EQ(reading->entry->modified, last);
    EXPECT_EQ(reading->revision, last + 1);
    EXPECT_EQ(ask.value("leased"), "(absent)");
    const auto lost = ask.next(*ask.store().watch("", last));
    ASSERT_FALSE(lost);
    EXPECT_EQ(lost.error().reason, WatchEnd::Reason::compacted);
    EXPECT_EQ(ask.put("c", "3"), last + 2);
  });
}

TEST_F(SqliteStoreTest, a_second_server_is_refused_and_says_who_holds_the_store) {
  use([&](Asker& ask) {
    ask.put("a", "1");
    refused(ErrorCode::failed_precondition, "another server uses the store in " + path_);
    refused(ErrorCode::failed_precondition, fmt::format("process {}", ::getpid()));
    EXPECT_EQ(ask.value("a"), "1");
  });
  use([](Asker& ask) { EXPECT_EQ(ask.value("a"), "1"); });
}

TEST_F(SqliteStoreTest, a_newer_schema_is_refused_and_left_as_it_is) {
  use([](Asker& ask) { ask.put("a", "1"); });
  execute("PRAGMA user_version = 2");
  const std::string before = contents();
  refused(ErrorCode::failed_precondition, "was written by a newer Segue (schema 2");
  EXPECT_EQ(contents(), before);
}

TEST_F(SqliteStoreTest, another_programs_database_is_refused_and_left_as_it_is) {
  ASSERT_TRUE(os::ensure_private_directory(path_));
  execute("CREATE TABLE theirs (id INTEGER)");
  const std::string before = contents();
  refused(ErrorCode::failed_precondition, "a database of another program");
  EXPECT_EQ(contents(), before);
}

TEST_F(SqliteStoreTest, what_is_no_database_is_refused) {
  ASSERT_TRUE(os::ensure_private_directory(path_));
  std::ofstream(database()) << std::string(10'000, 'x');
  refused(ErrorCode::data_loss, "is not a database");
}

TEST_F(SqliteStoreTest, a_damaged_structure_is_found_when_it_is_opened) {
  use([](Asker& ask) {
    for (int i = 0; i < 200; ++i) ask.put(fmt::format("key/{}", i), std::string(100, 'v'));
  });
  constexpr std::size_t kPage = 4096;
  // The pages after the schema's, one after the other: some hold the index, others the entries.
  const std::string whole = contents();
  ASSERT_GT(whole.size(), 4 * kPage);
  for (std::size_t at = kPage; at + kPage <= whole.size(); at += kPage) {
    overwrite(at, std::string(kPage / 2, '\x5a'));
    refused(ErrorCode::data_loss, "restore it from a backup");
    overwrite(at, whole.substr(at, kPage));
  }
  use([](Asker& ask) { EXPECT_EQ(ask.value("key/7"), std::string(100, 'v')); });
}

TEST_F(SqliteStoreTest, a_flipped_bit_of_a_value_is_found_when_it_is_opened) {
  const std::string value = "a value that is found again in the file";
  use([&](Asker& ask) { ask.put("key", value); });
  const std::size_t at = contents().find(value);
  ASSERT_NE(at, std::string::npos);
  overwrite(at + 3, "A");
  refused(ErrorCode::data_loss, "the value of 'key' is not what was written");
}

TEST_F(SqliteStoreTest, a_read_only_directory_is_named) {
  const SmallDisk disk(path_ + ".disk");
  if (!disk.is_mounted()) GTEST_SKIP() << "NOT TESTED: only root can mount a file system";
  path_ += ".disk/store";
  use([](Asker& ask) { ask.put("a", "1"); });
  const std::string before = contents();
  ASSERT_TRUE(disk.make_read_only());
  const auto store = open();
  ASSERT_FALSE(store);
  EXPECT_THAT(store.error().to_string(), HasSubstr("Read-only file system"));
  EXPECT_THAT(store.error().to_string(), HasSubstr(path_));
  EXPECT_EQ(contents(), before);
}

TEST_F(SqliteStoreTest, a_full_disk_refuses_writes_keeps_what_is_there_and_goes_on_with_room) {
  const SmallDisk disk(path_ + ".disk");
  if (!disk.is_mounted()) GTEST_SKIP() << "NOT TESTED: only root can mount a file system";
  const std::string filler = path_ + ".disk/filler";
  std::ofstream(filler) << std::string(std::size_t{512} << 10, 'x');
  path_ += ".disk/store";
  int written = 0;
  use([&](Asker& ask) {
    CommitResult result = Revision{0};
    while (written < 1000) {
      result = ask.commit(Transaction().put(fmt::format("k{}", written), std::string(50'000, 'v')));
      if (!result) break;
      ++written;
    }
    ASSERT_FALSE(result) << "the disk is never full";
    EXPECT_EQ(result.error().kind, CommitFailure::Kind::not_committed);
    EXPECT_EQ(result.error().error.code(), ErrorCode::resource_exhausted);
    EXPECT_THAT(result.error().error.message(), HasSubstr("full"));
    ASSERT_GT(written, 3);
    for (int i = 0; i < written; ++i) EXPECT_EQ(ask.value(fmt::format("k{}", i)).size(), 50'000U);
    EXPECT_EQ(ask.value(fmt::format("k{}", written)), "(absent)");
    fs::remove(filler);
    EXPECT_GT(ask.put("small", "1"), 0U);
  });
  use([&](Asker& ask) {
    EXPECT_EQ(ask.value("small"), "1");
    for (int i = 0; i < written; ++i) EXPECT_EQ(ask.value(fmt::format("k{}", i)).size(), 50'000U);
  });
}

// A process that writes, some at once, and says what is acknowledged; it never ends by itself.
[[noreturn]] void write_for_ever(const std::string& path, int first, int acknowledged) {
  TestLoop loop;
  auto store = SqliteStore::open(path, *loop.scheduler);
  if (!store) ::_exit(1);
  int next = first;
  std::function<void()> write = [&] {
    const int number = next++;
    (*store)->commit(
        Transaction()
            .expect_absent(fmt::format("k/{:08}", number))
            .put(fmt::format("k/{:08}", number),
                 std::string(static_cast<std::size_t>(number % 3000), 'v'))
            .put("newest", std::to_string(number)),
        [&, number](const CommitResult& result) {
          if (!result || ::write(acknowledged, &number, sizeof number) != sizeof number) ::_exit(2);
          write();
        });
  };
  for (int i = 0; i < 6; ++i) write();
  while (loop.loop.run_once(1s)) continue;
  ::_exit(3);
}

TEST_F(SqliteStoreTest, what_was_acknowledged_survives_the_writers_death_at_any_moment) {
  std::minstd_rand dice(20261121);
  int first = 0;
  for (int round = 0; round < 12; ++round) {
    std::array<int, 2> pipe{};
    ASSERT_EQ(::pipe(pipe.data()), 0);
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) write_for_ever(path_, first, pipe[1]);
    ::close(pipe[1]);
    const auto wanted = 1 + dice() % 60;
    int number = 0;
    int last = first - 1;
    for (unsigned i = 0; i < wanted; ++i) {
      ASSERT_EQ(::read(pipe[0], &number, sizeof number), static_cast<ssize_t>(sizeof number));
      last = std::max(last, number);
    }
    ASSERT_EQ(::kill(child, SIGKILL), 0);
    while (::read(pipe[0], &number, sizeof number) == static_cast<ssize_t>(sizeof number)) {
      last = std::max(last, number);  // acknowledged between
    }
    ::close(pipe[0]);
    ASSERT_EQ(::waitpid(child, nullptr, 0), child);
    use([&](Asker& ask) {
      // No gap below what was acknowledged, and each transaction whole.
      const auto reading = ask.get("newest");
      ASSERT_TRUE(reading && reading->entry);
      const int newest = std::stoi(reading->entry->value);
      EXPECT_GE(newest, last);
      for (int i = first; i <= newest; ++i) {
        EXPECT_EQ(ask.value(fmt::format("k/{:08}", i)).size(), static_cast<std::size_t>(i % 3000))
            << i;
      }
      EXPECT_EQ(ask.value(fmt::format("k/{:08}", newest + 1)), "(absent)");
      first = newest + 1;
    });
  }
}

}  // namespace
}  // namespace segue::store
