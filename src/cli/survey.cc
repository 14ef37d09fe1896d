// SPDX-License-Identifier: Apache-2.0
#include "cli/survey.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <sstream>
#include <system_error>

#include "control/text.h"
#include "os/files.h"

namespace segue::cli {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kMaxTableBytes = std::size_t{64} << 20;
constexpr std::size_t kMaxSmallBytes = 64 * 1024;
constexpr std::string_view kMakeItsOwn = "the next version makes its own";

template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + 1));
  }
}

std::vector<std::string> words_of(std::string_view line) {
  std::istringstream stream{std::string(line)};
  std::vector<std::string> words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::uint64_t number(std::string_view text) {
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string text_or_nothing(const std::string& path, std::size_t limit) {
  return os::read_file(path, limit).value_or("");
}

Result<std::vector<OpenDescriptor>> read_descriptors(const std::string& folder) {
  std::error_code error;
  std::filesystem::directory_iterator entry(folder + "/fd", error);
  if (error == std::errc::permission_denied) {
    return fail(ErrorCode::permission_denied,
                "the descriptors of {} belong to another user: run this as that user or as root",
                folder);
  }
  if (error) return fail(ErrorCode::not_found, "there is no process {}", folder.substr(6));
  std::vector<OpenDescriptor> found;
  for (const std::filesystem::directory_iterator end; entry != end; entry.increment(error)) {
    if (error) break;
    std::error_code ignored;
    const auto target = std::filesystem::read_symlink(entry->path(), ignored);
    if (ignored) continue;  // closed meanwhile
    const std::string name = entry->path().filename().string();
    const std::string info = text_or_nothing(folder + "/fdinfo/" + name, kMaxSmallBytes);
    found.push_back({static_cast<int>(number(name)), target.string(),
                     info.find("\nlock:") != std::string::npos});
  }
  return found;
}

std::uint64_t count_children(const std::string& folder) {
  std::uint64_t children = 0;
  std::error_code error;
  for (std::filesystem::directory_iterator task(folder + "/task", error), end;
       !error && task != end; task.increment(error)) {
    children +=
        words_of(text_or_nothing(task->path().string() + "/children", kMaxSmallBytes)).size();
  }
  return children;
}

// ---- What becomes of a descriptor that is not registered

struct Kind {
  std::string_view what;
  Fate fate;
  std::string_view why;
  std::string_view remedy;
};

constexpr Kind kConnection = {
    "connections that are not registered", Fate::lost,
    "they are in code, or in a library, that does not hand over: the peer sees their end",
    "segue_conn_add() or segue_fd_put() for each, or let the client connect again"};
constexpr Kind kListener = {
    "listening sockets that are not registered", Fate::lost,
    "connects are refused until the next version listens",
    "segue_listen(), or LISTEN_FDS where the program does not link libsegue"};
constexpr Kind kDatagram = {"datagram sockets that are not registered", Fate::lost,
                            "what waits in them is lost",
                            "segue_listen() with udp:, or segue_fd_put()"};
constexpr Kind kOtherSocket = {"other sockets that are not registered", Fate::lost,
                               "they end with the process", "segue_fd_put() where it matters"};
constexpr Kind kEpoll = {"epoll instances", Fate::remade, kMakeItsOwn, ""};
constexpr Kind kEvent = {"eventfds and signalfds", Fate::remade, kMakeItsOwn, ""};
constexpr Kind kTimer = {"timerfds", Fate::lost, "what they would still say is lost",
                         "keep the times in a record, or segue_fd_put()"};
constexpr Kind kInotify = {"inotify and fanotify instances", Fate::lost,
                           "what happens between the two versions is not seen",
                           "segue_fd_put(), or look at everything once after the activation"};
constexpr Kind kUring = {"io_uring rings", Fate::lost,
                         "a ring belongs to its process, with what is in flight in it",
                         "complete what is in flight in `freeze`, make a ring in `activate`"};
constexpr Kind kPidfd = {"pidfds", Fate::lost, "the next version does not have them",
                         "segue_fd_put() where it matters"};
constexpr Kind kMemfd = {"memfds that are not registered", Fate::lost,
                         "their contents end with the last process that has them",
                         "an arena, or segue_fd_put()"};
constexpr Kind kPipe = {"pipes that are not registered", Fate::lost,
                        "the other end sees the end of the stream", "segue_fd_put()"};
constexpr Kind kLockedFile = {"files with locks", Fate::lost,
                              "the lock ends with the process, or keeps the next version out",
                              "segue_fd_put() passes file and lock, or give it up in `release`"};
constexpr Kind kFile = {"files and devices", Fate::remade,
                        "the next version opens them; their offsets are not passed", ""};
constexpr Kind kOther = {"other descriptors", Fate::lost, "the next version does not have them",
                         "segue_fd_put() where it matters"};

const Kind& kind_of(const OpenDescriptor& open, const ProcessFacts& facts) {
  const std::string_view target = open.target;
  if (target.starts_with("socket:[")) {
    const auto found = facts.sockets.find(number(target.substr(8)));
    switch (found == facts.sockets.end() ? SocketState::other : found->second) {
      case SocketState::listening:
        return kListener;
      case SocketState::connected:
        return kConnection;
      case SocketState::datagram:
        return kDatagram;
      case SocketState::other:
        return kOtherSocket;
    }
  }
  static constexpr struct {
    std::string_view part;
    const Kind* kind;
  } kAnonymous[] = {{"[eventpoll]", &kEpoll}, {"[eventfd]", &kEvent}, {"[signalfd]", &kEvent},
                    {"[timerfd]", &kTimer},   {"inotify", &kInotify}, {"[fanotify]", &kInotify},
                    {"[io_uring]", &kUring},  {"[pidfd]", &kPidfd}};
  if (target.starts_with("anon_inode:")) {
    for (const auto& row : kAnonymous) {
      if (target.find(row.part) != std::string_view::npos) return *row.kind;
    }
    return kOther;
  }
  if (target.starts_with("pidfd:")) return kPidfd;
  if (target.starts_with("/memfd:")) return kMemfd;
  if (target.starts_with("pipe:[")) return kPipe;
  if (target.starts_with('/')) return open.is_locked ? kLockedFile : kFile;
  return kOther;
}

void add_registered(const Registered& registered, std::vector<SurveyRow>& rows) {
  for (const auto& [name, fds] : registered.connections) {
    rows.push_back({"connections of class " + name, fds.size(), Fate::moves,
                    "socket and session, no byte is lost", ""});
  }
  const auto named = [&](std::string what, std::uint64_t count, std::string_view why) {
    if (count > 0) rows.push_back({std::move(what), count, Fate::moves, std::string(why), ""});
  };
  named("listening sockets", registered.listeners.size(), "nobody is refused");
  named("other descriptors under a name", registered.descriptors.size(), "with offsets and locks");
  named("tables of records", registered.tables.size(), "sent while the old version serves");
  for (const auto& [name, bytes] : registered.arenas) {
    rows.push_back({fmt::format("arena {} ({})", name, control::bytes_text(bytes)), 1, Fate::moves,
                    "passed, not copied", ""});
  }
}

std::set<int> known_descriptors(const Registered& registered) {
  std::set<int> known = registered.own;
  for (const auto& [name, fds] : registered.connections) known.insert(fds.begin(), fds.end());
  for (const auto& [name, fd] : registered.listeners) known.insert(fd);
  for (const auto& [name, fd] : registered.descriptors) known.insert(fd);
  return known;
}

}  // namespace

void read_inet_table(std::string_view text, bool datagrams,
                     std::map<std::uint64_t, SocketState>& sockets) {
  each_line(text, [&](std::string_view line) {
    // proc(5): sl local remote st queues timer retransmits uid timeout inode …
    const auto words = words_of(line);
    if (words.size() < 10 || words[3].size() != 2) return;
    const std::uint64_t inode = number(words[9]);
    if (inode == 0) return;
    sockets[inode] = datagrams          ? SocketState::datagram
                     : words[3] == "0A" ? SocketState::listening
                     : words[3] == "07" ? SocketState::other  // closed
                                        : SocketState::connected;
  });
}

void read_unix_table(std::string_view text, std::map<std::uint64_t, SocketState>& sockets) {
  each_line(text, [&](std::string_view line) {
    // Num RefCount Protocol Flags Type St Inode Path
    const auto words = words_of(line);
    if (words.size() < 7 || words[0] == "Num") return;
    const bool listens = words[3] == "00010000";  // __SO_ACCEPTCON
    const bool datagrams = words[4] == "0002";
    sockets[number(words[6])] = listens            ? SocketState::listening
                                : datagrams        ? SocketState::datagram
                                : words[5] == "03" ? SocketState::connected
                                                   : SocketState::other;
  });
}

std::uint64_t count_shared_maps(std::string_view maps) {
  std::uint64_t count = 0;
  each_line(maps, [&](std::string_view line) {
    const auto words = words_of(line);
    if (words.size() < 2 || words[1].size() != 4 || words[1][1] != 'w' || words[1][3] != 's')
      return;
    if (words.size() > 5 && (words[5].starts_with("/memfd:") || words[5].starts_with("anon_inode")))
      return;
    ++count;
  });
  return count;
}

Result<ProcessFacts> read_process(pid_t pid) {
  const std::string folder = fmt::format("/proc/{}", pid);
  ProcessFacts facts;
  SEGUE_ASSIGN(facts.descriptors, read_descriptors(folder));
  std::error_code ignored;
  facts.program = std::filesystem::read_symlink(folder + "/exe", ignored).string();
  for (const char* name : {"tcp", "tcp6"}) {
    read_inet_table(text_or_nothing(folder + "/net/" + name, kMaxTableBytes), false, facts.sockets);
  }
  for (const char* name : {"udp", "udp6"}) {
    read_inet_table(text_or_nothing(folder + "/net/" + name, kMaxTableBytes), true, facts.sockets);
  }
  read_unix_table(text_or_nothing(folder + "/net/unix", kMaxTableBytes), facts.sockets);
  each_line(text_or_nothing(folder + "/status", kMaxSmallBytes), [&](std::string_view line) {
    if (line.starts_with("Threads:\t")) facts.threads = number(line.substr(9));
  });
  facts.shared_maps = count_shared_maps(text_or_nothing(folder + "/maps", kMaxTableBytes));
  facts.children = count_children(folder);
  return facts;
}

std::vector<SurveyRow> judge(const ProcessFacts& facts, const Registered& registered) {
  std::vector<SurveyRow> rows;
  add_registered(registered, rows);
  const std::set<int> known = known_descriptors(registered);
  std::map<const Kind*, std::uint64_t> counts;
  for (const auto& open : facts.descriptors) {
    if (open.fd > 2 && !known.contains(open.fd)) ++counts[&kind_of(open, facts)];
  }
  for (const Kind* kind :
       {&kConnection, &kListener, &kDatagram, &kOtherSocket, &kUring, &kLockedFile, &kMemfd, &kPipe,
        &kTimer, &kInotify, &kPidfd, &kOther, &kFile, &kEpoll, &kEvent}) {
    const auto found = counts.find(kind);
    if (found == counts.end()) continue;
    rows.push_back({std::string(kind->what), found->second, kind->fate, std::string(kind->why),
                    std::string(kind->remedy)});
  }
  if (facts.children > 0) {
    rows.push_back({"child processes", facts.children, Fate::lost,
                    "they live on, but their exit codes are not the next version's to read",
                    "let them end in `freeze`, or pass a pipe or socket of each"});
  }
  if (facts.shared_maps > 0) {
    rows.push_back({"files mapped shared and writable", facts.shared_maps, Fate::remade,
                    "the next version maps them; both see the same memory meanwhile", ""});
  }
  if (facts.threads > 1) {
    rows.push_back({"threads", facts.threads, Fate::remade,
                    "the next version starts its own; what only their stacks know is lost", ""});
  }
  return rows;
}

std::string survey_summary(const std::vector<SurveyRow>& rows) {
  std::uint64_t move = 0;
  std::uint64_t lost = 0;
  std::uint64_t others = 0;
  for (const auto& row : rows) {
    if (row.fate == Fate::moves && row.what.starts_with("connections of class ")) move += row.count;
    if (row.fate != Fate::lost) continue;
    (row.what == kConnection.what ? lost : others) += row.count;
  }
  std::string text = control::counted(move, "connection") + (move == 1 ? " moves" : " move");
  if (lost > 0) {
    text += fmt::format("; {} {} in a library that does not hand over",
                        control::with_thousands(lost), lost == 1 ? "is" : "are");
  }
  if (others > 0)
    text += fmt::format("; {} of another kind would be lost", control::with_thousands(others));
  if (lost == 0 && others == 0) text += "; nothing would be lost";
  return text;
}

}  // namespace segue::cli
