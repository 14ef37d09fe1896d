// SPDX-License-Identifier: Apache-2.0
#include "os/host_figures.h"

#include <fmt/format.h>
#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>

#include "os/files.h"

namespace segue::os {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxProcBytes = 64 * 1024;
constexpr std::uint64_t kNoLimit = std::uint64_t{1} << 62;  // v1 writes LONG_MAX, by pages
constexpr int kMaxCgroupDepth = 32;

std::optional<std::string> text_of(const std::string& path) {
  auto text = read_file(path, kMaxProcBytes);
  if (!text) return std::nullopt;
  return *std::move(text);
}

std::optional<std::uint64_t> leading_number(std::string_view text) {
  const std::size_t start = text.find_first_not_of(" \t");
  if (start == std::string_view::npos) return std::nullopt;
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data() + start, text.data() + text.size(), number);
  if (error != std::errc()) return std::nullopt;
  return number;
}

// What follows `name` at the start of a line.
std::string_view rest_of_line(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    if (line.starts_with(name)) return line.substr(name.size());
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  return {};
}

struct CgroupFiles {
  std::string root;
  std::string limit;
  std::string used;
  std::string reclaimable;  // a line of memory.stat
};

std::optional<std::uint64_t> room_at(const ReadText& file, const CgroupFiles& names,
                                     const std::string& folder) {
  const auto limit_text = file(folder + "/" + names.limit);
  const auto used_text = file(folder + "/" + names.used);
  if (!limit_text || !used_text) return std::nullopt;
  const auto limit = leading_number(*limit_text);  // "max" is none
  const auto used = leading_number(*used_text);
  if (!limit || !used || *limit >= kNoLimit) return std::nullopt;
  const auto stat = file(folder + "/memory.stat").value_or("");
  // Page cache that is not in use gives way.
  const std::uint64_t cache =
      std::min(*used, leading_number(rest_of_line(stat, names.reclaimable)).value_or(0));
  const std::uint64_t taken = *used - cache;
  return *limit > taken ? *limit - taken : 0;
}

}  // namespace

std::optional<std::uint64_t> kib_line(std::string_view text, std::string_view name) {
  const auto kib = leading_number(rest_of_line(text, std::string(name) + ":"));
  if (!kib) return std::nullopt;
  return *kib * 1024;
}

std::optional<std::uint64_t> cgroup_room(const ReadText& file) {
  const std::string groups = file("/proc/self/cgroup").value_or("");
  std::optional<std::uint64_t> least;
  const auto consider = [&](const CgroupFiles& names, std::string path) {
    for (int depth = 0; depth < kMaxCgroupDepth; ++depth) {
      const auto room = room_at(file, names, names.root + (path == "/" ? "" : path));
      if (room) least = std::min(*room, least.value_or(*room));
      if (path.empty() || path == "/") return;
      path.resize(path.rfind('/'));  // a path begins with a '/'
    }
  };
  std::string_view rest = groups;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(rest.size(), end + 1));
    const std::size_t first = line.find(':');
    const std::size_t second = first == std::string_view::npos ? first : line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    const std::string path(line.substr(second + 1));
    if (!path.starts_with('/')) continue;
    if (controllers.empty()) {
      consider({"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "}, path);
    } else if (controllers == "memory") {
      consider({"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                "total_inactive_file "},
               path);
    }
  }
  return least;
}

Result<ProcessMemory> process_memory(pid_t pid) {
  SEGUE_ASSIGN(const std::string text,
               read_file(fmt::format("/proc/{}/status", pid), kMaxProcBytes));
  const auto anonymous = kib_line(text, "RssAnon");
  if (!anonymous) return fail(ErrorCode::not_found, "process {} has no memory any more", pid);
  return ProcessMemory{*anonymous, kib_line(text, "RssFile").value_or(0),
                       kib_line(text, "RssShmem").value_or(0)};
}

Result<HostMemory> host_memory() {
  SEGUE_ASSIGN(const std::string text, read_file("/proc/meminfo", kMaxProcBytes));
  const auto available = kib_line(text, "MemAvailable");
  if (!available) return fail(ErrorCode::not_found, "/proc/meminfo does not say what is available");
  return HostMemory{*available, cgroup_room(text_of)};
}

Result<HostLoad> host_load() {
  SEGUE_ASSIGN(const std::string text, read_file("/proc/loadavg", kMaxProcBytes));
  HostLoad load;
  load.runnable = std::strtod(text.c_str(), nullptr);
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) {
    load.cpus = static_cast<std::uint32_t>(std::max(1, CPU_COUNT(&set)));
  }
  return load;
}

}  // namespace segue::os
