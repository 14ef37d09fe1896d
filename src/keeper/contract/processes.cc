// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/processes.h"

#include <fmt/format.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "os/files.h"
#include "os/process.h"

namespace segue::keeper {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxStatBytes = 4'096;
constexpr std::size_t kMaxFdInfoBytes = std::size_t{8} << 20;  // an epoll set of 100,000
constexpr std::size_t kMaxTableBytes = std::size_t{256} << 20;
constexpr std::size_t kMaxProcesses = 1 << 17;
constexpr std::size_t kNetlinkBytes = std::size_t{64} << 10;
constexpr int kMaxNetlinkParts = 100'000;
constexpr int kMaxAncestors = 1'000;

template <class T>
std::optional<T> number(std::string_view text, int radix = 10) {
  T value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// The names in a folder of /proc that are numbers.
template <class Visit>
void for_each_number(const std::string& folder, Visit visit) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    if (const auto name = number<int>(entries->path().filename().native())) visit(*name);
  }
}

std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> found;
  while (true) {
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) return found;
    line.remove_prefix(start);
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    found.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
}

template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// The inode behind a descriptor, if it is a socket.
std::optional<ino_t> socket_inode(pid_t pid, int fd) {
  char room[64];
  const auto size = ::readlink(fmt::format("/proc/{}/fd/{}", pid, fd).c_str(), room, sizeof room);
  std::string_view target(room, size < 0 ? 0 : static_cast<std::size_t>(size));
  if (!target.starts_with("socket:[") || !target.ends_with(']')) return std::nullopt;
  return number<ino_t>(target.substr(8, target.size() - 9));
}

bool is_epoll(pid_t pid, int fd) {
  char room[64];
  const auto size = ::readlink(fmt::format("/proc/{}/fd/{}", pid, fd).c_str(), room, sizeof room);
  return std::string_view(room, size < 0 ? 0 : static_cast<std::size_t>(size)) ==
         "anon_inode:[eventpoll]";
}

// proc(5), fdinfo of an epoll descriptor: "tfd: 5 events: 19 data: 5 pos:0 ino:3d2c sdev:9"
void erase_watched(pid_t pid, int fd, std::set<ino_t>& wanted) {
  const auto info = os::read_file(fmt::format("/proc/{}/fdinfo/{}", pid, fd), kMaxFdInfoBytes);
  if (!info) return;
  for_each_line(*info, [&](std::string_view line) {
    const std::size_t at = line.find("ino:");
    if (!line.starts_with("tfd:") || at == std::string_view::npos) return;
    const std::string_view rest = line.substr(at + 4);
    if (const auto inode = number<ino_t>(rest.substr(0, rest.find(' ')), 16)) wanted.erase(*inode);
  });
}

// proc(5), /proc/PID/task/TID/syscall: the number, then its arguments in hexadecimal.
void erase_accepting(pid_t pid, std::set<ino_t>& wanted) {
  for_each_number(fmt::format("/proc/{}/task", pid), [&](int thread) {
    const auto text =
        os::read_file(fmt::format("/proc/{}/task/{}/syscall", pid, thread), kMaxStatBytes);
    const auto words = text ? fields(*text) : std::vector<std::string_view>{};
    if (words.size() < 2 || !words[1].starts_with("0x")) return;
    const auto call = number<int>(words[0]);
    if (call != SYS_accept && call != SYS_accept4) return;
    const auto fd = number<int>(words[1].substr(2), 16);
    const auto inode = fd ? socket_inode(pid, *fd) : std::nullopt;
    if (inode) wanted.erase(*inode);
  });
}

// Asks for the sockets that are established, or whose client has said all it had to say
// (CLOSE_WAIT): sock_diag(7). /proc/net/tcp would also list every connection in TIME_WAIT.
bool send_tcp_question(const os::UniqueFd& netlink, std::uint8_t family) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  question.request.sdiag_family = family;
  question.request.sdiag_protocol = IPPROTO_TCP;
  question.request.idiag_states = (1U << TCP_ESTABLISHED) | (1U << TCP_CLOSE_WAIT);
  return ::send(netlink.get(), &question, sizeof question, 0) ==
         static_cast<ssize_t>(sizeof question);
}

// One part of the answer; false: it was the last.
bool take_tcp_answer(std::string_view bytes, const std::set<std::uint16_t>& ports,
                     std::set<ino_t>& found) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) return false;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return false;
    if (header.nlmsg_len >= NLMSG_HDRLEN + sizeof(inet_diag_msg)) {
      inet_diag_msg socket{};
      std::memcpy(&socket, bytes.data() + NLMSG_HDRLEN, sizeof socket);
      if (ports.contains(ntohs(socket.id.idiag_sport))) found.insert(socket.idiag_inode);
    }
    bytes.remove_prefix(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), bytes.size()));
  }
  return true;
}

void add_tcp(std::uint8_t family, const std::set<std::uint16_t>& ports, std::set<ino_t>& found) {
  const os::UniqueFd netlink(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!netlink || !send_tcp_question(netlink, family)) return;
  std::vector<char> room(kNetlinkBytes);
  for (int i = 0; i < kMaxNetlinkParts; ++i) {
    const ssize_t got = ::recv(netlink.get(), room.data(), room.size(), 0);
    if (got <= 0) return;
    if (!take_tcp_answer({room.data(), static_cast<std::size_t>(got)}, ports, found)) return;
  }
}

// /proc/net/unix: "Num RefCount Protocol Flags Type St Inode Path"; St 03 is connected.
void add_unix(const std::string& path, const std::set<std::string>& paths, std::set<ino_t>& found) {
  const auto table = os::read_file(path, kMaxTableBytes);
  if (!table) return;
  for_each_line(*table, [&](std::string_view line) {
    const auto words = fields(line);
    if (words.size() < 8 || words[5] != "03" || !paths.contains(std::string(words[7]))) return;
    if (const auto inode = number<ino_t>(words[6])) found.insert(*inode);
  });
}

// proc(5), /proc/PID/stat: "pid (name) state parent group …"
std::optional<ProcessTable::Entry> read_entry(pid_t pid) {
  const auto stat = os::read_file(fmt::format("/proc/{}/stat", pid), kMaxStatBytes);
  if (!stat) return std::nullopt;
  const std::size_t name_end = stat->rfind(')');  // the name may hold anything
  if (name_end == std::string::npos) return std::nullopt;
  const auto words = fields(std::string_view(*stat).substr(name_end + 1));
  if (words.size() < 3) return std::nullopt;
  return ProcessTable::Entry{number<pid_t>(words[1]).value_or(0),
                             number<pid_t>(words[2]).value_or(0)};
}

}  // namespace

ProcessTable ProcessTable::read() {
  ProcessTable table;
  for_each_number("/proc", [&](pid_t pid) {
    if (table.entries_.size() >= kMaxProcesses) return;
    if (const auto entry = read_entry(pid)) table.entries_[pid] = *entry;
  });
  return table;
}

std::vector<pid_t> ProcessTable::family(pid_t pid) const {
  std::vector<pid_t> family;
  if (!entries_.contains(pid)) return family;
  family.push_back(pid);
  for (std::size_t i = 0; i < family.size(); ++i) {
    for (const auto& [child, entry] : entries_) {
      if (entry.parent == family[i]) family.push_back(child);
    }
  }
  return family;
}

pid_t nearest(pid_t pid, const std::set<pid_t>& candidates) {
  if (candidates.contains(pid)) return pid;  // also when it has ended
  const auto own = read_entry(pid);
  if (!own) return 0;
  pid_t ancestor = own->parent;
  for (int i = 0; i < kMaxAncestors && ancestor > 1; ++i) {
    if (candidates.contains(ancestor)) return ancestor;
    const auto entry = read_entry(ancestor);
    if (!entry) break;
    ancestor = entry->parent;
  }
  return candidates.contains(own->group) ? own->group : 0;
}

bool accepts_on(std::span<const pid_t> family, const std::set<ino_t>& listeners) {
  std::set<ino_t> wanted = listeners;
  for (const pid_t pid : family) {
    for_each_number(fmt::format("/proc/{}/fd", pid), [&](int fd) {
      if (!wanted.empty() && is_epoll(pid, fd)) erase_watched(pid, fd, wanted);
    });
    if (!wanted.empty()) erase_accepting(pid, wanted);
    if (wanted.empty()) return true;
  }
  return wanted.empty();
}

Established established(std::span<const pid_t> family, const ListenerNames& names,
                        const std::set<ino_t>& stored) {
  Established connections;
  std::set<ino_t> inodes;
  if (!names.ports.empty()) {
    add_tcp(AF_INET, names.ports, inodes);
    add_tcp(AF_INET6, names.ports, inodes);
  }
  if (!names.paths.empty()) add_unix("/proc/net/unix", names.paths, inodes);
  for (const pid_t pid : family) {
    if (inodes.empty()) break;
    for_each_number(fmt::format("/proc/{}/fd", pid), [&](int fd) {
      const auto inode = socket_inode(pid, fd);
      // A connection that several processes hold is one connection.
      if (!inode || inodes.erase(*inode) == 0) return;
      if (stored.contains(*inode)) {
        ++connections.stored;
      } else {
        connections.own.push_back({pid, fd});
      }
    });
  }
  return connections;
}

std::size_t cut(std::span<const Connection> connections, std::size_t count) {
  std::size_t done = 0;
  for (const auto& connection : connections) {
    if (done >= count) break;
    const auto pidfd = os::open_process(connection.pid);
    if (!pidfd) continue;
    const os::UniqueFd socket(
        static_cast<int>(::syscall(SYS_pidfd_getfd, pidfd->get(), connection.fd, 0)));
    if (socket && ::shutdown(socket.get(), SHUT_RDWR) == 0) ++done;
  }
  return done;
}

}  // namespace segue::keeper
