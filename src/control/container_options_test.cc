// SPDX-License-Identifier: Apache-2.0
#include "control/container_options.h"

#include <gtest/gtest.h>

namespace segue::control {
namespace {

std::string problem_of(std::string_view key, const std::string& value) {
  ContainerOptions options;
  const auto assigned = assign_container_option(key, value, options);
  return assigned ? "" : assigned.error().message();
}

TEST(ContainerOptions, survive_their_way_as_words) {
  ContainerOptions options;
  options.image = "localhost/kv:1";
  options.image_id = "sha256:" + std::string(64, 'a');
  options.engine = "unix:///run/podman/podman.sock";
  options.network = "host";
  options.cap_add = {"NET_BIND_SERVICE"};
  options.memory_bytes = 512 << 20;
  options.cpu_millicores = 1'250;
  options.max_descriptors = 20'000;
  options.max_processes = 64;
  options.secrets = {{"key", "/etc/kv/key=1"}};
  options.ports = {{"127.0.0.1", 8'080, 80}, {"::1", 8'081, 80}};
  options.mounts = {{"/srv/a", "/data", true}, {"/srv/b", "/b", false}};
  options.env = {"LEVEL=a=b"};
  options.user = "1000:1000";
  options.is_root_writable = true;
  ContainerOptions read;
  for (const auto& word : container_words(options)) {
    ASSERT_TRUE(word.starts_with("--"));
    const auto equals = word.find('=');
    const auto known =
        assign_container_option(word.substr(2, equals - 2), word.substr(equals + 1), read);
    ASSERT_TRUE(known) << known.error().message();
    EXPECT_TRUE(*known) << word;
  }
  EXPECT_EQ(read, options);
}

TEST(ContainerOptions, sizes_are_powers_of_1024) {
  EXPECT_EQ(parse_bytes("memory", "512m").value_or(0), std::uint64_t{512} << 20);
  EXPECT_EQ(parse_bytes("memory", "2G").value_or(0), std::uint64_t{2} << 30);
  EXPECT_EQ(parse_bytes("memory", "4096").value_or(0), 4'096U);
  for (const char* text : {"", "m", "-1", "0", "1t", "9223372036854775807g", "1 m"}) {
    EXPECT_FALSE(parse_bytes("memory", text)) << text;
  }
}

TEST(ContainerOptions, what_is_wrong_is_said_with_its_name) {
  EXPECT_NE(problem_of("network", "slirp").find("network: 'slirp'"), std::string::npos);
  EXPECT_NE(problem_of("engine", "tcp://host").find("unix:///"), std::string::npos);
  EXPECT_NE(problem_of("cpus", "many").find("cpus: 'many'"), std::string::npos);
  EXPECT_NE(problem_of("cpus", "nan").find("cpus: 'nan'"), std::string::npos);
  EXPECT_NE(problem_of("mount", "a:/b").find("mount: 'a:/b'"), std::string::npos);
  EXPECT_NE(problem_of("mount", "/a:/b:x").find("mount"), std::string::npos);
  for (const char* wrong : {"key", "key=relative", "=/a", "a/b=/a"}) {
    EXPECT_NE(problem_of("secret", wrong).find("NAME=/PATH"), std::string::npos) << wrong;
  }
  for (const char* wrong : {"80", "8080:80", "127.0.0.1:8080:0", "127.0.0.1:0:80", "a:b:c"}) {
    EXPECT_NE(problem_of("publish", wrong).find("publish"), std::string::npos) << wrong;
  }
  EXPECT_NE(problem_of("pids", "0").find("pids"), std::string::npos);
  EXPECT_NE(problem_of("env", "=x").find("NAME=value"), std::string::npos);
  EXPECT_NE(problem_of("cap-drop", "kill").find("--cap-add"), std::string::npos);
  EXPECT_EQ(problem_of("cap-drop", "all"), "");
  EXPECT_NE(problem_of("cap-add", "a-b").find("cap-add"), std::string::npos);
  ContainerOptions options;
  EXPECT_FALSE(assign_container_option("images", "x", options).value_or(true));
}

}  // namespace
}  // namespace segue::control
