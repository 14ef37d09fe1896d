// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "keeper/keeper.h"
#include "os/files.h"
#include "os/temp_directory.h"

namespace segue::keeper {
namespace {

using testing::HasSubstr;

TEST(Locks, belong_to_one_keeper) {
  const os::TempDirectory directory;
  const ComponentPaths paths{directory.path("r"), directory.path("s")};
  {
    const auto first = lock_component(paths, "kv");
    ASSERT_TRUE(first) << first.error().to_string();
    const auto second = lock_component(paths, "kv");
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code(), base::ErrorCode::failed_precondition);
    EXPECT_THAT(second.error().message(), HasSubstr("pid " + std::to_string(::getpid())));
  }
  EXPECT_TRUE(lock_component(paths, "kv"));
}

TEST(Locks, of_an_instance_outlive_its_keeper) {
  const os::TempDirectory directory;
  const ComponentPaths paths{directory.path("r"), directory.path("s")};
  os::UniqueFd inherited;
  {
    auto first = lock_component(paths, "kv");
    ASSERT_TRUE(first);
    inherited = *os::duplicate(first->instances.get());
    ASSERT_TRUE(os::write_file_atomically(paths.runtime + "/instances", "4711 2\n4712 3\n"));
  }
  {
    const auto second = lock_component(paths, "kv");
    ASSERT_TRUE(second);
    EXPECT_TRUE(second->instances_alive);
    EXPECT_THAT(instances_in_the_way(paths, "kv", "why not").message(),
                HasSubstr("why not; end its instances first (kill 4711 4712)"));
  }
  inherited.reset();
  EXPECT_FALSE(lock_component(paths, "kv")->instances_alive);
}

TEST(Locks, are_refused_in_a_folder_that_others_can_enter) {
  const os::TempDirectory directory;
  const ComponentPaths paths{directory.path("r"), directory.path("s")};
  ASSERT_TRUE(lock_component(paths, "kv"));
  ::chmod(paths.runtime.c_str(), 0750);
  EXPECT_FALSE(lock_component(paths, "kv"));
}

}  // namespace
}  // namespace segue::keeper
