// SPDX-License-Identifier: Apache-2.0
#include "traffic/group_entry.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <vector>

#include "os/unique_fd.h"
#include "traffic/probe_socket.h"
#include "traffic/split_group.h"

namespace segue::traffic {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxTableBytes = std::size_t{16} << 20;
constexpr std::string_view kListening = "0A";  // TCP_LISTEN
constexpr std::size_t kAddressField = 1;
constexpr std::size_t kStateField = 3;
constexpr std::size_t kUserField = 7;

std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (true) {
    const std::size_t start = line.find_first_not_of(' ');
    if (start == std::string_view::npos) return fields;
    const std::size_t end = line.find(' ', start);
    fields.push_back(line.substr(start, end == std::string_view::npos ? end : end - start));
    if (end == std::string_view::npos) return fields;
    line.remove_prefix(end);
  }
}

// Each 32 bits of the address as a number of this host (proc(5)).
std::string table_address(const Bound& bound) {
  std::string text;
  for (std::size_t at = 0; at < bound.bytes.size(); at += sizeof(std::uint32_t)) {
    std::uint32_t word = 0;
    std::memcpy(&word, bound.bytes.data() + at, sizeof word);
    text += fmt::format("{:08X}", word);
  }
  return text + fmt::format(":{:04X}", bound.port);
}

// The part of a table with the listening sockets, and perhaps some more.
Result<std::string> read_listening(const std::string& path) {
  const os::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return fail(base::errno_error("open " + path, errno));
  std::string table;
  std::array<char, 32'768> room{};
  while (table.size() < kMaxTableBytes) {
    const ssize_t got = ::read(file.get(), room.data(), room.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return fail(base::errno_error("read " + path, errno));
    if (got == 0) return table;
    table.append(room.data(), static_cast<std::size_t>(got));
    const std::size_t end = table.rfind('\n');
    const std::size_t start = end == std::string::npos ? end : table.rfind('\n', end - 1);
    if (start == std::string::npos) continue;
    const auto last = fields_of(std::string_view(table).substr(start + 1, end - start - 1));
    if (last.size() > kStateField && last[kStateField] != kListening) return table;
  }
  return fail(ErrorCode::resource_exhausted, "{} lists more than {} bytes of listening sockets",
              path, kMaxTableBytes);
}

}  // namespace

Slot slot_of(std::string_view component) {
  return component.ends_with(kCanarySuffix) ? Slot::canary : Slot::stable;
}

std::string stable_name(std::string_view component) {
  if (slot_of(component) == Slot::canary) component.remove_suffix(kCanarySuffix.size());
  return std::string(component);
}

std::string canary_name(std::string_view component) {
  return stable_name(component).append(kCanarySuffix);
}

std::string group_lock_path(const std::string& directory) {
  return directory + "/.share.lock";
}

std::uint32_t count_listeners(std::string_view table, std::string_view address, std::uint32_t uid) {
  std::uint32_t count = 0;
  for (std::size_t end = 0; (end = table.find('\n')) != std::string_view::npos;
       table.remove_prefix(end + 1)) {
    const auto fields = fields_of(table.substr(0, end));
    if (fields.size() <= kUserField || fields[kStateField] != kListening) continue;
    if (fields[kAddressField] == address && fields[kUserField] == fmt::to_string(uid)) ++count;
  }
  return count;
}

Result<void> enter_group(int socket, Slot slot) {
  SEGUE_ASSIGN(const Bound bound, bound_address(socket));
  const char* const path =
      bound.bytes.size() == sizeof(in_addr) ? "/proc/net/tcp" : "/proc/net/tcp6";
  SEGUE_ASSIGN(const std::string table, read_listening(path));
  const std::uint32_t count = count_listeners(table, table_address(bound), ::geteuid());
  if (count == 0) return fail(ErrorCode::internal, "{} does not name {}", path, to_string(bound));
  // Who came last has the last index.
  return attach(socket, constant_program(slot == Slot::stable ? count - 1 : 0));
}

}  // namespace segue::traffic
