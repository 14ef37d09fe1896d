// SPDX-License-Identifier: Apache-2.0
#include "staging/sandbox.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "os/files.h"
#include "os/temp_directory.h"
#include "os/unique_fd.h"

namespace segue::staging {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using ::testing::HasSubstr;

class Sandbox : public ::testing::Test {
 protected:
  [[nodiscard]] SandboxRules rules() const {
    return {.readable = {inside_.path()},
            .writable = {writable_.path()},
            .max_file_bytes = 1 << 20,
            .max_memory_bytes = 64 << 20,
            .max_cpu_s = 10};
  }
  static Result<void> open_file(const std::string& path, int flags) {
    const os::UniqueFd fd(::open(path.c_str(), flags | O_CLOEXEC, 0600));
    if (!fd) return fail(base::errno_error("open", errno));
    return {};
  }
  static bool has_landlock() { return ::syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) >= 1; }

  os::TempDirectory inside_;
  os::TempDirectory writable_;
  os::TempDirectory outside_;
};

TEST_F(Sandbox, says_that_a_limit_was_reached_otherwise_than_that_the_disk_is_full) {
  SandboxRules tight = rules();
  tight.max_cpu_s = 1;
  const auto endless = run_sandboxed(tight, [](const MadeBytes&) -> Result<void> {
    for (volatile std::uint64_t i = 0;;) i = i + 1;
  });
  ASSERT_FALSE(endless);
  EXPECT_EQ(endless.error().code(), ErrorCode::aborted) << endless.error().to_string();
}

TEST_F(Sandbox, reads_and_writes_where_it_may) {
  ASSERT_TRUE(os::write_file_atomically(inside_.path("f"), "x"));
  std::uint64_t made = 0;
  const auto done = run_sandboxed(
      rules(),
      [&](const MadeBytes& say) -> Result<void> {
        SEGUE_TRY(open_file(inside_.path("f"), O_RDONLY));
        say(5 << 20);
        return open_file(writable_.path("new"), O_WRONLY | O_CREAT);
      },
      [&](std::uint64_t bytes) { made += bytes; });
  ASSERT_TRUE(done) << done.error().to_string();
  EXPECT_EQ(::access(writable_.path("new").c_str(), F_OK), 0);
  EXPECT_EQ(made, 5U << 20);
}

TEST_F(Sandbox, error_of_the_work_is_the_outcome) {
  const auto done = run_sandboxed(rules(), [](const MadeBytes&) -> Result<void> {
    return fail(base::Error(ErrorCode::data_loss, "line one\nline two").with("doing this"));
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::data_loss);
  EXPECT_EQ(done.error().message(), "doing this: line one line two");
}

TEST_F(Sandbox, opens_nothing_elsewhere) {
  if (!has_landlock()) GTEST_SKIP() << "this kernel has no Landlock";
  for (const int flags : {O_RDONLY, O_WRONLY | O_CREAT}) {
    const auto done = run_sandboxed(rules(), [&](const MadeBytes&) {
      return open_file(flags == O_RDONLY ? "/etc/passwd" : outside_.path("f"), flags);
    });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::permission_denied);
  }
  const auto changed = run_sandboxed(
      rules(), [&](const MadeBytes&) { return open_file(inside_.path("f"), O_WRONLY | O_CREAT); });
  EXPECT_FALSE(changed);
  EXPECT_NE(::access(inside_.path("f").c_str(), F_OK), 0);
}

TEST_F(Sandbox, dies_when_it_tries_what_it_may_not) {
  const std::vector<void (*)()> forbidden{
      [] { static_cast<void>(::socket(AF_INET, SOCK_STREAM, 0)); },
      [] { ::execl("/bin/true", "true", nullptr); },
      [] { static_cast<void>(::chmod("/", 0700)); },
      [] { ::mmap(nullptr, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); },
      [] { static_cast<void>(::unlink("/nothing")); },
  };
  for (const auto& act : forbidden) {
    const auto done = run_sandboxed(rules(), [&](const MadeBytes&) -> Result<void> {
      act();
      return {};
    });
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code(), ErrorCode::internal);
    EXPECT_THAT(done.error().message(), HasSubstr("forbidden"));
  }
}

TEST_F(Sandbox, has_none_of_its_parents_descriptors) {
  const os::UniqueFd secret(::open("/etc/passwd", O_RDONLY));
  const os::UniqueFd above_the_report(::fcntl(secret.get(), F_DUPFD_CLOEXEC, 10));
  const auto done = run_sandboxed(rules(), [&](const MadeBytes&) -> Result<void> {
    char byte = 0;
    if (::read(above_the_report.get(), &byte, 1) < 0 && errno == EBADF) return {};
    return fail(ErrorCode::internal, "it could be read");
  });
  EXPECT_TRUE(done);
}

TEST_F(Sandbox, file_that_becomes_shorter_is_an_error) {
  ASSERT_TRUE(os::write_file_atomically(inside_.path("f"), std::string(8192, 'x')));
  const auto done = run_sandboxed(rules(), [&](const MadeBytes&) -> Result<void> {
    const os::UniqueFd fd(::open(inside_.path("f").c_str(), O_RDONLY | O_CLOEXEC));
    const auto* bytes = static_cast<const volatile char*>(
        ::mmap(nullptr, 65536, PROT_READ, MAP_SHARED, fd.get(), 0));
    if (bytes[40'000] == 'x') return fail(ErrorCode::internal, "there is a byte");
    return {};
  });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::data_loss);
}

TEST_F(Sandbox, writes_no_larger_file_than_it_may) {
  const auto done = run_sandboxed(rules(), [&](const MadeBytes&) -> Result<void> {
    const os::UniqueFd fd(
        ::open(writable_.path("f").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    const std::vector<char> much((1 << 20) + 1);
    if (::pwrite(fd.get(), much.data(), 1, 1 << 20) < 0) {
      return fail(base::errno_error("write", errno));
    }
    return {};
  });
  EXPECT_FALSE(done);
}

TEST_F(Sandbox, crash_is_an_error_and_not_the_end) {
  const auto done = run_sandboxed(rules(), [](const MadeBytes&) -> Result<void> { ::abort(); });
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code(), ErrorCode::internal);
}

}  // namespace
}  // namespace segue::staging
