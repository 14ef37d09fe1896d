// SPDX-License-Identifier: Apache-2.0
#include "handoff/memory_room.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string_view>

#include "handoff/unique_fd.h"

namespace segue::handoff {
namespace {

constexpr uint64_t kMebibyte = uint64_t{1} << 20;

std::string read_small(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  char buffer[16'384];
  std::string text;
  while (fd.valid() && text.size() < sizeof buffer) {
    const ssize_t got = read(fd.get(), buffer, sizeof buffer - text.size());
    if (got <= 0) break;
    text.append(buffer, static_cast<size_t>(got));
  }
  return text;
}

std::optional<uint64_t> number_at(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc{} ? std::optional(value) : std::nullopt;
}

// The number behind `name` where that begins a line.
std::optional<uint64_t> line_number(std::string_view text, std::string_view name) {
  while (!text.empty()) {
    if (text.starts_with(name)) return number_at(text.substr(name.size()));
    text.remove_prefix(std::min(text.find('\n'), text.size() - 1) + 1);
  }
  return std::nullopt;
}

struct GroupFiles {
  std::string_view mount;
  std::string_view limit;
  std::string_view usage;
  std::string_view reclaimable;  // of memory.stat: files that nobody uses count as used
};
constexpr GroupFiles kVersion1{"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                               "memory.usage_in_bytes", "total_inactive_file "};
constexpr GroupFiles kVersion2{"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

uint64_t room_of_group(const std::string& folder, const GroupFiles& files) {
  const auto limit = number_at(read_small(folder + "/" + std::string(files.limit)));
  const auto usage = number_at(read_small(folder + "/" + std::string(files.usage)));
  if (!limit || !usage) return MemoryRoom::kUnlimited;  // "max", or no such controller
  const std::string stat = read_small(folder + "/memory.stat");
  const uint64_t reclaimable = line_number(stat, files.reclaimable).value_or(0);
  const uint64_t used = *usage - std::min(*usage, reclaimable);
  return *limit - std::min(*limit, used);
}

uint64_t room_of_groups(const std::string& root, std::string path, const GroupFiles& files) {
  constexpr int kMaxDepth = 64;
  uint64_t room = MemoryRoom::kUnlimited;
  for (int depth = 0; depth < kMaxDepth; ++depth) {
    while (!path.empty() && path.back() == '/') path.pop_back();
    room = std::min(room, room_of_group(root + std::string(files.mount) + path, files));
    if (path.empty()) break;
    path.erase(path.rfind('/'));
  }
  return room;
}

}  // namespace

MemoryRoom read_memory_room(const std::string& root) {
  MemoryRoom room;
  const std::string meminfo = read_small(root + "/proc/meminfo");
  if (const auto kilobytes = line_number(meminfo, "MemAvailable:")) {
    room.available_bytes = *kilobytes * 1024;
  }
  std::string groups = read_small(root + "/proc/self/cgroup");
  std::string_view rest = groups;
  while (!rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
    const size_t first = line.find(':');
    const size_t second = line.find(':', first == std::string_view::npos ? first : first + 1);
    if (second == std::string_view::npos) continue;
    const std::string controllers =
        "," + std::string(line.substr(first + 1, second - first - 1)) + ",";
    const std::string path(line.substr(second + 1));
    if (controllers == ",,") {
      room.group_bytes = std::min(room.group_bytes, room_of_groups(root, path, kVersion2));
    } else if (controllers.find(",memory,") != std::string::npos) {
      room.group_bytes = std::min(room.group_bytes, room_of_groups(root, path, kVersion1));
    }
  }
  return room;
}

Status check_memory_room(const MemoryRoom& room, uint64_t needed_bytes, const std::string& what) {
  const auto refuse = [&](uint64_t have, const char* where) {
    return Status::bad(SEGUE_REFUSED,
                       what + " needs " + std::to_string(needed_bytes / kMebibyte + 1) +
                           " MiB more, but " + where + " has " + std::to_string(have / kMebibyte) +
                           " MiB left: give it more, or free some, and try again");
  };
  if (needed_bytes > room.available_bytes) return refuse(room.available_bytes, "the host");
  if (needed_bytes > room.group_bytes) return refuse(room.group_bytes, "the control group");
  return Status::good();
}

}  // namespace segue::handoff
