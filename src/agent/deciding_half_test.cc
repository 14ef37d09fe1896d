// SPDX-License-Identifier: Apache-2.0
#include "agent/deciding_half.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "os/temp_directory.h"
#include "os/unix_socket.h"

namespace segue::agent {
namespace {

constexpr int kLimitMs = 60'000;

// What `tried` says of itself in a deciding half; "ended" where it does not come to that.
std::string in_half(const std::string& directory, const HalfUser& user,
                    const std::function<bool()>& tried) {
  auto half = start_deciding_half(directory, user, [&](const os::UniqueFd& socket) {
    (void)os::send_message(socket, tried() ? "yes" : "no");
  });
  EXPECT_TRUE(half) << (half ? "" : half.error().to_string());
  std::string word(16, '\0');
  pollfd readable{.fd = half->socket.get(), .events = POLLIN};
  EXPECT_EQ(::poll(&readable, 1, kLimitMs), 1);
  const ssize_t got = ::read(half->socket.get(), word.data(), word.size());
  int status = 0;
  ::waitpid(half->child.pid, &status, 0);
  return got > 0 ? word.substr(0, static_cast<std::size_t>(got)) : "ended";
}

class DecidingHalfTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(prepare_half_directory(directory_, user_));
    std::ofstream(outside_) << "secret";
    ASSERT_EQ(::chmod(outside_.c_str(), 0644), 0);
  }
  std::string tried(const std::function<bool()>& what) { return in_half(directory_, user_, what); }

  const os::TempDirectory temp_;
  const std::string directory_ = temp_.path() + "/line";
  const std::string outside_ = temp_.path() + "/outside";
  const HalfUser user_ = half_user("segue-agent").value();
};

TEST_F(DecidingHalfTest, KeepsWhatItDecidesInItsDirectory) {
  EXPECT_EQ(tried([] {
              std::ofstream("new") << "text";
              std::string text;
              return ::rename("new", "kept") == 0 && (std::ifstream("kept") >> text) &&
                     text == "text" && ::unlink("kept") == 0;
            }),
            "yes");
}

TEST_F(DecidingHalfTest, HasThreadsAndConnections) {
  EXPECT_EQ(tried([] {
              bool ran = false;
              std::thread([&ran] { ran = true; }).join();
              return ran && ::socket(AF_INET, SOCK_STREAM, 0) >= 0;
            }),
            "yes");
}

TEST_F(DecidingHalfTest, IsNobodyThatOwnsAnything) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can become somebody else";
  EXPECT_EQ(tried([] { return ::getuid() != 0 && ::getegid() != 0 && ::setuid(0) != 0; }), "yes");
}

TEST_F(DecidingHalfTest, StartsNothing) {
  EXPECT_EQ(tried([] {
              std::string word = "sh";
              char* arguments[] = {word.data(), nullptr};
              return ::execv("/bin/sh", arguments) != 0;
            }),
            "yes");
  EXPECT_EQ(tried([] { return ::fork() < 0; }), "yes");
}

TEST_F(DecidingHalfTest, ReachesNothingElse) {
  const std::string outside = outside_;
  EXPECT_EQ(tried([&] { return ::open(outside.c_str(), O_RDONLY) < 0; }), "yes");
  EXPECT_EQ(tried([&] { return ::open(outside.c_str(), O_WRONLY) < 0; }), "yes");
  EXPECT_EQ(tried([] { return ::ptrace(PTRACE_SEIZE, ::getppid(), nullptr, nullptr) < 0; }), "yes");
  EXPECT_EQ(tried([] { return ::kill(::getppid(), 0) < 0; }), "yes");
  EXPECT_EQ(tried([] { return ::socket(AF_PACKET, SOCK_RAW, 0) < 0; }), "yes");
  EXPECT_EQ(tried([] {
              return ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED;
            }),
            "yes");
}

TEST_F(DecidingHalfTest, ItsDirectoryIsGivenOnce) {
  const HalfUser user = user_;
  struct stat status{};
  ASSERT_EQ(::lstat(directory_.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, user.uid);
  EXPECT_EQ(status.st_mode & 07777, 0700U);
  if (::geteuid() != 0) return;
  // What it puts there itself stays whose it is, a link to another's file too.
  ASSERT_EQ(::symlink(outside_.c_str(), (directory_ + "/link").c_str()), 0);
  ASSERT_TRUE(prepare_half_directory(directory_, user));
  ASSERT_EQ(::stat(outside_.c_str(), &status), 0);
  EXPECT_EQ(status.st_uid, 0U);
}

}  // namespace
}  // namespace segue::agent
