// SPDX-License-Identifier: Apache-2.0
#include "cli/registry_login.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "os/temp_directory.h"

namespace segue::cli {
namespace {

constexpr const char* kImage = "registry.example:5000/shop/kv:1";

class RegistryLogin : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("HOME", directory_.path().c_str(), 1);
    ::unsetenv("XDG_RUNTIME_DIR");
    ::unsetenv("REGISTRY_AUTH_FILE");
    ::setenv("DOCKER_CONFIG", directory_.path().c_str(), 1);
  }
  std::string keep(const std::string& name, const std::string& text) {
    std::ofstream(directory_.path(name)) << text;
    return directory_.path(name);
  }
  static std::string login(const std::string& registry) {
    return R"({"auths": {")" + registry + R"(": {"auth": "a3Y6c2VjcmV0"}}})";
  }

  os::TempDirectory directory_;
};

TEST_F(RegistryLogin, is_that_of_the_first_file_with_credentials_for_the_images_registry) {
  EXPECT_EQ(registry_login(kImage).value(), "");
  const std::string docker = keep("config.json", login("registry.example:5000"));
  EXPECT_EQ(registry_login(kImage).value(), docker);
  const std::string named = keep("named.json", login("other.example"));
  ::setenv("REGISTRY_AUTH_FILE", named.c_str(), 1);
  EXPECT_EQ(registry_login(kImage).value(), docker);
  EXPECT_EQ(registry_login("other.example/kv:1").value(), named);
  EXPECT_EQ(registry_login("redis:7").value(), "");
}

TEST_F(RegistryLogin,
       of_a_file_that_is_none_is_refused_by_its_name_and_of_another_program_left_out) {
  keep("config.json", R"({"auths": {}, "credsStore": "secretservice"})");
  EXPECT_EQ(registry_login(kImage).value(), "");
  const std::string wrong = keep("config.json", "no JSON");
  const auto refused = registry_login(kImage);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().to_string().find(wrong), std::string::npos);
}

}  // namespace
}  // namespace segue::cli
