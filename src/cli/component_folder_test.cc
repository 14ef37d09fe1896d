// SPDX-License-Identifier: Apache-2.0
#include "cli/component_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "os/files.h"
#include "os/temp_directory.h"
#include "os/unix_socket.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

class ComponentFolder : public testing::Test {
 protected:
  void make(const std::string& name) {
    ASSERT_TRUE(os::ensure_private_directory(directory_.path(name)));
  }
  base::Error error_of(const std::string& name) {
    auto connected = folders_.connect(name);
    EXPECT_FALSE(connected);
    return connected ? base::Error(ErrorCode::internal, "") : connected.error();
  }

  os::TempDirectory directory_;
  ComponentFolders folders_{{directory_.path(), directory_.path("state")}};
};

TEST_F(ComponentFolder, connects_to_a_keeper_that_listens) {
  make("kv");
  const auto listener =
      os::listen_unix(directory_.path("kv/control.sock"), os::SocketType::seqpacket);
  ASSERT_TRUE(listener);
  EXPECT_TRUE(folders_.connect("kv"));
}

TEST_F(ComponentFolder, of_another_user_is_roots_to_look_after_if_its_keeper_is_that_users) {
  if (::geteuid() != 0) GTEST_SKIP() << "NOT TESTED: needs root";
  constexpr uid_t kOther = 12345;
  make("kv");
  const auto listener =
      os::listen_unix(directory_.path("kv/control.sock"), os::SocketType::seqpacket);
  ASSERT_TRUE(listener);
  ASSERT_EQ(::chown(directory_.path("kv").c_str(), kOther, kOther), 0);
  EXPECT_EQ(error_of("kv").code(), ErrorCode::permission_denied);
  EXPECT_THAT(error_of("kv").message(), HasSubstr("user 0 listens on"));
}

TEST_F(ComponentFolder, suggests_near_names_for_an_unknown_one) {
  make("respkv");
  EXPECT_EQ(error_of("respvk").code(), ErrorCode::not_found);
  EXPECT_THAT(error_of("respvk").message(), HasSubstr("did you mean respkv?"));
  EXPECT_THAT(error_of("other").message(), HasSubstr("segue run other"));
}

TEST_F(ComponentFolder, tells_a_stopped_component_from_a_dead_keeper) {
  make("kv");
  EXPECT_THAT(error_of("kv").message(), HasSubstr("kv does not run"));
  const std::string me = std::to_string(::getpid());
  ASSERT_TRUE(os::write_file_atomically(directory_.path("kv/instances"), me + " 3\n999999999 2\n"));
  EXPECT_EQ(error_of("kv").code(), ErrorCode::unavailable);
  EXPECT_THAT(error_of("kv").message(), HasSubstr("`segue keeper start kv` gives it a new one"));
  EXPECT_THAT(error_of("kv").message(), HasSubstr("process " + me + " still serves"));
}

TEST_F(ComponentFolder, is_not_trusted_when_others_can_enter_it) {
  make("kv");
  const auto listener =
      os::listen_unix(directory_.path("kv/control.sock"), os::SocketType::seqpacket);
  ::chmod(directory_.path("kv").c_str(), 0711);
  EXPECT_EQ(error_of("kv").code(), ErrorCode::failed_precondition);
  EXPECT_THAT(error_of("kv").message(), HasSubstr("mode 0711"));
}

TEST_F(ComponentFolder, that_is_a_file_is_refused) {
  ASSERT_TRUE(os::write_file_atomically(directory_.path("kv"), "x"));
  EXPECT_THAT(error_of("kv").message(), HasSubstr("is not a directory"));
}

TEST_F(ComponentFolder, of_a_bad_name_is_never_looked_at) {
  EXPECT_EQ(error_of("../kv").code(), ErrorCode::invalid_argument);
}

TEST_F(ComponentFolder, lists_the_components) {
  make("b");
  make("a");
  ASSERT_TRUE(os::write_file_atomically(directory_.path("file"), "x"));
  EXPECT_THAT(folders_.names(), ElementsAre("a", "b"));
}

}  // namespace
}  // namespace segue::cli
