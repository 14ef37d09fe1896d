// SPDX-License-Identifier: Apache-2.0
#include "handoff/departure.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "handoff/clock.h"
#include "handoff/peer.h"
#include "handoff/terms.h"
#include "handoff/test_process.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kSecond = 1'000 * kMillisecond;

UniqueFd pidfd_of(pid_t pid) {
  return UniqueFd(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
}

// Ends when its channel is hung up, at the priority of a predecessor after the commit.
void linger(int channel) {
  yield_priority();
  char byte = 0;
  if (write(channel, "i", 1) != 1) return;
  while (read(channel, &byte, 1) > 0) continue;
}

void wait_until_it_lingers(const Child& child) {
  char byte = 0;
  ASSERT_EQ(read(child.channel(), &byte, 1), 1);
  ASSERT_EQ(sched_getscheduler(child.pid()), SCHED_IDLE);
}

bool may_raise() {
  rlimit limit{};
  return geteuid() == 0 || (getrlimit(RLIMIT_NICE, &limit) == 0 && limit.rlim_cur >= 20);
}

TEST(Departure, is_over_when_the_predecessor_has_ended_before_it_is_watched) {
  Child child([](int) {});
  UniqueFd pidfd = pidfd_of(child.pid());
  ASSERT_TRUE(child.ends());
  const Departure departure(std::move(pidfd), 5 * kSecond);
  EXPECT_TRUE(departure.over());
  EXPECT_EQ(departure.deadline(), kNever);
}

TEST(Departure, says_nothing_of_a_predecessor_that_ends_within_a_second) {
  Child child(linger);
  wait_until_it_lingers(child);
  Departure departure(pidfd_of(child.pid()), 5 * kSecond);
  EXPECT_FALSE(departure.over());
  EXPECT_EQ(departure.deadline(), 6 * kSecond);
  EXPECT_EQ(departure.on_time(6 * kSecond - 1), "");
  child.hang_up();
  ASSERT_TRUE(child.ends());
  EXPECT_EQ(departure.on_time(6 * kSecond), "");
  EXPECT_TRUE(departure.over());
}

TEST(Departure, reports_after_a_second_and_raises_the_priority_after_ten) {
  Child child(linger);
  wait_until_it_lingers(child);
  Departure departure(pidfd_of(child.pid()), 0);
  const std::string said = departure.on_time(kSecond);
  EXPECT_NE(said.find("process " + std::to_string(child.pid())), std::string::npos) << said;
  EXPECT_NE(said.find("has not ended 1 s after the commit"), std::string::npos) << said;
  EXPECT_EQ(sched_getscheduler(child.pid()), SCHED_IDLE);
  EXPECT_EQ(departure.deadline(), 10 * kSecond);
  EXPECT_EQ(departure.on_time(10 * kSecond - 1), "");
  const std::string raised = departure.on_time(10 * kSecond);
  if (may_raise()) {
    EXPECT_NE(raised.find("its priority was raised"), std::string::npos) << raised;
    EXPECT_EQ(sched_getscheduler(child.pid()), SCHED_OTHER);
  } else {
    EXPECT_NE(raised.find("ulimit -e 20"), std::string::npos) << raised;
  }
  EXPECT_EQ(departure.deadline(), kNever);
  EXPECT_FALSE(departure.over());
  child.hang_up();
  ASSERT_TRUE(child.ends());
  departure.on_death();
  EXPECT_TRUE(departure.over());
}

TEST(Departure, an_ordinary_user_is_told_what_is_needed_to_raise_a_priority) {
  if (geteuid() != 0) GTEST_SKIP() << "NOT TESTED: only root can become an ordinary user";
  EXPECT_TRUE(holds_in_child([] {
    const rlimit none{0, 0};
    ASSERT_EQ(setrlimit(RLIMIT_NICE, &none), 0);
    ASSERT_EQ(setresuid(65534, 65534, 65534), 0);
    Child child(linger);
    wait_until_it_lingers(child);
    Departure departure(pidfd_of(child.pid()), 0);
    ASSERT_NE(departure.on_time(kSecond), "");
    const std::string said = departure.on_time(10 * kSecond);
    EXPECT_NE(said.find("cannot be raised"), std::string::npos) << said;
    EXPECT_NE(said.find("LimitNICE=+0"), std::string::npos) << said;
    EXPECT_EQ(sched_getscheduler(child.pid()), SCHED_IDLE);
    child.kill();
  }));
}

class DepartureTest : public HandoffTest {};

TEST_F(DepartureTest, a_service_without_a_keeper_learns_that_its_predecessor_lingers) {
  ServiceProcess::Behaviour slow;
  slow.options = options();
  slow.linger = true;
  ServiceProcess first(slow);
  ASSERT_TRUE(first.wait_for("activate first"));
  ServiceProcess second({options()});
  ASSERT_TRUE(second.wait_for("activate"));
  ASSERT_TRUE(second.wait_for("predecessor lingers"));
  EXPECT_NE(second.ask("error").find("process " + std::to_string(first.pid())), std::string::npos);
  first.hang_up();
  ASSERT_TRUE(first.ends());
  EXPECT_TRUE(second.wait_for("predecessor gone"));
}

}  // namespace
}  // namespace segue::handoff::test
