// SPDX-License-Identifier: Apache-2.0
#include "os/process.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::os {
namespace {

using namespace std::chrono_literals;
using base::ErrorCode;

constexpr base::Duration kDeadline = 20s;

std::pair<UniqueFd, UniqueFd> make_pipe() {
  std::array<int, 2> ends{};
  EXPECT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  return {UniqueFd(ends[0]), UniqueFd(ends[1])};
}

SpawnOptions shell(std::string script) {
  return {.argv = {"/bin/sh", "-c", std::move(script)}, .env = {"PATH=/usr/bin:/bin"}};
}

ExitStatus exit_of(const Child& child) {
  const auto status = wait_for_exit(child.pidfd, kDeadline);
  EXPECT_TRUE(status) << status.error().to_string();
  EXPECT_TRUE(status->has_value()) << "the child still runs";
  return status->value();
}

// What the script writes to its descriptor 1.
std::string output_of(SpawnOptions options) {
  auto [reader, writer] = make_pipe();
  options.fds.push_back({.source = writer.get(), .target = 1});
  const auto child = spawn(options);
  EXPECT_TRUE(child) << child.error().to_string();
  writer.reset();
  std::string output;
  std::array<char, 4096> buffer{};
  for (ssize_t got = 0; (got = ::read(reader.get(), buffer.data(), buffer.size())) > 0;) {
    output.append(buffer.data(), static_cast<std::size_t>(got));
  }
  EXPECT_TRUE(exit_of(*child).success());
  return output;
}

TEST(Process, detached_from_the_terminal_goes_on_in_a_session_of_its_own) {
  auto [reader, writer] = make_pipe();
  const pid_t before = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    const bool detached = detach_from_terminal().has_value();
    const bool alone = ::getsid(0) == ::getpid() && ::getpid() != before;
    const char answer = detached && alone ? 'y' : 'n';
    ::_exit(::write(writer.get(), &answer, 1) == 1 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0) << "who called ends";
  char answer = '?';
  ASSERT_EQ(::read(reader.get(), &answer, 1), 1);
  EXPECT_EQ(answer, 'y');
}

TEST(Process, runs_with_the_given_environment_and_directory_and_no_other) {
  ::setenv("SEGUE_TEST_LEAK", "1", 1);
  auto options = shell("echo \"$A:$SEGUE_TEST_LEAK:$(pwd)\"");
  options.env.emplace_back("A=b");
  options.cwd = "/";
  EXPECT_EQ(output_of(options), "b::/\n");
}

TEST(Process, gives_the_child_exactly_the_descriptors_asked_for) {
  const auto [reader, writer] = make_pipe();
  const UniqueFd leaky(::dup(writer.get()));  // not closed on exec
  ASSERT_LT(leaky.get(), 30);
  auto options = shell("for fd in $(seq 0 30); do [ ! -e /proc/$$/fd/$fd ] || echo $fd; done");
  options.fds = {{.source = reader.get(), .target = 7}};
  EXPECT_EQ(output_of(options), "0\n1\n2\n7\n");
}

TEST(Process, swaps_descriptors_whose_numbers_cross) {
  const auto [first_reader, first_writer] = make_pipe();
  const auto [second_reader, second_writer] = make_pipe();
  ASSERT_EQ(::write(first_writer.get(), "first\n", 6), 6);
  ASSERT_EQ(::write(second_writer.get(), "other\n", 6), 6);
  // Single digits, as the shell wants them.
  const UniqueFd low(::fcntl(first_reader.get(), F_DUPFD_CLOEXEC, 3));
  const UniqueFd high(::fcntl(second_reader.get(), F_DUPFD_CLOEXEC, 3));
  auto options = shell("read a <&\"$LOW\"; read b <&\"$HIGH\"; echo $a $b");
  options.env.push_back("LOW=" + std::to_string(low.get()));
  options.env.push_back("HIGH=" + std::to_string(high.get()));
  options.fds = {{.source = low.get(), .target = high.get()},
                 {.source = high.get(), .target = low.get()}};
  options.argv[0] = "bash";  // any number of digits, and found in PATH
  EXPECT_EQ(output_of(options), "other first\n");
}

TEST(Process, the_child_may_find_its_own_pid_in_its_environment) {
  auto options = shell("[ \"$LISTEN_PID\" = $$ ] && [ \"$OTHER_PID\" = $$ ] && echo \"$A\"");
  options.env.emplace_back("A=b");
  options.pid_variables = {"LISTEN_PID", "OTHER_PID"};
  EXPECT_EQ(output_of(options), "b\n");
}

TEST(Process, reports_how_the_child_ended) {
  const auto exited = spawn(shell("exit 3"));
  ASSERT_TRUE(exited);
  EXPECT_EQ(exit_of(*exited), (ExitStatus{.exit_code = 3}));

  const auto killed = spawn(shell("kill -9 $$"));
  ASSERT_TRUE(killed);
  const ExitStatus status = exit_of(*killed);
  EXPECT_FALSE(status.success());
  EXPECT_EQ(status.to_string(), "was killed by signal 9 (Killed)");
}

TEST(Process, a_program_that_cannot_be_run_is_an_error_of_spawn) {
  const auto missing = spawn({.argv = {"/nowhere/program"}});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().to_string(),
            "cannot start /nowhere/program: exec: No such file or directory (not_found)");

  auto options = shell("true");
  options.cwd = "/nowhere";
  const auto lost = spawn(options);
  ASSERT_FALSE(lost);
  EXPECT_NE(lost.error().to_string().find("change directory to /nowhere"), std::string::npos);

  EXPECT_EQ(spawn({}).error().code(), ErrorCode::invalid_argument);
}

TEST(Process, a_bad_descriptor_is_an_error_of_spawn) {
  auto options = shell("true");
  options.fds = {{.source = 9999, .target = 5}};
  const auto child = spawn(options);
  ASSERT_FALSE(child);
  EXPECT_NE(child.error().to_string().find("arrange descriptors"), std::string::npos);
}

TEST(Process, is_signalled_through_its_pidfd) {
  const auto [reader, writer] = make_pipe();
  const auto child = spawn({.argv = {"/bin/cat"}, .fds = {{.source = reader.get(), .target = 0}}});
  ASSERT_TRUE(child);
  EXPECT_EQ(wait_for_exit(child->pidfd, 0s).value(), std::nullopt);
  ASSERT_TRUE(send_signal(child->pidfd, SIGKILL));
  EXPECT_EQ(exit_of(*child), (ExitStatus{.signal = SIGKILL}));
  EXPECT_EQ(send_signal(child->pidfd, SIGKILL).error().code(), ErrorCode::not_found);
}

TEST(Process, starts_with_no_signal_blocked_or_ignored) {
  const auto blocked = signal_fd({SIGTERM});
  ASSERT_TRUE(blocked);
  std::signal(SIGHUP, SIG_IGN);
  const std::string status = output_of(shell("grep -E 'Sig(Blk|Ign)' /proc/self/status"));
  std::signal(SIGHUP, SIG_DFL);
  EXPECT_EQ(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(Process, a_pid_and_its_start_time_name_one_process) {
  const auto own = start_time_ticks(::getpid());
  ASSERT_TRUE(own) << own.error().to_string();
  EXPECT_GT(*own, 0U);
  EXPECT_EQ(start_time_ticks(::getpid()), own);
  EXPECT_EQ(start_time_ticks(0x7FFFFFFF).error().code(), ErrorCode::not_found);
}

TEST(Process, steps_down_to_idle_and_back_if_it_is_allowed_to) {
  const pid_t pid = ::getpid();
  ASSERT_TRUE(set_priority(pid, Priority::idle));
  EXPECT_EQ(::sched_getscheduler(pid), SCHED_IDLE);
  const auto back = set_priority(pid, Priority::normal);
  if (back) {
    EXPECT_EQ(::sched_getscheduler(pid), SCHED_OTHER);
  } else {
    EXPECT_NE(::geteuid(), 0U);
    EXPECT_EQ(back.error().code(), ErrorCode::permission_denied);
  }
}

TEST(Process, reads_and_lowers_a_resource_limit) {
  const auto before = resource_limit(0, RLIMIT_CORE);
  ASSERT_TRUE(before);
  ASSERT_TRUE(set_resource_limit(0, RLIMIT_CORE, {.soft = 0, .hard = before->hard}));
  EXPECT_EQ(resource_limit(0, RLIMIT_CORE)->soft, 0U);
  ASSERT_TRUE(set_resource_limit(0, RLIMIT_CORE, *before));
}

TEST(Process, reads_signals_from_a_descriptor) {
  const auto signals = signal_fd({SIGUSR1});
  ASSERT_TRUE(signals);
  EXPECT_EQ(read_signal(*signals).value(), std::nullopt);
  ASSERT_EQ(::kill(::getpid(), SIGUSR1), 0);
  EXPECT_EQ(read_signal(*signals).value(), SIGUSR1);
}

}  // namespace
}  // namespace segue::os
