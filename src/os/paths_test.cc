// SPDX-License-Identifier: Apache-2.0
#include "os/paths.h"

#include <gtest/gtest.h>

#include <map>
#include <optional>
#include <string>

namespace segue::os {
namespace {

using base::ErrorCode;

constexpr uid_t kRoot = 0;
constexpr uid_t kUser = 1000;

EnvironmentLookup environment(std::map<std::string, std::string> variables) {
  return [variables = std::move(variables)](const char* name) -> std::optional<std::string> {
    const auto found = variables.find(name);
    if (found == variables.end()) return std::nullopt;
    return found->second;
  };
}

TEST(Paths, root_has_the_system_directories_whatever_xdg_says) {
  const auto found =
      directories_of(kRoot, environment({{"XDG_RUNTIME_DIR", "/x"}, {"HOME", "/h"}}));
  EXPECT_EQ(found->runtime, "/run/segue");
  EXPECT_EQ(found->state, "/var/lib/segue");
}

TEST(Paths, a_user_has_the_xdg_directories) {
  const auto found =
      directories_of(kUser, environment({{"XDG_RUNTIME_DIR", "/r"}, {"XDG_STATE_HOME", "/s"}}));
  EXPECT_EQ(found->runtime, "/r/segue");
  EXPECT_EQ(found->state, "/s/segue");
}

TEST(Paths, a_user_without_xdg_has_the_defaults) {
  const auto found =
      directories_of(kUser, environment({{"HOME", "/h"}, {"XDG_STATE_HOME", "rel"}}));
  EXPECT_EQ(found->runtime, "/tmp/segue-1000");
  EXPECT_EQ(found->state, "/h/.local/state/segue");
}

TEST(Paths, own_variables_win_for_everybody) {
  for (const uid_t user : {kRoot, kUser}) {
    const auto found = directories_of(
        user, environment({{"SEGUE_RUNTIME_DIR", "/sr"}, {"SEGUE_STATE_DIR", "/ss"}}));
    EXPECT_EQ(found->runtime, "/sr");
    EXPECT_EQ(found->state, "/ss");
  }
}

TEST(Paths, a_relative_override_and_a_missing_home_are_errors) {
  EXPECT_EQ(directories_of(kRoot, environment({{"SEGUE_STATE_DIR", "here"}})).error().code(),
            ErrorCode::invalid_argument);
  EXPECT_EQ(directories_of(kUser, environment({})).error().code(), ErrorCode::failed_precondition);
}

TEST(Paths, of_this_process_are_absolute) {
  const auto found = directories();
  ASSERT_TRUE(found) << found.error().to_string();
  EXPECT_TRUE(found->runtime.starts_with('/'));
  EXPECT_TRUE(found->state.starts_with('/'));
}

}  // namespace
}  // namespace segue::os
