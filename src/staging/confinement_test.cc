// SPDX-License-Identifier: Apache-2.0
#include "staging/confinement.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <string>
#include <thread>

#include "os/files.h"
#include "staging/test_stage.h"

namespace segue::staging {
namespace {

constexpr int kYes = 10;
constexpr int kNo = 11;
constexpr int kNotConfined = 12;

bool has_landlock() {
  return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) >= 1;
}

class Confined : public Stage {
 protected:
  Confined() {
    make_live("1.0");
    EXPECT_TRUE(os::write_file_atomically(outside_, "secret"));
    EXPECT_TRUE(os::write_file_atomically(in_place_, "started by others"));
  }

  // What `tried` comes to in a process of its own, which is confined to the place.
  [[nodiscard]] bool in_staging(const std::function<bool(Place&)>& tried) const {
    const pid_t child = ::fork();
    if (child == 0) {
      Place place = open();
      if (!confine_to_staging(place, library_.url())) ::_exit(kNotConfined);
      ::_exit(tried(place) ? kYes : kNo);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFEXITED(status) && (WEXITSTATUS(status) == kYes || WEXITSTATUS(status) == kNo))
        << status;
    return WIFEXITED(status) && WEXITSTATUS(status) == kYes;
  }
  [[nodiscard]] bool opens(const std::string& path, int flags) const {
    return in_staging([&](Place&) { return ::open(path.c_str(), flags | O_CLOEXEC, 0600) >= 0; });
  }

  const std::string outside_ = directory_.path("outside");
  const std::string in_place_ = place_path() + "/starter";
};

TEST_F(Confined, stages_with_links_into_the_live_tree_and_a_sandbox_of_its_own) {
  EXPECT_TRUE(in_staging([&](Place& place) {
    const auto report = stage(place, request("1.1"), library_.clock);
    return report && report->way == Way::delta &&
           report->build.files_linked + report->build.files_cloned > 0;
  }));
  const Place place = open();
  ASSERT_EQ(place.trees().size(), 2U);
  EXPECT_EQ(place.trees().at(1).record.version, "1.1");
}

TEST_F(Confined, takes_chunks_and_removes_what_it_began) {
  EXPECT_TRUE(in_staging([&](Place& place) {
    StageRequest damaged = request("1.1");
    damaged.sharing = tree::Sharing::copy;
    return ::unlink(live("VERSION").c_str()) == 0 &&
           stage(place, damaged, library_.clock).has_value();
  }));
}

TEST_F(Confined, writes_nowhere_else) {
  if (!has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
  EXPECT_FALSE(opens(outside_, O_RDONLY));
  EXPECT_FALSE(opens(outside_, O_WRONLY));
  EXPECT_FALSE(opens(directory_.path("new"), O_WRONLY | O_CREAT));
  EXPECT_FALSE(opens("/etc/shadow", O_RDONLY));
  EXPECT_TRUE(opens(in_place_, O_RDONLY));
  EXPECT_FALSE(opens(in_place_, O_WRONLY));
  EXPECT_FALSE(in_staging([&](Place&) { return ::unlink(in_place_.c_str()) == 0; }));
  EXPECT_TRUE(opens(place_path() + "/.segue/downloads/new", O_WRONLY | O_CREAT));
}

TEST_F(Confined, starts_nothing_and_lets_nobody_in) {
  EXPECT_TRUE(in_staging([](Place&) {
    std::string word = "sh";
    char* arguments[] = {word.data(), nullptr};
    return ::execv("/bin/sh", arguments) != 0;
  }));
  EXPECT_FALSE(in_staging([](Place&) { return ::socket(AF_UNIX, SOCK_STREAM, 0) >= 0; }));
  EXPECT_FALSE(in_staging([](Place&) {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    return fd >= 0 && ::listen(fd, 1) == 0;
  }));
  EXPECT_TRUE(in_staging([](Place&) {
    bool ran = false;
    std::thread([&ran] { ran = true; }).join();
    return ran && ::socket(AF_INET, SOCK_STREAM, 0) >= 0;
  }));
}

TEST_F(Confined, touches_no_process_and_no_mode_of_others) {
  EXPECT_FALSE(in_staging([](Place&) { return ::kill(::getppid(), 0) == 0; }));
  EXPECT_FALSE(
      in_staging([](Place&) { return ::syscall(SYS_tgkill, ::getppid(), ::getppid(), 0) == 0; }));
  EXPECT_FALSE(in_staging([&](Place&) { return ::chown(outside_.c_str(), 1, 1) == 0; }));
  if (::geteuid() != 0) return;
  EXPECT_FALSE(in_staging([&](Place&) { return ::chmod(outside_.c_str(), 0777) == 0; }));
}

}  // namespace
}  // namespace segue::staging
