// SPDX-License-Identifier: Apache-2.0
#include "os/host_figures.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

namespace segue::os {
namespace {

ReadText files(std::map<std::string, std::string> contents) {
  return [contents = std::move(contents)](const std::string& path) -> std::optional<std::string> {
    const auto found = contents.find(path);
    if (found == contents.end()) return std::nullopt;
    return found->second;
  };
}

TEST(HostFigures, of_this_process_and_host_are_there) {
  const auto memory = process_memory(::getpid());
  ASSERT_TRUE(memory) << memory.error().to_string();
  EXPECT_GT(memory->anonymous_bytes, 0U);
  EXPECT_GT(host_memory()->available_bytes, 0U);
  EXPECT_GE(host_load()->cpus, 1U);
  EXPECT_FALSE(process_memory(0));
}

TEST(HostFigures, a_line_is_found_at_its_start_only) {
  constexpr std::string_view kText = "VmRSS:\t  12 kB\nRssAnon:\t 7 kB\nXRssAnon: 1 kB\n";
  EXPECT_EQ(kib_line(kText, "RssAnon"), 7U * 1024);
  EXPECT_EQ(kib_line(kText, "Anon"), std::nullopt);
  EXPECT_EQ(kib_line("RssAnon: none", "RssAnon"), std::nullopt);
  EXPECT_EQ(kib_line("", "RssAnon"), std::nullopt);
}

TEST(HostFigures, the_nearest_limit_of_a_v2_cgroup_counts_without_idle_page_cache) {
  const auto room = cgroup_room(files({
      {"/proc/self/cgroup", "0::/a/b\n"},
      {"/sys/fs/cgroup/a/b/memory.max", "max\n"},
      {"/sys/fs/cgroup/a/b/memory.current", "50\n"},
      {"/sys/fs/cgroup/a/memory.max", "1000\n"},
      {"/sys/fs/cgroup/a/memory.current", "700\n"},
      {"/sys/fs/cgroup/a/memory.stat", "anon 300\ninactive_file 200\n"},
  }));
  EXPECT_EQ(room, 500U);
}

TEST(HostFigures, a_v1_cgroup_s_limit_is_found_beside_others) {
  const auto room = cgroup_room(files({
      {"/proc/self/cgroup", "9:name=systemd:/\n4:memory:/x\n0::/\n"},
      {"/sys/fs/cgroup/memory/x/memory.limit_in_bytes", "100\n"},
      {"/sys/fs/cgroup/memory/x/memory.usage_in_bytes", "120\n"},
      {"/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"},
      {"/sys/fs/cgroup/memory/memory.usage_in_bytes", "5\n"},
  }));
  EXPECT_EQ(room, 0U);
}

TEST(HostFigures, without_limits_or_files_there_is_no_room_to_name) {
  EXPECT_EQ(cgroup_room(files({})), std::nullopt);
  EXPECT_EQ(cgroup_room(files({{"/proc/self/cgroup", "nonsense\n:\n0:\n4:memory:x\n"}})),
            std::nullopt);
}

}  // namespace
}  // namespace segue::os
