// SPDX-License-Identifier: Apache-2.0
#include "confine/control_group.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <system_error>

#include "os/files.h"
#include "os/unique_fd.h"

namespace segue::confine {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxProcBytes = std::size_t{1} << 20;
constexpr std::size_t kMaxLeftGroups = 10'000;
constexpr std::uint32_t kPeriodUs = 100'000;
constexpr const char* kFolder = "/segue";
constexpr const char* kEnabled = "/cgroup.subtree_control";
constexpr const char* kMembers = "/cgroup.procs";

struct Limit {
  std::string_view controller;
  std::string_view key;  // as it was said
  std::string version2_file, version2_text;
  std::string version1_file, version1_text;
};

std::vector<Limit> limits_of(const GroupLimits& limits) {
  std::vector<Limit> list;
  if (limits.memory_bytes != 0) {
    const std::string bytes = fmt::to_string(limits.memory_bytes);
    list.push_back({"memory", "memory", "/memory.max", bytes, "/memory.limit_in_bytes", bytes});
  }
  if (limits.cpu_millicores != 0) {
    const std::uint64_t quota = std::uint64_t{limits.cpu_millicores} * kPeriodUs / 1'000;
    list.push_back({"cpu", "cpus", "/cpu.max", fmt::format("{} {}", quota, kPeriodUs),
                    "/cpu.cfs_quota_us", fmt::to_string(quota)});
  }
  if (limits.max_processes != 0) {
    const std::string count = fmt::to_string(limits.max_processes);
    list.push_back({"pids", "processes", "/pids.max", count, "/pids.max", count});
  }
  return list;
}

std::vector<std::string_view> words_of(std::string_view text, char separator) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    if (end != 0) words.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

bool has_word(std::string_view text, char separator, std::string_view word) {
  const auto words = words_of(text, separator);
  return std::find(words.begin(), words.end(), word) != words.end();
}

// Of options and paths of mountinfo: "\040" is a blank.
std::string unescaped(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned number = 0;
    if (text[i] == '\\' && i + 3 < text.size() &&
        std::from_chars(text.data() + i + 1, text.data() + i + 4, number, 8).ec == std::errc()) {
      plain += static_cast<char>(number);
      i += 3;
    } else {
      plain += text[i];
    }
  }
  return plain;
}

void append_group(std::vector<GroupStep>& steps, const std::string& group, std::string_view file,
                  const std::string& text) {
  using Kind = GroupStep::Kind;
  steps.push_back({Kind::make, group, ""});
  steps.push_back({Kind::write, group + std::string(file), text});
}

Result<void> carry_out(const GroupStep& step) {
  if (step.kind == GroupStep::Kind::make) {
    if (::mkdir(step.path.c_str(), 0755) == 0 || errno == EEXIST) return {};
    return fail(base::errno_error("make control group " + step.path, errno));
  }
  const os::UniqueFd file(::open(step.path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return fail(base::errno_error("open " + step.path, errno));
  const auto size = static_cast<ssize_t>(step.text.size());
  if (::write(file.get(), step.text.data(), step.text.size()) == size) return {};
  return fail(base::errno_error(fmt::format("write '{}' into {}", step.text, step.path), errno));
}

// NAME-PID
bool has_ended(const std::string& group) {
  const auto dash = group.rfind('-');
  pid_t pid = 0;
  if (dash == std::string::npos ||
      std::from_chars(group.data() + dash + 1, group.data() + group.size(), pid).ec !=
          std::errc()) {
    return false;
  }
  return pid > 0 && ::kill(pid, 0) != 0 && errno == ESRCH;
}

// Only empty ones can be removed.
void remove_left(const std::string& folder) {
  std::error_code error;
  std::size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (++seen > kMaxLeftGroups) return;
    if (has_ended(entry.path().filename().string())) ::rmdir(entry.path().c_str());
  }
}

std::vector<std::string> roots_of(const GroupHost& host) {
  std::vector<std::string> roots;
  if (!host.version2.empty()) roots.push_back(host.version2);
  for (const auto& one : host.version1) roots.push_back(one.path);
  return roots;
}

}  // namespace

// 36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue
GroupHost group_host_of(std::string_view mountinfo) {
  constexpr std::string_view kSeparator = " - ";
  GroupHost host;
  for (const std::string_view line : words_of(mountinfo, '\n')) {
    const std::size_t middle = line.find(kSeparator);
    if (middle == std::string_view::npos) continue;
    const auto mount = words_of(line.substr(0, middle), ' ');
    const auto kind = words_of(line.substr(middle + kSeparator.size()), ' ');
    if (mount.size() < 5 || kind.size() < 3) continue;
    if (kind[0] == "cgroup2") {
      if (host.version2.empty()) host.version2 = unescaped(mount[4]);
    } else if (kind[0] == "cgroup") {
      host.version1.push_back({std::string(kind[2]), unescaped(mount[4])});
    }
  }
  return host;
}

Result<std::vector<GroupStep>> plan_group(const GroupHost& host, const GroupLimits& limits,
                                          const std::string& name, pid_t pid) {
  using Kind = GroupStep::Kind;
  std::vector<GroupStep> steps, members;
  for (const Limit& limit : limits_of(limits)) {
    const std::string group = fmt::format("{}/{}-{}", kFolder, name, pid);
    std::string root = host.version2;
    const bool is_version2 =
        !root.empty() && has_word(host.version2_controllers, ' ', limit.controller);
    if (is_version2) {
      const std::string enabled = fmt::format("+{}", limit.controller);
      steps.push_back({Kind::write, root + kEnabled, enabled});
      steps.push_back({Kind::make, root + kFolder, ""});
      steps.push_back({Kind::write, root + kFolder + kEnabled, enabled});
      append_group(steps, root + group, limit.version2_file, limit.version2_text);
    } else {
      const auto found = std::find_if(
          host.version1.begin(), host.version1.end(),
          [&](const auto& one) { return has_word(one.controllers, ',', limit.controller); });
      if (found == host.version1.end()) {
        return fail(ErrorCode::failed_precondition,
                    "limits: {} cannot be limited on this host: it has no control groups with the "
                    "controller '{}' (cgroups(7)); leave the limit out, or run it in a container",
                    limit.key, limit.controller);
      }
      root = found->path;
      steps.push_back({Kind::make, root + kFolder, ""});
      append_group(steps, root + group, limit.version1_file, limit.version1_text);
    }
    const GroupStep member{Kind::write, root + group + kMembers, fmt::to_string(pid)};
    if (std::find(members.begin(), members.end(), member) == members.end()) {
      members.push_back(member);
    }
  }
  steps.insert(steps.end(), members.begin(), members.end());
  return steps;
}

Result<GroupHost> this_group_host() {
  SEGUE_ASSIGN(const std::string mounts, os::read_file("/proc/self/mountinfo", kMaxProcBytes));
  GroupHost host = group_host_of(mounts);
  if (!host.version2.empty()) {
    std::string names =
        os::read_file(host.version2 + "/cgroup.controllers", kMaxProcBytes).value_or("");
    while (!names.empty() && names.back() == '\n') names.pop_back();
    host.version2_controllers = std::move(names);
  }
  return host;
}

Result<void> check_group(const GroupLimits& limits, const std::string& name) {
  if (!limits.any()) return {};
  SEGUE_ASSIGN(const GroupHost host, this_group_host());
  SEGUE_ASSIGN(const auto steps, plan_group(host, limits, name, ::getpid()));
  for (const GroupStep& step : steps) {
    const std::string folder = std::filesystem::path(step.path).parent_path().string();
    const auto roots = roots_of(host);
    if (std::find(roots.begin(), roots.end(), folder) == roots.end()) continue;
    if (::access(folder.c_str(), W_OK) == 0) continue;
    return fail(ErrorCode::failed_precondition, "limits: {}; run it as root, or in a container",
                base::errno_error("make a control group in " + folder, errno).message());
  }
  return {};
}

Result<void> enter_group(const GroupLimits& limits, const std::string& name) {
  if (!limits.any()) return {};
  SEGUE_ASSIGN(const GroupHost host, this_group_host());
  for (const auto& root : roots_of(host)) remove_left(root + kFolder);
  SEGUE_ASSIGN(const auto steps, plan_group(host, limits, name, ::getpid()));
  for (const GroupStep& step : steps) SEGUE_TRY(carry_out(step));
  return {};
}

}  // namespace segue::confine
