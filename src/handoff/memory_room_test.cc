// SPDX-License-Identifier: Apache-2.0
#include "handoff/memory_room.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "handoff/test_service.h"

namespace segue::handoff::test {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

class Room : public testing::Test {
 protected:
  void write(const std::string& path, const std::string& text) const {
    const std::string whole = root() + path;
    std::filesystem::create_directories(std::filesystem::path(whole).parent_path());
    std::ofstream(whole) << text;
  }
  [[nodiscard]] std::string root() const { return directory_.path(); }
  TemporaryDirectory directory_;
};

TEST_F(Room, is_what_the_host_has_available) {
  write("/proc/meminfo", "MemTotal: 9 kB\nMemAvailable:     2048 kB\n");
  EXPECT_EQ(read_memory_room(root()).available_bytes, 2 * kMebibyte);
  EXPECT_EQ(read_memory_room(root()).group_bytes, MemoryRoom::kUnlimited);
}

TEST_F(Room, of_a_control_group_is_that_of_its_nearest_limit) {
  write("/proc/self/cgroup", "0::/outer/inner\n");
  write("/sys/fs/cgroup/outer/inner/memory.max", "max\n");
  write("/sys/fs/cgroup/outer/inner/memory.current", "1048576\n");
  write("/sys/fs/cgroup/outer/memory.max", "10485760\n");
  write("/sys/fs/cgroup/outer/memory.current", "6291456\n");
  write("/sys/fs/cgroup/outer/memory.stat", "anon 5\ninactive_file 2097152\n");
  EXPECT_EQ(read_memory_room(root()).group_bytes, 6 * kMebibyte);
}

TEST_F(Room, of_a_version_1_group) {
  write("/proc/self/cgroup", "9:cpu,cpuacct:/x\n4:memory:/jobs\n0::/\n");
  write("/sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "4194304\n");
  write("/sys/fs/cgroup/memory/jobs/memory.usage_in_bytes", "1048576\n");
  EXPECT_EQ(read_memory_room(root()).group_bytes, 3 * kMebibyte);
}

TEST_F(Room, of_this_host_can_be_read) {
  const MemoryRoom room = read_memory_room("");
  EXPECT_GT(room.available_bytes, kMebibyte);
  EXPECT_LT(room.available_bytes, MemoryRoom::kUnlimited);
}

TEST_F(Room, that_is_too_small_is_told_with_the_figures) {
  MemoryRoom room;
  room.available_bytes = 100 * kMebibyte;
  EXPECT_TRUE(check_memory_room(room, 100 * kMebibyte, "it").ok());
  const Status refused = check_memory_room(room, 200 * kMebibyte, "it");
  EXPECT_EQ(refused.code, SEGUE_REFUSED);
  EXPECT_NE(refused.text.find("it needs 201 MiB more, but the host has 100 MiB left"),
            std::string::npos)
      << refused.text;
  room.group_bytes = 50 * kMebibyte;
  EXPECT_NE(check_memory_room(room, 60 * kMebibyte, "it").text.find("control group has 50 MiB"),
            std::string::npos);
}

}  // namespace
}  // namespace segue::handoff::test
