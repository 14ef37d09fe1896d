// SPDX-License-Identifier: Apache-2.0
#include "os/process_tree.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>

#include "os/process.h"

namespace segue::os {
namespace {

using namespace std::chrono_literals;

// Other tests run beside this one.
std::string mark() {
  return "SEGUE_TEST_TREE=" + std::to_string(::getpid());
}

// A child that says on a pipe that all of its own children run.
struct Family {
  explicit Family(const std::string& script) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
    const UniqueFd reader(ends[0]);
    UniqueFd writer(ends[1]);
    auto spawned = spawn({.argv = {"/bin/sh", "-c", script},
                          .env = {"PATH=/usr/bin:/bin", mark()},
                          .fds = {{.source = writer.get(), .target = 3}},
                          .ends_with_parent = true});
    EXPECT_TRUE(spawned) << spawned.error().to_string();
    child = *std::move(spawned);
    writer.reset();
    char byte = 0;
    EXPECT_EQ(::read(reader.get(), &byte, 1), 1);
  }

  Child child;
};

// Until nothing is left of what `list` finds.
template <class List>
void kill_all(const List& list) {
  for (int round = 0; round < 10'000; ++round) {
    const auto left = list();
    ASSERT_TRUE(left) << left.error().to_string();
    if (left->empty()) return;
    for (const auto& process : *left) kill_or_reap(process);
  }
  FAIL() << "some do not end";
}

bool has(const std::vector<TreeProcess>& processes, pid_t pid) {
  return std::ranges::any_of(processes, [&](const auto& process) { return process.pid == pid; });
}

TEST(ProcessTree, holds_whoever_has_left_its_group_and_its_parent) {
  ASSERT_TRUE(adopt_orphans());
  const Family family("(setsid sleep 1000 3>&- &) ; sleep 1000 3>&- & echo >&3; wait");
  const auto list = [] { return processes_below(::getpid(), {}); };
  const auto below = list();
  ASSERT_TRUE(below);
  EXPECT_EQ(below->size(), 3U);
  EXPECT_TRUE(has(*below, family.child.pid));

  // Of the child nothing, and so only the one that left it.
  const auto others = processes_below(::getpid(), {family.child.pid});
  ASSERT_TRUE(others);
  EXPECT_EQ(others->size(), 1U);
  kill_all(list);
}

TEST(ProcessTree, is_found_by_a_variable_once_its_root_has_gone) {
  const Family family("sleep 1000 3>&- & echo >&3; wait");
  const auto list = [] { return processes_with_variable(mark()); };
  const auto marked = list();
  ASSERT_TRUE(marked);
  EXPECT_EQ(marked->size(), 2U);
  EXPECT_TRUE(processes_with_variable(mark() + "x")->empty());
  ASSERT_TRUE(send_signal(family.child.pidfd, SIGKILL));
  ASSERT_TRUE(wait_for_exit(family.child.pidfd, 20s));
  EXPECT_EQ(list()->size(), 1U);
  kill_all(list);
}

TEST(ProcessTree, leaves_a_process_alone_that_has_another_ones_number) {
  const Family family("echo >&3; sleep 1000");
  auto below = *processes_below(::getpid(), {});
  const auto other = std::ranges::find_if(
      below, [&](const auto& process) { return process.pid == family.child.pid; });
  ASSERT_NE(other, below.end());
  TreeProcess earlier = *other;
  ++earlier.start_ticks;
  kill_or_reap(earlier);
  const auto ended = wait_for_exit(family.child.pidfd, 0ns);
  ASSERT_TRUE(ended);
  EXPECT_FALSE(ended->has_value());
  kill_all([] { return processes_below(::getpid(), {}); });
}

TEST(Process, cannot_write_more_than_its_limit) {
  const auto child = spawn({.argv = {"/bin/sh", "-c", "test $(ulimit -f) = 2"},
                            .env = {"PATH=/usr/bin:/bin"},
                            .limits = {{RLIMIT_FSIZE, {.soft = 1'024, .hard = 1'024}}}});
  ASSERT_TRUE(child) << child.error().to_string();
  const auto status = wait_for_exit(child->pidfd, 20s);
  ASSERT_TRUE(status && status->has_value());
  EXPECT_TRUE((*status)->success()) << (*status)->to_string();
}

}  // namespace
}  // namespace segue::os
