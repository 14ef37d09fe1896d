// SPDX-License-Identifier: Apache-2.0
#include "keeper/reunion.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "handoff/fields.h"
#include "handoff/frame.h"
#include "handoff/negotiation.h"
#include "handoff/peer.h"
#include "keeper/left_processes.h"
#include "os/unix_socket.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using handoff::FrameType;
using handoff::get_bytes;
using handoff::get_number;
using std::chrono::milliseconds;

constexpr base::Duration kTurn = milliseconds(50);
constexpr base::Duration kSayEvery = std::chrono::seconds(1);
constexpr int kMaxStoreFrames = 8;
constexpr std::string_view kShownFolder = "rendezvous";

// Instances in containers see a folder beside it, where it has the same name, and nothing else of
// the keeper's.
void show_to_containers(const std::string& socket_path) {
  const auto slash = socket_path.rfind('/');
  const std::string shown = fmt::format("{}/{}/{}", socket_path.substr(0, slash), kShownFolder,
                                        socket_path.substr(slash + 1));
  ::unlink(shown.c_str());
  (void)::link(socket_path.c_str(), shown.c_str());  // where there is no such folder: nobody looks
}

constexpr std::size_t kMaxVersionBytes = 1'024;

}  // namespace

Reunion::Reunion(os::EpollLoop& loop, const os::Clock& clock, const SavedState& saved)
    : loop_(loop), clock_(clock), saved_(saved) {}

Reunion::~Reunion() {
  if (listener_) loop_.unwatch(listener_.get());
  for (const auto& [fd, visitor] : visitors_) loop_.unwatch(fd);
  for (const auto& [generation, member] : result_.members) loop_.unwatch(member.pidfd.get());
}

void Reunion::find_living() {
  for (auto& [process, pidfd] : living_of(saved_.processes)) {
    const Generation generation = process.generation;
    Member member;
    member.found = {.generation = generation, .pid = process.pid, .service = "", .version = ""};
    member.pidfd = std::move(pidfd);
    member.owner_name = process.owner_name;
    for (const Instance& instance : saved_.component.instances) {
      if (instance.generation == generation) member.found.abilities = instance.abilities;
    }
    member.start_ticks = process.start_ticks;
    const auto watched = loop_.watch(member.pidfd.get(), EPOLLIN,
                                     [this, generation](std::uint32_t) { on_death(generation); });
    if (watched) result_.members.emplace(generation, std::move(member));
  }
}

void Reunion::on_death(Generation generation) {
  const auto found = result_.members.find(generation);
  if (found == result_.members.end()) return;
  loop_.unwatch(found->second.pidfd.get());
  result_.members.erase(found);
  if (result_.owner == generation) result_.owner = 0;
}

void Reunion::on_connection() {
  auto accepted = os::accept_unix(listener_);
  if (!accepted || !*accepted || visitors_.size() >= kMaxVisitors) return;
  handoff::UniqueFd socket((*accepted)->release());
  handoff::UniqueFd pidfd;
  Visitor visitor;
  if (!handoff::identify_peer(socket.get(), pidfd, visitor.pid).ok()) return;
  visitor.pidfd.reset(pidfd.release());
  const int fd = socket.get();
  visitor.link = std::make_unique<handoff::Link>(std::move(socket));
  if (!loop_.watch(fd, EPOLLIN, [this, fd](std::uint32_t) { on_visitor(fd); })) return;
  visitors_.emplace(fd, std::move(visitor));
}

void Reunion::drop(int fd) {
  loop_.unwatch(fd);
  visitors_.erase(fd);
}

void Reunion::on_visitor(int fd) {
  Visitor& visitor = visitors_.at(fd);
  handoff::Message message;
  switch (visitor.link->receive(message)) {
    case handoff::Link::Got::nothing:
      return;
    case handoff::Link::Got::ended:
    case handoff::Link::Got::broken:
      return drop(fd);
    case handoff::Link::Got::message:
      break;
  }
  (void)rejoin(visitor, message);
  drop(fd);
}

bool Reunion::rejoin(Visitor& visitor, handoff::Message& message) {
  const std::string_view record = message.payload;
  if (message.type != FrameType::keeper_rejoin || !handoff::is_record(record) ||
      message.fds.size() != 2 ||
      !handoff::same_secret(get_bytes(record, 7), saved_.rendezvous_nonce)) {
    return false;
  }
  const auto generation = static_cast<Generation>(get_number(record, 8, 0));
  const auto found = result_.members.find(generation);
  if (found == result_.members.end() || found->second.channel) return false;
  if (get_number(record, 12, 0) != 0) {
    fence_beside(generation);
    return false;
  }
  handoff::OwnerPage page;
  if (!handoff::OwnerPage::map(std::move(message.fds[0]), page).ok()) return false;
  const auto name = static_cast<handoff::OwnerName>(get_number(record, 9, 0) & 0xFFFFFF);
  const handoff::Ownership now = page.look();
  if (now.owner != name || now.state != handoff::OwnerState::serving) return false;

  Member& member = found->second;
  member.owner_name = name;
  member.found.abilities = get_number(record, 6, 0);
  member.found.forms = get_bytes(record, 11).substr(0, kMaxFormsBytes);
  member.found.rejoined = true;
  member.found.service = get_bytes(record, 3).substr(0, kMaxVersionBytes);
  member.found.version = get_bytes(record, 4).substr(0, kMaxVersionBytes);
  member.found.connections = get_number(record, 10, 0);
  if (visitor.pid > 0 && visitor.pid != member.found.pid) {
    // A program that started itself once more: the one that serves is watched.
    loop_.unwatch(member.pidfd.get());
    member.pidfd = std::move(visitor.pidfd);
    member.found.pid = visitor.pid;
    member.start_ticks = os::start_time_ticks(visitor.pid).value_or(0);
    (void)loop_.watch(member.pidfd.get(), EPOLLIN,
                      [this, generation](std::uint32_t) { on_death(generation); });
  }
  member.channel = std::move(visitor.link);
  result_.page = std::move(page);
  result_.lock.reset(message.fds[1].release());
  result_.owner = generation;
  collect_listeners(member);
  return true;
}

// It comes again, to serve, when it has seen that end.
void Reunion::fence_beside(Generation generation) {
  const auto& attempt = saved_.component.attempt;
  if (!attempt) return;
  const bool is_successor = generation == attempt->successor;
  if (!is_successor && generation != attempt->predecessor && generation != attempt->carried) return;
  const Generation other =
      generation == attempt->predecessor ? attempt->successor : attempt->predecessor;
  const auto found = result_.members.find(other);
  if (found != result_.members.end()) (void)os::send_signal(found->second.pidfd, SIGKILL);
}

// They follow the rejoin at once; what comes later comes as from any instance.
void Reunion::collect_listeners(Member& member) {
  for (int i = 0; i < kMaxStoreFrames; ++i) {
    handoff::Message message;
    if (member.channel->receive(message) != handoff::Link::Got::message) return;
    auto content = read_frame(member.found.generation, std::move(message));
    if (!content) return;
    if (auto* stored = std::get_if<std::vector<Stored>>(&*content)) {
      for (auto& listener : *stored) result_.listeners.push_back(std::move(listener));
    }
  }
}

base::Duration Reunion::limit() const {
  const auto& attempt = saved_.component.attempt;
  if (!attempt) return kLimit;
  // The bounds of the handoff itself; the instances end it by then.
  const control::AttemptOptions& options = attempt->options;
  constexpr std::uint32_t kBackgroundMs = 300'000;
  constexpr std::uint32_t kRehearsalMs = 60'000;
  constexpr std::uint32_t kAnswerMs = 5'000;
  constexpr std::uint32_t kHangMs = 3'000;
  const auto attempted = milliseconds(options.background_ms.value_or(kBackgroundMs)) +
                         milliseconds(options.rehearsal_ms.value_or(kRehearsalMs)) +
                         2 * milliseconds(options.answer_ms.value_or(kAnswerMs)) +
                         milliseconds(options.hang_ms.value_or(kHangMs)) +
                         milliseconds(options.probation_ms);
  return kLimit + attempted;
}

std::string Reunion::who_is_missing() const {
  std::string pids;
  for (const auto& [generation, member] : result_.members) {
    if (!member.found.rejoined)
      pids += fmt::format("{}{}", pids.empty() ? "" : " ", member.found.pid);
  }
  return pids;
}

base::Result<Reunion::Result> Reunion::wait(
    const std::string& socket_path, const std::function<void(const std::string&)>& on_wait) {
  SEGUE_ASSIGN(listener_, os::listen_unix(socket_path, os::SocketType::seqpacket));
  show_to_containers(socket_path);
  SEGUE_TRY(loop_.watch(listener_.get(), EPOLLIN, [this](std::uint32_t) { on_connection(); }));
  find_living();
  const base::MonotonicTime began = clock_.monotonic_now();
  base::MonotonicTime said = began;
  while (result_.owner == 0) {
    if (result_.members.empty()) {
      return fail(ErrorCode::not_found, "nobody of {} serves any more", saved_.name);
    }
    const bool anybody =
        std::any_of(result_.members.begin(), result_.members.end(), [](const auto& entry) {
          return (entry.second.found.abilities & handoff::kAbilityRejoin) != 0;
        });
    const base::MonotonicTime now = clock_.monotonic_now();
    if (!anybody && now - began >= kSayEvery) {
      return fail(ErrorCode::failed_precondition,
                  "{} still serves, and its library is too old to find a new keeper: end it first "
                  "(kill {}), then run it again",
                  saved_.name, who_is_missing());
    }
    if (now - began >= limit()) {
      return fail(ErrorCode::failed_precondition,
                  "process {} of {} does not come to its new keeper: look whether it is stopped; "
                  "nothing was changed",
                  who_is_missing(), saved_.name);
    }
    if (now - said >= kSayEvery) {
      said = now;
      on_wait(fmt::format("process {} to come to its new keeper{}", who_is_missing(),
                          saved_.component.attempt ? ", after the handoff that is under way" : ""));
    }
    SEGUE_TRY(loop_.run_once(kTurn));
  }
  for (const auto& [generation, member] : result_.members) loop_.unwatch(member.pidfd.get());
  return std::exchange(result_, {});
}

}  // namespace segue::keeper
