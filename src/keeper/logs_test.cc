// SPDX-License-Identifier: Apache-2.0
// What the keeper writes to disk: the rotating logs, and the files with the instances' output.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "keeper/output_files.h"
#include "keeper/rotating_log.h"
#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::keeper {
namespace {

namespace fs = std::filesystem;

std::string contents(const std::string& path) {
  return os::read_file(path, 64 << 20).value_or("");
}

TEST(RotatingLog, appends_lines) {
  const os::TempDirectory directory;
  RotatingLog log(directory.path("log"), 1'000);
  log.append("one", os::Durability::buffered);
  log.append("two", os::Durability::synced);
  EXPECT_EQ(contents(log.path()), "one\ntwo\n");
  EXPECT_EQ(log.lines_lost(), 0U);
}

TEST(RotatingLog, keeps_one_older_file_at_its_bound) {
  const os::TempDirectory directory;
  RotatingLog log(directory.path("log"), 100);
  for (int i = 0; i < 50; ++i) log.append("line " + std::to_string(i), os::Durability::buffered);
  EXPECT_LE(fs::file_size(log.path()), 100U);
  EXPECT_LE(fs::file_size(log.path() + ".1"), 100U);
  EXPECT_NE(contents(log.path()).find("line 49\n"), std::string::npos);
}

TEST(RotatingLog, counts_what_a_full_disk_does_not_take_and_goes_on_when_it_does) {
  const os::TempDirectory directory;
  const std::string path = directory.path("log");
  fs::create_symlink("/dev/full", path);
  RotatingLog log(path, 1'000);
  log.append("lost", os::Durability::buffered);
  log.append("lost too", os::Durability::synced);
  EXPECT_EQ(log.lines_lost(), 2U);
  fs::remove(path);
  log.append("kept", os::Durability::buffered);
  EXPECT_EQ(contents(path), "\nkept\n") << "apart from a line that may be torn";
}

void write(const os::UniqueFd& fd, const std::string& text) {
  ASSERT_EQ(::write(fd.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
}

TEST(OutputFiles, are_one_per_generation_and_the_oldest_go) {
  const os::TempDirectory directory;
  OutputFiles files(directory.path());
  EXPECT_EQ(files.last_generation(), 0U);
  for (Generation generation = 1; generation <= 20; ++generation) {
    write(*files.open(generation), "x");
  }
  EXPECT_EQ(files.last_generation(), 20U);
  EXPECT_FALSE(fs::exists(files.prefix() + "12.log"));
  EXPECT_TRUE(fs::exists(files.prefix() + "13.log"));
}

TEST(OutputFiles, keep_the_newer_half_at_the_bound_while_the_writer_goes_on) {
  const os::TempDirectory directory;
  OutputFiles files(directory.path());
  const os::UniqueFd fd = *files.open(1);
  write(fd, std::string(OutputFiles::kMaxBytes, 'a'));
  write(fd, "newest");
  files.trim(1);
  EXPECT_EQ(fs::file_size(files.prefix() + "1.log"), 0U);
  const std::string kept = contents(files.prefix() + "1.log.1");
  EXPECT_EQ(kept.size(), OutputFiles::kMaxBytes / 2);
  EXPECT_TRUE(kept.ends_with("anewest"));
  write(fd, "after");
  EXPECT_EQ(contents(files.prefix() + "1.log"), "after");
}

TEST(OutputFiles, below_the_bound_are_left_alone) {
  const os::TempDirectory directory;
  OutputFiles files(directory.path());
  write(*files.open(1), "short");
  files.trim(1);
  files.trim(7);
  EXPECT_EQ(contents(files.prefix() + "1.log"), "short");
}

TEST(OutputFiles, that_belong_to_something_else_are_not_counted) {
  const os::TempDirectory directory;
  for (const char* name : {"output.x.log", "output..log", "output.3.log.1", "other.4.log"}) {
    ASSERT_TRUE(os::append_to_file(directory.path(name), "x", os::Durability::buffered));
  }
  EXPECT_EQ(OutputFiles(directory.path()).last_generation(), 0U);
}

}  // namespace
}  // namespace segue::keeper
