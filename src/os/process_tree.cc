// SPDX-License-Identifier: Apache-2.0
#include "os/process_tree.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <system_error>

#include "os/files.h"
#include "os/process.h"

namespace segue::os {
namespace {

using base::Result;

constexpr std::size_t kMaxStatBytes = 4'096;
constexpr std::size_t kMaxEnvironmentBytes = std::size_t{4} << 20;

std::optional<TreeProcess> read_process(pid_t pid) {
  const auto stat = read_file(fmt::format("/proc/{}/stat", pid), kMaxStatBytes);
  if (!stat) return std::nullopt;  // it has ended
  // proc(5): the name, field 2, may hold anything and ends with the last ')'.
  const std::size_t name_end = stat->rfind(')');
  if (name_end == std::string::npos) return std::nullopt;
  std::istringstream fields(stat->substr(name_end + 1));
  TreeProcess process{.pid = pid};
  std::string state;
  std::string ignored;
  fields >> state >> process.parent;
  for (int field = 5; field < 22; ++field) fields >> ignored;
  fields >> process.start_ticks;
  if (!fields) return std::nullopt;
  process.is_zombie = state == "Z" || state == "X";
  return process;
}

void read_memory(TreeProcess& process) {
  const auto text = read_file(fmt::format("/proc/{}/statm", process.pid), kMaxStatBytes);
  if (!text) return;
  std::istringstream fields(*text);
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  std::uint64_t shared_pages = 0;
  fields >> size_pages >> resident_pages >> shared_pages;
  if (!fields || shared_pages > resident_pages) return;
  static const auto kPageBytes = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
  process.memory_bytes = (resident_pages - shared_pages) * kPageBytes;
}

Result<std::vector<TreeProcess>> all_processes() {
  std::vector<TreeProcess> processes;
  std::error_code error;
  std::filesystem::directory_iterator entries("/proc", error);
  for (; !error && entries != std::filesystem::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    pid_t pid = 0;
    const auto [end, problem] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (problem != std::errc() || end != name.data() + name.size()) continue;
    if (const auto process = read_process(pid)) processes.push_back(*process);
  }
  if (error) return fail(base::errno_error("list /proc", error.value()));
  return processes;
}

}  // namespace

Result<void> adopt_orphans() {
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0) return {};
  return fail(base::errno_error("become the parent of orphans", errno));
}

Result<std::vector<TreeProcess>> processes_below(pid_t root, const std::set<pid_t>& except) {
  SEGUE_ASSIGN(const auto all, all_processes());
  std::multimap<pid_t, const TreeProcess*> children;
  for (const auto& process : all) children.emplace(process.parent, &process);
  std::vector<TreeProcess> found;
  const auto take_children = [&](pid_t parent, bool is_root) {
    const auto [begin, end] = children.equal_range(parent);
    for (auto child = begin; child != end; ++child) {
      if (!is_root || !except.contains(child->second->pid)) found.push_back(*child->second);
    }
  };
  take_children(root, true);
  // Each process has one parent, so that none is met twice.
  for (std::size_t next = 0; next < found.size(); ++next) take_children(found[next].pid, false);
  for (auto& process : found) read_memory(process);
  return found;
}

Result<std::vector<TreeProcess>> processes_with_variable(const std::string& variable) {
  SEGUE_ASSIGN(const auto all, all_processes());
  std::vector<TreeProcess> found;
  for (const auto& process : all) {
    auto environment =
        read_file(fmt::format("/proc/{}/environ", process.pid), kMaxEnvironmentBytes);
    if (!environment) continue;
    environment->insert(0, 1, '\0');
    environment->push_back('\0');
    if (environment->find('\0' + variable + '\0') != std::string::npos) found.push_back(process);
  }
  return found;
}

void kill_or_reap(const TreeProcess& process) {
  if (process.is_zombie) {
    if (process.parent == ::getpid()) ::waitpid(process.pid, nullptr, WNOHANG);
    return;
  }
  const auto pidfd = open_process(process.pid);
  if (!pidfd) return;  // it has ended
  const auto start = start_time_ticks(process.pid);
  if (start && *start == process.start_ticks) (void)send_signal(*pidfd, SIGKILL);
}

}  // namespace segue::os
