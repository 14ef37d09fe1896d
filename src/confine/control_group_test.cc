// SPDX-License-Identifier: Apache-2.0
#include "confine/control_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace segue::confine {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Kind = GroupStep::Kind;

constexpr std::string_view kUnified =
    "24 1 0:22 / / rw - ext4 /dev/vda rw\n"
    "30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
constexpr std::string_view kHybrid =
    "30 24 0:26 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup rw\n"
    "31 24 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 24 0:28 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n";

TEST(ControlGroup, is_found_where_it_is_mounted) {
  const GroupHost unified = group_host_of(kUnified);
  EXPECT_EQ(unified.version2, "/sys/fs/cgroup");
  EXPECT_THAT(unified.version1, IsEmpty());
  const GroupHost hybrid = group_host_of(kHybrid);
  EXPECT_EQ(hybrid.version2, "/sys/fs/cgroup/unified");
  ASSERT_EQ(hybrid.version1.size(), 2U);
  EXPECT_EQ(hybrid.version1[1].path, "/sys/fs/cgroup/mem ory");
  EXPECT_EQ(group_host_of("nonsense\n - \n1 2 3 - cgroup2\n").version2, "");
}

TEST(ControlGroup, of_version_2_is_enabled_from_the_root_and_entered_last) {
  GroupHost host = group_host_of(kUnified);
  host.version2_controllers = "cpuset cpu io memory pids";
  const auto steps =
      plan_group(host, {.memory_bytes = 1'048'576, .cpu_millicores = 1'500}, "kv", 7);
  ASSERT_TRUE(steps) << steps.error().to_string();
  const std::string root = "/sys/fs/cgroup";
  EXPECT_THAT(*steps,
              ElementsAre(GroupStep{Kind::write, root + "/cgroup.subtree_control", "+memory"},
                          GroupStep{Kind::make, root + "/segue", ""},
                          GroupStep{Kind::write, root + "/segue/cgroup.subtree_control", "+memory"},
                          GroupStep{Kind::make, root + "/segue/kv-7", ""},
                          GroupStep{Kind::write, root + "/segue/kv-7/memory.max", "1048576"},
                          GroupStep{Kind::write, root + "/cgroup.subtree_control", "+cpu"},
                          GroupStep{Kind::make, root + "/segue", ""},
                          GroupStep{Kind::write, root + "/segue/cgroup.subtree_control", "+cpu"},
                          GroupStep{Kind::make, root + "/segue/kv-7", ""},
                          GroupStep{Kind::write, root + "/segue/kv-7/cpu.max", "150000 100000"},
                          GroupStep{Kind::write, root + "/segue/kv-7/cgroup.procs", "7"}));
}

TEST(ControlGroup, of_version_1_is_one_for_each_controller) {
  const auto steps =
      plan_group(group_host_of(kHybrid), {.memory_bytes = 4'096, .cpu_millicores = 10}, "kv", 7);
  ASSERT_TRUE(steps) << steps.error().to_string();
  const std::string cpu = "/sys/fs/cgroup/cpu,cpuacct/segue",
                    memory = "/sys/fs/cgroup/mem ory/segue";
  EXPECT_THAT(
      *steps,
      ElementsAre(GroupStep{Kind::make, memory, ""}, GroupStep{Kind::make, memory + "/kv-7", ""},
                  GroupStep{Kind::write, memory + "/kv-7/memory.limit_in_bytes", "4096"},
                  GroupStep{Kind::make, cpu, ""}, GroupStep{Kind::make, cpu + "/kv-7", ""},
                  GroupStep{Kind::write, cpu + "/kv-7/cpu.cfs_quota_us", "1000"},
                  GroupStep{Kind::write, memory + "/kv-7/cgroup.procs", "7"},
                  GroupStep{Kind::write, cpu + "/kv-7/cgroup.procs", "7"}));
}

TEST(ControlGroup, says_which_limit_a_host_cannot_keep) {
  const auto steps = plan_group(group_host_of(kHybrid), {.max_processes = 9}, "kv", 7);
  ASSERT_FALSE(steps);
  EXPECT_EQ(steps.error().code(), base::ErrorCode::failed_precondition);
  EXPECT_THAT(steps.error().message(), HasSubstr("processes"));
  EXPECT_THAT(steps.error().message(), HasSubstr("'pids'"));
}

}  // namespace
}  // namespace segue::confine
