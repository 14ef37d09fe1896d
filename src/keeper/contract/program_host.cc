// SPDX-License-Identifier: Apache-2.0
#include "keeper/contract/program_host.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <utility>

#include "os/files.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::Contract;

constexpr int kFirstFd = 3;  // SD_LISTEN_FDS_START
constexpr std::string_view kNotifySocket = "notify";
constexpr std::string_view kBinaryFolder = "program";
constexpr std::size_t kMaxPidFileBytes = 64;
constexpr std::size_t kMaxChildrenBytes = std::size_t{1} << 20;

std::optional<pid_t> pid_in(const std::string& path) {
  const auto text = os::read_file(path, kMaxPidFileBytes);
  if (!text) return std::nullopt;
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), pid);
  return error == std::errc() && pid > 1 ? std::optional(pid) : std::nullopt;
}

void replace_all(std::string& text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
}

}  // namespace

Result<std::unique_ptr<ProgramHost>> ProgramHost::create(
    os::EpollLoop& loop, const os::Clock& clock, const ServiceManager& manager,
    control::ContractOptions options, std::string folder, ProgramBelongings belongings,
    Hooks hooks) {
  const std::string path = folder + "/" + std::string(kNotifySocket);
  SEGUE_ASSIGN(auto notify, belongings.notify ? Result<NotifySocket>(NotifySocket::resume(
                                                    path, std::move(belongings.notify)))
                                              : NotifySocket::open(path));
  std::unique_ptr<ProgramHost> host(new ProgramHost(loop, clock, manager, std::move(options),
                                                    std::move(folder), std::move(notify),
                                                    std::move(hooks)));
  SEGUE_TRY(host->prepare(std::move(belongings)));
  return host;
}

ProgramHost::ProgramHost(os::EpollLoop& loop, const os::Clock& clock, const ServiceManager& manager,
                         control::ContractOptions options, std::string folder, NotifySocket notify,
                         Hooks hooks)
    : loop_(loop),
      clock_(clock),
      manager_(manager),
      options_(std::move(options)),
      contract_(control::parse_contract(options_.upgrade).value_or(Contract::restart)),
      folder_(std::move(folder)),
      hooks_(std::move(hooks)),
      notify_(std::move(notify)),
      store_(loop, options_.fd_store_max) {}

ProgramHost::~ProgramHost() {
  loop_.unwatch(notify_.fd());
  if (reap_timer_) loop_.cancel(*reap_timer_);
  if (is_let_go_) return;
  for (const auto& socket : sockets_) {
    if (socket.listen.kind == control::Listen::Kind::unix_stream) {
      ::unlink(socket.listen.host.c_str());
    }
  }
}

Result<void> ProgramHost::prepare(ProgramBelongings belongings) {
  const bool tells_manager = !belongings.is_inherited;
  SEGUE_TRY(take_sockets(belongings, tells_manager));
  for (auto& entry : belongings.stored) {
    if (tells_manager) manager_.keep(Kept::stored, entry.name, entry.fd.get(), entry.is_watched);
    (void)store_.add(entry.name, std::move(entry.fd), entry.is_watched);
  }
  binary_name_ = std::move(belongings.binary_name);
  announced_ = std::move(belongings.announced);
  lost_stored_ = std::move(belongings.lost_stored);
  // Whatever a program leaves behind becomes a child of this process, and can be followed.
  if (::prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0) {
    return fail(base::errno_error("become a subreaper", errno));
  }
  SEGUE_TRY(loop_.watch(notify_.fd(), EPOLLIN, [this](std::uint32_t) {
    read_notices();
    hooks_.settle();
  }));
  reap_orphans();
  return {};
}

Result<void> ProgramHost::take_sockets(ProgramBelongings& belongings, bool tells_manager) {
  for (const auto& listen : options_.listen) {
    std::optional<ListenSocket> socket;
    for (auto& held : belongings.sockets) {
      if (!socket && held.name == listen.name && held.fd) {
        socket = reuse_listen_socket(listen, std::move(held.fd));
      }
    }
    if (!socket) {
      auto opened = open_listen_socket(listen, group_member_of(folder_));
      if (!opened && !belongings.is_adoption) return fail(std::move(opened).error());
      if (!opened) {
        lost_sockets_.push_back(listen.name);
        continue;
      }
      socket = *std::move(opened);
    }
    if (options_.nonblocking) SEGUE_TRY(make_nonblocking(*socket));
    if (tells_manager) manager_.keep(Kept::listener, listen.name, socket->fd.get());
    sockets_.push_back(*std::move(socket));
  }
  return {};
}

// ---- Starting

Result<int> ProgramHost::equip(const Spawn& command, os::SpawnOptions& options) {
  int next = kFirstFd;
  std::map<std::string, int> numbers;
  std::string names;
  const auto add = [&](const std::string& name, int fd) {
    options.fds.push_back({fd, next});
    numbers.emplace(name, next++);
    names.append(names.empty() ? "" : ":").append(name);
  };
  for (const auto& socket : sockets_) add(socket.listen.name, socket.fd.get());
  for (const auto& entry : store_.entries()) add(entry.name, entry.fd.get());
  for (auto& word : options.argv) {
    SEGUE_ASSIGN(word, fill_in(std::move(word), numbers, command.generation));
  }
  for (auto& variable : options.env) {
    SEGUE_ASSIGN(variable, fill_in(std::move(variable), numbers, command.generation));
  }
  options.env.push_back("NOTIFY_SOCKET=" + notify_.path());
  if (next > kFirstFd) {
    options.env.push_back(fmt::format("LISTEN_FDS={}", next - kFirstFd));
    options.env.push_back("LISTEN_FDNAMES=" + names);
    options.pid_variables.emplace_back("LISTEN_PID");
  }
  if (options_.watchdog_ms != 0) {
    options.env.push_back(fmt::format("WATCHDOG_USEC={}", options_.watchdog_ms * 1'000ULL));
    options.pid_variables.emplace_back("WATCHDOG_PID");
  }
  if (contract_ == Contract::signal) {
    SEGUE_TRY(place_binary(options.argv.front()));
    options.argv.front() = binary_link();
  }
  return next;
}

Result<std::string> ProgramHost::fill_in(std::string text,
                                         const std::map<std::string, int>& numbers,
                                         Generation generation) const {
  for (const auto& [name, number] : numbers) {
    replace_all(text, "{fd:" + name + "}", fmt::to_string(number));
  }
  replace_all(text, "{generation}", fmt::to_string(generation));
  if (const auto left = text.find("{fd:"); left != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "'{}' names no socket of --listen",
                text.substr(left, text.find('}', left) - left + 1));
  }
  return text;
}

std::string ProgramHost::binary_link() const {
  return fmt::format("{}/{}/{}", folder_, kBinaryFolder, binary_name_);
}

// A program that replaces itself executes the path that it was started by.
Result<void> ProgramHost::place_binary(const std::string& program) {
  if (program == binary_link()) return {};
  if (binary_name_.empty()) binary_name_ = program.substr(program.rfind('/') + 1);
  SEGUE_TRY(os::ensure_private_directory(folder_ + "/" + std::string(kBinaryFolder)));
  const std::string fresh = binary_link() + ".new";
  ::unlink(fresh.c_str());
  if (::symlink(program.c_str(), fresh.c_str()) != 0 ||
      ::rename(fresh.c_str(), binary_link().c_str()) != 0) {
    return fail(base::errno_error("link " + binary_link(), errno));
  }
  return {};
}

void ProgramHost::started(Generation generation, pid_t pid) {
  pids_[generation] = pid;
}

void ProgramHost::ending(Generation generation) {
  read_notices();
  const auto found = pids_.find(generation);
  // After a program's own upgrade, old and new share a process group.
  if (found != pids_.end() && contract_ != Contract::signal) ::kill(-found->second, SIGKILL);
}

void ProgramHost::ended(Generation generation) {
  pids_.erase(generation);
  announced_.erase(generation);
}

// What lost its parent is a child of this process now. Those whose end somebody waits for are
// reaped at once; what is still there at the second look is nobody's.
void ProgramHost::reap_orphans() {
  std::set<pid_t> ended;
  const auto children =
      os::read_file(fmt::format("/proc/self/task/{}/children", ::getpid()), kMaxChildrenBytes);
  std::string_view rest = children ? std::string_view(*children) : std::string_view();
  while (!rest.empty()) {
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), pid);
    if (error != std::errc()) break;
    rest.remove_prefix(static_cast<std::size_t>(end - rest.data()));
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    siginfo_t info{};
    const bool has_ended =
        ::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == pid;
    if (!has_ended) continue;
    if (perhaps_orphans_.contains(pid)) {
      ::waitpid(pid, nullptr, WNOHANG);
    } else {
      ended.insert(pid);
    }
  }
  perhaps_orphans_ = std::move(ended);
  reap_timer_.reset();
  auto timer = loop_.call_at(clock_.monotonic_now() + kReapInterval, [this] { reap_orphans(); });
  if (timer) reap_timer_ = *timer;
}

// ---- Notices

void ProgramHost::read_notices() {
  for (int i = 0; i < kMaxNoticesPerTurn; ++i) {
    auto message = notify_.receive();
    if (!message || !*message) return;
    take(**std::move(message));
  }
}

void ProgramHost::take(NotifySocket::Message message) {
  std::set<pid_t> mains;
  for (const auto& [generation, pid] : pids_) mains.insert(pid);
  const pid_t main = nearest(message.sender, mains);
  const auto found = std::find_if(pids_.begin(), pids_.end(),
                                  [&](const auto& entry) { return entry.second == main; });
  if (main == 0 || found == pids_.end()) {
    return hooks_.step({"notify.refused",
                        {{"pid", fmt::to_string(message.sender)},
                         {"why", "it is no process of this component, or has ended"}},
                        false});
  }
  const Generation generation = found->first;
  if (!message.is_whole) {
    return say("notify.refused", generation,
               {{"why", "it is too long, or its descriptors did not fit"}});
  }
  auto notice = parse_notice(message.bytes);
  if (!notice) return say("notify.refused", generation, {{"why", notice.error().message()}});
  if (notice->barrier) return;  // its descriptor closes here: all before it was handled
  if (notice->store) store(generation, *notice, std::move(message.fds));
  if (notice->remove) {
    const std::size_t count = store_.remove(notice->fd_name);
    manager_.forget(Kept::stored, notice->fd_name);
    say("fdstore.removed", generation,
        {{"name", notice->fd_name}, {"count", fmt::to_string(count)}});
  }
  if (notice->main_pid && *notice->main_pid != main) follow_main(generation, *notice->main_pid);
  hooks_.tell({generation, *std::move(notice)});
}

void ProgramHost::store(Generation generation, const Notice& notice,
                        std::vector<os::UniqueFd> fds) {
  for (auto& fd : fds) {
    const int number = fd.get();
    const auto added = store_.add(notice.fd_name, std::move(fd), notice.fd_poll);
    if (added == FdStore::Added::full) {
      return say("fdstore.full", generation,
                 {{"name", notice.fd_name}, {"max", fmt::to_string(options_.fd_store_max)}});
    }
    if (added == FdStore::Added::kept) {
      manager_.keep(Kept::stored, notice.fd_name, number, notice.fd_poll);
    }
  }
  say("fdstore.kept", generation,
      {{"name", notice.fd_name}, {"count", fmt::to_string(fds.size())}});
}

void ProgramHost::follow_main(Generation generation, pid_t main) {
  if (!is_family(main)) {
    return say("notify.refused", generation,
               {{"why", fmt::format("MAINPID {} is no process of this component", main)}});
  }
  if (contract_ == Contract::signal) {
    announced_[generation] = main;
  } else {
    hooks_.adopt(generation, generation, main);
  }
}

void ProgramHost::say(const char* name, Generation generation, Step::Fields fields) {
  fields.insert(fields.begin(), {"generation", fmt::to_string(generation)});
  hooks_.step({name, std::move(fields), false});
}

// Its own, or left behind by one of its own.
bool ProgramHost::is_family(pid_t pid) const {
  std::set<pid_t> ours = {::getpid()};
  for (const auto& [generation, main] : pids_) ours.insert(main);
  return pid != ::getpid() && nearest(pid, ours) != 0;
}

// ---- Orders

void ProgramHost::execute(const ProgramOrder& order) {
  std::visit([&](const auto& what) { execute(order.generation, what); }, order.what);
}

Established ProgramHost::connections_of(Generation generation) const {
  const auto found = pids_.find(generation);
  if (found == pids_.end()) return {};
  ListenerNames names;
  for (const auto& socket : sockets_) {
    if (socket.listen.kind == control::Listen::Kind::tcp) names.ports.insert(socket.listen.port);
    if (socket.listen.kind == control::Listen::Kind::unix_stream) {
      names.paths.insert(socket.listen.host);
    }
  }
  return established(ProcessTable::read().family(found->second), names, store_.socket_inodes());
}

void ProgramHost::execute(Generation generation, const ProgramOrder::Count& /*order*/) {
  const Established found = connections_of(generation);
  hooks_.tell({generation, ProgramTold::Counted{found.own.size(), found.stored}});
}

void ProgramHost::execute(Generation generation, const ProgramOrder::LookAccepting& /*order*/) {
  const auto found = pids_.find(generation);
  if (found == pids_.end()) return;
  std::set<ino_t> inodes;
  for (const auto& socket : sockets_) inodes.insert(socket.inode);
  const auto family = ProcessTable::read().family(found->second);
  if (accepts_on(family, inodes)) hooks_.tell({generation, ProgramTold::Accepting{}});
}

void ProgramHost::execute(Generation generation, const ProgramOrder::Cut& order) {
  const Established found = connections_of(generation);
  const std::size_t done = cut(found.own, order.count);
  hooks_.tell({generation, ProgramTold::Cut{done, found.own.size() - done}});
}

void ProgramHost::execute(Generation generation, const ProgramOrder::PlaceBinary& order) {
  if (const auto placed = place_binary(order.launch.argv.front()); !placed) {
    say("program.not_placed", generation, {{"why", placed.error().to_string()}});
  }
}

void ProgramHost::execute(Generation generation, const ProgramOrder::LookNewMain& /*order*/) {
  const auto found = pids_.find(generation);
  const pid_t present = found == pids_.end() ? 0 : found->second;
  std::optional<pid_t> main;
  if (options_.new_pid != "MAINPID") {
    main = pid_in(options_.new_pid);
  } else if (const auto announced = announced_.find(generation); announced != announced_.end()) {
    main = announced->second;
  }
  if (main && *main != present && is_family(*main)) {
    hooks_.tell({generation, ProgramTold::NewMain{*main}});
  }
}

void ProgramHost::execute(Generation generation, const ProgramOrder::Adopt& order) {
  hooks_.adopt(generation, order.as, order.pid);
}

}  // namespace segue::keeper
