// SPDX-License-Identifier: Apache-2.0
#include "os/file_lock.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <thread>

#include "os/temp_directory.h"

namespace segue::os {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(FileLock, is_held_by_one_and_says_by_whom) {
  const TempDirectory directory;
  const auto first = FileLock::acquire(directory.path("lock"), "the first one", milliseconds(0));
  ASSERT_TRUE(first);
  const auto second = FileLock::acquire(directory.path("lock"), "the second", milliseconds(0));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), base::ErrorCode::deadline_exceeded);
  EXPECT_NE(second.error().message().find("the first one"), std::string::npos);
}

TEST(FileLock, comes_to_who_waits_when_it_is_let_go) {
  const TempDirectory directory;
  std::optional<FileLock> first =
      *FileLock::acquire(directory.path("lock"), "the first one", milliseconds(0));
  std::thread waiting(
      [&] { EXPECT_TRUE(FileLock::acquire(directory.path("lock"), "the second", seconds(60))); });
  first.reset();
  waiting.join();
}

TEST(FileLock, is_free_when_its_holder_was_killed) {
  const TempDirectory directory;
  const pid_t child = ::fork();
  if (child == 0) {
    const auto held = FileLock::acquire(directory.path("lock"), "a process", milliseconds(0));
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(FileLock::acquire(directory.path("lock"), "the next", milliseconds(0)));
}

}  // namespace
}  // namespace segue::os
