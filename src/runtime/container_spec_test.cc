// SPDX-License-Identifier: Apache-2.0
#include "runtime/container_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "runtime/ensure_container.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::string kImage = "sha256:" + std::string(64, '1');

ContainerSpec small() {
  ContainerSpec spec;
  spec.name = "chat-blue";
  spec.identity = {.component = "chat", .slot = "blue", .release = "1.4.2", .generation = 7};
  spec.image = kImage;
  return spec;
}

ContainerSpec whole() {
  ContainerSpec spec = small();
  spec.labels = {{"team", "red"}};
  spec.entrypoint = {"/chat"};
  spec.arguments = {"--port", "80"};
  spec.environment = {{"LEVEL", "1"}, {"EMPTY", ""}};
  spec.working_directory = "/data";
  spec.user = "1000:1000";
  spec.mounts = {BindMount{"/run/segue/chat", "/run/segue", false},
                 BindMount{"/etc/chat", "/etc/chat", true}, VolumeMount{"chat", "/data", false},
                 MemoryMount{"/tmp", 1 << 20, 01777}};
  spec.secrets = {{"/run/segue/secrets/key", "/run/secrets/key", "sha256:" + std::string(64, '2')}};
  spec.network = NetworkMode::bridge;
  spec.ports = {{"127.0.0.1", 8080, 80, false}, {"", 5353, 53, true}};
  spec.memory_bytes = std::uint64_t{64} << 20;
  spec.cpu_millicores = 1500;
  spec.max_processes = 100;
  spec.limits = {{"core", 0, 0}};
  spec.added_capabilities = {"NET_BIND_SERVICE"};
  spec.is_root_read_only = false;
  spec.may_gain_privileges = true;
  spec.stop_signal = "SIGINT";
  spec.stop_grace = std::chrono::milliseconds(1500);
  spec.log_bytes = 2000;
  return spec;
}

Json golden(std::string_view text) {
  return Json::parse(text);
}

constexpr std::string_view kSmallHostConfig = R"({
  "NetworkMode": "none", "PortBindings": {}, "Mounts": [], "Tmpfs": {},
  "Ulimits": [{"Name": "nofile", "Soft": 16384, "Hard": 16384},
              {"Name": "nproc", "Soft": 16384, "Hard": 16384}],
  "CapDrop": ["ALL"], "CapAdd": [], "ReadonlyRootfs": true,
  "RestartPolicy": {"Name": "no"}, "AutoRemove": false, "Privileged": false, "Init": false,
  "IpcMode": "private", "ShmSize": 67108864, "PidsLimit": -1,
  "SecurityOpt": ["no-new-privileges"],
  "LogConfig": {"Type": "json-file", "Config": {"max-size": "8388608", "max-file": "2"}}})";

constexpr std::string_view kWholeHostConfig = R"({
  "NetworkMode": "bridge",
  "PortBindings": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8080"}],
                   "53/udp": [{"HostIp": "", "HostPort": "5353"}]},
  "Mounts": [
    {"Type": "bind", "Source": "/run/segue/chat", "Target": "/run/segue", "ReadOnly": false,
     "BindOptions": {"Propagation": "rprivate"}},
    {"Type": "bind", "Source": "/etc/chat", "Target": "/etc/chat", "ReadOnly": true,
     "BindOptions": {"Propagation": "rprivate"}},
    {"Type": "volume", "Source": "chat", "Target": "/data", "ReadOnly": false},
    {"Type": "bind", "Source": "/run/segue/secrets/key", "Target": "/run/secrets/key",
     "ReadOnly": true, "BindOptions": {"Propagation": "rprivate"}}],
  "Tmpfs": {"/tmp": "rw,nosuid,nodev,noexec,size=1048576,mode=1777"},
  "Ulimits": [{"Name": "nofile", "Soft": 16384, "Hard": 16384},
              {"Name": "nproc", "Soft": 16384, "Hard": 16384},
              {"Name": "core", "Soft": 0, "Hard": 0}],
  "CapDrop": ["ALL"], "CapAdd": ["NET_BIND_SERVICE"], "ReadonlyRootfs": false,
  "RestartPolicy": {"Name": "no"}, "AutoRemove": false, "Privileged": false, "Init": false,
  "IpcMode": "private", "ShmSize": 67108864, "PidsLimit": 100,
  "Memory": 67108864, "MemorySwap": 67108864, "NanoCpus": 1500000000,
  "LogConfig": {"Type": "json-file", "Config": {"max-size": "1000", "max-file": "2"}}})";

TEST(ContainerSpec, the_least_of_a_spec_is_the_most_confined_container) {
  Json expected = golden(R"({"Env": [], "StopSignal": "SIGTERM", "StopTimeout": 10})");
  expected["Image"] = kImage;
  expected["Labels"] = labels_of(small());
  expected["HostConfig"] = golden(kSmallHostConfig);
  EXPECT_EQ(golden(create_body(small(), EngineKind::podman)), expected);
  expected["Healthcheck"]["Test"] = {"NONE"};
  EXPECT_EQ(golden(create_body(small(), EngineKind::docker)), expected);
}

TEST(ContainerSpec, all_of_a_spec_is_told_to_the_engine) {
  Json expected = golden(R"({
    "Entrypoint": ["/chat"], "Cmd": ["--port", "80"], "Env": ["EMPTY=", "LEVEL=1"],
    "WorkingDir": "/data", "User": "1000:1000", "StopSignal": "SIGINT", "StopTimeout": 2,
    "ExposedPorts": {"80/tcp": {}, "53/udp": {}}})");
  expected["Image"] = kImage;
  expected["Labels"] = labels_of(whole());
  expected["HostConfig"] = golden(kWholeHostConfig);
  EXPECT_EQ(golden(create_body(whole(), EngineKind::podman)), expected);
  expected["Healthcheck"]["Test"] = {"NONE"};
  EXPECT_EQ(golden(create_body(whole(), EngineKind::docker)), expected);
}

TEST(ContainerSpec, labels_say_whose_it_is) {
  const Labels labels = labels_of(whole());
  EXPECT_EQ(labels.at("team"), "red");
  EXPECT_EQ(labels.at("segue.component"), "chat");
  EXPECT_EQ(labels.at("segue.slot"), "blue");
  EXPECT_EQ(labels.at("segue.release"), "1.4.2");
  EXPECT_EQ(labels.at("segue.generation"), "7");
  EXPECT_EQ(labels.at("segue.spec"), spec_digest(whole()));
}

// These digests are labels of containers that run: another one would have them all replaced.
TEST(ContainerSpec, the_digest_stays_what_it_was) {
  EXPECT_EQ(spec_digest(small()),
            "sha256:676d9351504d901b1704a77d09c6da1d83b656106844532813854af89c1ff4c1");
  EXPECT_EQ(spec_digest(whole()),
            "sha256:d6cf630044dbd18aa70fcaf55bff57e3da4ebdb62cf3b6ba7d1578841679c9c3");
}

TEST(ContainerSpec, the_digest_is_of_what_makes_a_difference) {
  const std::string digest = spec_digest(small());
  ContainerSpec spec = small();
  spec.name = "other";
  spec.identity.generation = 8;
  EXPECT_EQ(spec_digest(spec), digest);

  const std::vector<void (*)(ContainerSpec&)> changes{
      [](ContainerSpec& s) { s.identity.release = "1.4.3"; },
      [](ContainerSpec& s) { s.identity.slot = "green"; },
      [](ContainerSpec& s) { s.labels = {{"a", "b"}}; },
      [](ContainerSpec& s) { s.image = "sha256:" + std::string(64, '3'); },
      [](ContainerSpec& s) { s.entrypoint = {"/a"}; },
      [](ContainerSpec& s) { s.arguments = {"/a"}; },
      [](ContainerSpec& s) { s.environment = {{"A", "1"}}; },
      [](ContainerSpec& s) { s.user = "1"; },
      [](ContainerSpec& s) { s.mounts = {BindMount{"/a", "/b", false}}; },
      [](ContainerSpec& s) { s.mounts = {BindMount{"/a", "/b", true}}; },
      [](ContainerSpec& s) { s.mounts = {MemoryMount{"/b", 1, 0700}}; },
      [](ContainerSpec& s) { s.secrets = {{"/a", "/b", "sha256:1"}}; },
      [](ContainerSpec& s) { s.secrets = {{"/a", "/b", "sha256:2"}}; },
      [](ContainerSpec& s) { s.network = NetworkMode::host; },
      [](ContainerSpec& s) { s.ports = {{"", 1, 2, false}}; },
      [](ContainerSpec& s) { s.memory_bytes = 1; },
      [](ContainerSpec& s) { s.cpu_millicores = 1; },
      [](ContainerSpec& s) { s.max_processes = 1; },
      [](ContainerSpec& s) { s.descriptors.soft = 1; },
      [](ContainerSpec& s) { s.processes.hard = 1; },
      [](ContainerSpec& s) { s.limits = {{"core", 0, 0}}; },
      [](ContainerSpec& s) { s.dropped_capabilities = {}; },
      [](ContainerSpec& s) { s.added_capabilities = {"CHOWN"}; },
      [](ContainerSpec& s) { s.is_root_read_only = false; },
      [](ContainerSpec& s) { s.may_gain_privileges = true; },
      [](ContainerSpec& s) { s.stop_signal = "SIGINT"; },
      [](ContainerSpec& s) { s.stop_grace = std::chrono::seconds(1); },
      [](ContainerSpec& s) { s.log_bytes = 2; },
      [](ContainerSpec& s) { s.working_directory = "/a"; },
  };
  std::set<std::string> digests{digest};
  for (const auto& change : changes) {
    spec = small();
    change(spec);
    EXPECT_TRUE(digests.insert(spec_digest(spec)).second) << digests.size();
  }
}

struct Wrong {
  void (*change)(ContainerSpec& spec);
  std::string_view words;
};

TEST(ContainerSpec, what_is_wrong_is_refused_by_name) {
  EXPECT_TRUE(check(small()));
  EXPECT_TRUE(check(whole()));
  const std::vector<Wrong> wrongs{
      {[](ContainerSpec& s) { s.name = "a/b"; }, "'a/b'"},
      {[](ContainerSpec& s) { s.name = ""; }, "no name of a container"},
      {[](ContainerSpec& s) { s.identity.component = ""; }, "no component"},
      {[](ContainerSpec& s) { s.image = "chat:latest"; }, "another one tomorrow"},
      {[](ContainerSpec& s) { s.image = "chat@sha256:12"; }, "another one tomorrow"},
      {[](ContainerSpec& s) { s.labels = {{"segue.slot", "x"}}; }, "Segue's own"},
      {[](ContainerSpec& s) { s.arguments = {"\xff"}; }, "not text"},
      {[](ContainerSpec& s) { s.arguments = {std::string(1, '\0')}; }, "not text"},
      {[](ContainerSpec& s) { s.arguments.assign(1000, "x"); }, "1000 arguments"},
      {[](ContainerSpec& s) { s.arguments = {std::string(100'000, 'x')}; }, "100000 bytes"},
      {[](ContainerSpec& s) { s.environment = {{"A=B", "1"}}; }, "name of a variable"},
      {[](ContainerSpec& s) { s.user = "a b"; }, "'a b'"},
      {[](ContainerSpec& s) { s.working_directory = "data"; }, "'data'"},
      {[](ContainerSpec& s) { s.stop_signal = "TERM"; }, "SIGTERM"},
      {[](ContainerSpec& s) { s.stop_grace = std::chrono::hours(2); }, "grace"},
      {[](ContainerSpec& s) { s.mounts = {BindMount{"a", "/b"}}; }, "absolute path"},
      {[](ContainerSpec& s) { s.mounts = {BindMount{"/a", "/b:ro"}}; }, "absolute path"},
      {[](ContainerSpec& s) { s.mounts = {BindMount{"/a/../etc", "/b"}}; }, "absolute path"},
      {[](ContainerSpec& s) { s.mounts = {BindMount{"/a", "/"}}; }, "absolute path"},
      {[](ContainerSpec& s) { s.mounts = {VolumeMount{"../a", "/b"}}; }, "name of a volume"},
      {[](ContainerSpec& s) { s.mounts = {MemoryMount{"/b", 0, 0}}; }, "tmpfs of 0 bytes"},
      {[](ContainerSpec& s) { s.mounts = {BindMount{"/a", "/b"}, MemoryMount{"/b", 1, 0}}; },
       "two things"},
      {[](ContainerSpec& s) { s.secrets = {{"/a", "/b", ""}}; }, "no digest"},
      {[](ContainerSpec& s) { s.ports = {{"", 80, 80, false}}; }, "bridge"},
      {[](ContainerSpec& s) {
         s.network = NetworkMode::bridge;
         s.ports = {{"", 0, 80, false}};
       },
       "is 0"},
      {[](ContainerSpec& s) { s.memory_bytes = 1000; }, "1000 bytes"},
      {[](ContainerSpec& s) { s.descriptors.soft = 20'000; }, "'nofile' 20000:16384"},
      {[](ContainerSpec& s) { s.limits = {{"nproc", 1, 1}}; }, "twice"},
      {[](ContainerSpec& s) { s.added_capabilities = {"CAP_CHOWN"}; }, "'CAP_CHOWN'"},
  };
  for (const Wrong& wrong : wrongs) {
    ContainerSpec spec = small();
    wrong.change(spec);
    const auto checked = check(spec);
    ASSERT_FALSE(checked) << wrong.words;
    EXPECT_EQ(checked.error().code(), ErrorCode::invalid_argument);
    EXPECT_THAT(checked.error().message(), HasSubstr(std::string(wrong.words)));
  }
}

TEST(ContainerSpec, a_container_of_that_name_is_judged_by_its_labels) {
  ContainerState found;
  found.name = small().name;
  EXPECT_EQ(judge(small(), found).error().code(), ErrorCode::already_exists);
  found.labels = labels_of(small());
  EXPECT_EQ(judge(small(), found), Adoption::adopted);
  found.labels["segue.spec"] = "sha256:other";
  EXPECT_EQ(judge(small(), found), Adoption::outdated);
  found.labels["segue.slot"] = "green";
  EXPECT_EQ(judge(small(), found).error().code(), ErrorCode::already_exists);
}

}  // namespace
}  // namespace segue::runtime
