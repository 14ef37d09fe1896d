// SPDX-License-Identifier: Apache-2.0
#include "runtime/memory_watch.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>

#include "os/files.h"

namespace segue::runtime {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::string_view kMemoryGroups = "/sys/fs/cgroup/memory";
constexpr std::size_t kMaxGroupFile = std::size_t{64} << 10;

std::string_view take_line(std::string_view& text) {
  const auto end = std::min(text.find('\n'), text.size());
  const std::string_view line = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return line;
}

}  // namespace

std::optional<std::string> memory_group_of(std::string_view proc_cgroup) {
  while (!proc_cgroup.empty()) {
    // ID:CONTROLLER[,CONTROLLER]:PATH
    const std::string_view line = take_line(proc_cgroup);
    const auto first = line.find(':');
    const auto second = first == line.npos ? line.npos : line.find(':', first + 1);
    if (second == line.npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    if (controllers.find(",memory,") != controllers.npos) {
      return std::string(line.substr(second + 1));
    }
  }
  return std::nullopt;
}

std::optional<std::uint64_t> oom_kills_in(std::string_view oom_control) {
  constexpr std::string_view kName = "oom_kill ";
  while (!oom_control.empty()) {
    const std::string_view line = take_line(oom_control);
    if (!line.starts_with(kName)) continue;
    std::uint64_t count = 0;
    const auto [end, problem] =
        std::from_chars(line.data() + kName.size(), line.data() + line.size(), count);
    if (problem == std::errc() && end == line.data() + line.size()) return count;
  }
  return std::nullopt;
}

// The kernel's Documentation/admin-guide/cgroup-v1/memory.rst, section 10.
Result<MemoryWatch> MemoryWatch::create(pid_t pid) {
  SEGUE_ASSIGN(const std::string groups,
               os::read_file(fmt::format("/proc/{}/cgroup", pid), kMaxGroupFile));
  const auto group = memory_group_of(groups);
  if (!group) {
    return fail(ErrorCode::failed_precondition,
                "process {} is in no memory group of version 1: the engine says it itself", pid);
  }
  const std::string folder = fmt::format("{}{}", kMemoryGroups, *group);
  os::UniqueFd control(::open((folder + "/memory.oom_control").c_str(), O_RDONLY | O_CLOEXEC));
  if (!control) return fail(base::errno_error("open " + folder + "/memory.oom_control", errno));
  os::UniqueFd event(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!event) return fail(base::errno_error("make an event", errno));
  const os::UniqueFd wish(::open((folder + "/cgroup.event_control").c_str(), O_WRONLY | O_CLOEXEC));
  if (!wish) return fail(base::errno_error("open " + folder + "/cgroup.event_control", errno));
  const std::string words = fmt::format("{} {}", event.get(), control.get());
  if (::write(wish.get(), words.data(), words.size()) != static_cast<ssize_t>(words.size())) {
    return fail(base::errno_error("watch " + folder, errno));
  }
  return MemoryWatch(std::move(control), std::move(event));
}

bool MemoryWatch::was_out_of_memory() {
  std::uint64_t events = 0;
  if (::read(event_.get(), &events, sizeof events) == static_cast<ssize_t>(sizeof events)) {
    events_ += events;
  }
  std::array<char, 256> text;
  const ssize_t got = ::pread(control_.get(), text.data(), text.size(), 0);
  if (got >= 0) {
    const auto kills = oom_kills_in({text.data(), static_cast<std::size_t>(got)});
    was_killed_ = was_killed_ || kills.value_or(0) > 0;
    return was_killed_;
  }
  // The group has gone, which is an event too: any other was the limit.
  return was_killed_ || events_ > 1;
}

}  // namespace segue::runtime
