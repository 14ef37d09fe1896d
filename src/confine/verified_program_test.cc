// SPDX-License-Identifier: Apache-2.0
#include "confine/verified_program.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <functional>
#include <utility>

#include "crypto/digest.h"
#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::confine {
namespace {

using base::ErrorCode;
using testing::HasSubstr;
using testing::StartsWith;

// Debian's own, which says what it was started as.
constexpr const char* kCat = "/bin/cat";

std::string os_release() {
  struct utsname kernel{};
  static_cast<void>(::uname(&kernel));
  return kernel.release;
}

std::string digest_of_file(const std::string& path) {
  return "sha256:" + crypto::to_hex(crypto::digest_of(*os::read_file(path, 64 << 20)));
}

class Program : public testing::Test {
 protected:
  void SetUp() override { std::filesystem::copy_file(kCat, path_); }

  // What it prints, started in a child; `before` runs between the check and the start.
  std::string output_of(
      StartBy by, std::vector<std::string> words, const std::function<void()>& before = [] {}) {
    auto program = open_verified(path_, digest_of_file(path_));
    EXPECT_TRUE(program) << program.error().to_string();
    if (!program) return "";
    before();
    int ends[2];
    EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      static_cast<void>(become(*program, by, std::move(words)));
      ::_exit(99);
    }
    ::close(ends[1]);
    std::string text;
    std::array<char, 4096> bytes{};
    for (ssize_t count; (count = ::read(ends[0], bytes.data(), bytes.size())) > 0;) {
      text.append(bytes.data(), static_cast<std::size_t>(count));
    }
    ::close(ends[0]);
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(WEXITSTATUS(status), 0);
    return text;
  }

  os::TempDirectory directory_;
  std::string path_ = directory_.path() + "/program";
};

TEST_F(Program, is_opened_if_its_bytes_are_those_that_were_verified) {
  const auto program = open_verified(path_, digest_of_file(path_));
  ASSERT_TRUE(program) << program.error().to_string();
  EXPECT_FALSE(program->is_script);
  std::filesystem::copy_file("/bin/ls", path_, std::filesystem::copy_options::overwrite_existing);
  const auto other = open_verified(path_, digest_of_file(kCat));
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().code(), ErrorCode::data_loss);
  EXPECT_THAT(other.error().to_string(), HasSubstr(path_));
  EXPECT_THAT(other.error().to_string(), HasSubstr(digest_of_file("/bin/ls")));
}

TEST_F(Program, that_is_none_is_refused) {
  EXPECT_EQ(open_verified(path_ + ".missing", "sha256:00").error().code(), ErrorCode::not_found);
  EXPECT_EQ(open_verified(directory_.path(), "sha256:00").error().code(),
            ErrorCode::failed_precondition);
  ASSERT_EQ(::mkfifo((directory_.path() + "/fifo").c_str(), 0700), 0);
  EXPECT_EQ(open_verified(directory_.path() + "/fifo", "sha256:00").error().code(),
            ErrorCode::failed_precondition)
      << "and it is not waited for";
}

TEST_F(Program, that_was_read_is_the_one_that_is_started_whatever_has_its_name_by_then) {
  const std::string other = directory_.path() + "/other";
  const std::string data = directory_.path() + "/data";
  ASSERT_TRUE(os::write_file_atomically(other, "#!/bin/sh\necho other\n", 0755));
  ASSERT_TRUE(os::write_file_atomically(data, "what cat prints\n"));
  EXPECT_EQ(output_of(StartBy::descriptor, {"program", data},
                      [&] { std::filesystem::rename(other, path_); }),
            "what cat prints\n");
}

TEST_F(Program, is_called_by_its_name_and_its_file_is_its_own) {
  for (const StartBy by : {StartBy::name, start_by(os_release())}) {
    EXPECT_EQ(output_of(by, {"program", "/proc/self/comm"}), "program\n");
    EXPECT_THAT(output_of(by, {"argv0", "/proc/self/cmdline"}), StartsWith("argv0"));
  }
}

TEST_F(Program, of_a_directory_is_started_there_though_the_directory_was_replaced) {
  const std::string live = directory_.path() + "/live";
  const std::string path = std::exchange(path_, live + "/program");
  std::filesystem::create_directory(live);
  std::filesystem::rename(path, path_);
  EXPECT_EQ(output_of(StartBy::name, {"program", "/proc/self/comm"},
                      [&] { std::filesystem::rename(live, directory_.path() + "/before"); }),
            "program\n");
}

TEST_F(Program, may_be_a_script_which_its_interpreter_opens_by_its_path) {
  path_ = directory_.path() + "/script";
  ASSERT_TRUE(os::write_file_atomically(path_, "#!/bin/sh\necho \"$0\" \"$1\"\n", 0755));
  EXPECT_EQ(output_of(StartBy::descriptor, {path_, "word"}), path_ + " word\n");
}

TEST(StartBy, is_the_descriptor_where_the_kernel_still_knows_the_programs_name) {
  EXPECT_EQ(start_by("6.14.0"), StartBy::descriptor);
  EXPECT_EQ(start_by("6.14-rc1"), StartBy::descriptor);
  EXPECT_EQ(start_by("7.0.3-arch"), StartBy::descriptor);
  EXPECT_EQ(start_by("10.1"), StartBy::descriptor);
  for (const char* before : {"6.1.0-28-amd64", "6.13.9", "5.15", "6", "", "six.14"}) {
    EXPECT_EQ(start_by(before), StartBy::name) << before;
  }
}

}  // namespace
}  // namespace segue::confine
