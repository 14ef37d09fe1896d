// SPDX-License-Identifier: Apache-2.0
#include "cli/program_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "os/temp_directory.h"

namespace segue::cli {
namespace {

using testing::HasSubstr;

class FindProgram : public testing::Test {
 protected:
  std::string make(const std::string& name, mode_t mode) {
    const std::string path = directory_.path(name);
    std::ofstream(path) << "#!/bin/sh\n";
    ::chmod(path.c_str(), mode);
    return path;
  }
  std::string error_of(const std::string& name, const std::string& path = "/usr/bin:/bin") {
    const auto found = find_program(name, directory_.path(), path);
    return found ? "" : found.error().message();
  }

  os::TempDirectory directory_;
};

TEST_F(FindProgram, by_path_is_relative_to_the_directory) {
  const std::string path = make("v2", 0755);
  EXPECT_EQ(find_program("./v2", directory_.path(), "").value(), path);
  EXPECT_EQ(find_program(path, "/", "").value(), path);
}

TEST_F(FindProgram, by_name_is_looked_for_in_path) {
  const std::string path = make("v2", 0755);
  EXPECT_EQ(find_program("v2", "/", "/nowhere:" + directory_.path()).value(), path);
  EXPECT_EQ(find_program("sh", "/", "/usr/bin:/bin").value().substr(0, 1), "/");
}

TEST_F(FindProgram, that_is_not_there_or_not_executable_says_what_to_do) {
  make("plain", 0644);
  EXPECT_THAT(error_of("./missing"), HasSubstr("there is no program"));
  EXPECT_THAT(error_of("./plain"), HasSubstr("chmod +x"));
  EXPECT_THAT(error_of("./."), HasSubstr("is not a program file"));
  EXPECT_THAT(error_of("missing"), HasSubstr("is not in PATH"));
  EXPECT_THAT(error_of("plain"), HasSubstr("write ./plain"));
}

TEST(MakeLaunch, checks_the_directory_and_the_variables) {
  EXPECT_TRUE(make_launch({"/bin/sh", "-c", "x"}, "/usr", {"A=1"}));
  EXPECT_FALSE(make_launch({"/bin/sh"}, "/no/such/directory", {}));
  EXPECT_FALSE(make_launch({"/bin/sh"}, "", {"A"}));
  EXPECT_FALSE(make_launch({"/bin/sh"}, "", {"=1"}));
}

}  // namespace
}  // namespace segue::cli
