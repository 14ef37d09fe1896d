// SPDX-License-Identifier: Apache-2.0
// What the keeper does with processes: spawning, talking, listening, burying.
#include <fcntl.h>
#include <fmt/format.h>
#include <linux/ioprio.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/name.h"
#include "handoff/entropy.h"
#include "handoff/peer.h"
#include "keeper/keeper.h"
#include "os/files.h"

namespace segue::keeper {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using handoff::FrameType;

constexpr int kKeeperFdOfInstance = 3;
constexpr int kLockFdOfInstance = 4;
constexpr int kMaxFramesPerTurn = 256;   // then other instances have their turn
constexpr int kMaxLastFrames = 100'000;  // that an instance sent before it ended

handoff::UniqueFd as_handoff(os::UniqueFd fd) {
  return handoff::UniqueFd(fd.release());
}

// NAME=value lists: later ones win.
std::vector<std::string> merged(std::vector<std::string> base,
                                const std::vector<std::string>& more) {
  for (const auto& variable : more) {
    const std::string head = variable.substr(0, variable.find('=') + 1);
    std::erase_if(base, [&](const std::string& old) { return old.starts_with(head); });
    base.push_back(variable);
  }
  return base;
}

}  // namespace

// ---- Spawning

void Keeper::execute(const Spawn& command) {
  if (auto spawned = spawn(command); !spawned) {
    post(SpawnFailed{command.generation, spawned.error().to_string()});
  }
}

// What both kinds of programs are given; descriptors from 3 up are each kind's own.
Result<os::SpawnOptions> Keeper::spawn_options(const Spawn& command, os::UniqueFd& output) {
  const Generation generation = command.generation;
  os::SpawnOptions options;
  options.argv = command.launch.argv;
  options.cwd = command.launch.cwd;
  options.env =
      merged(merged(environment_, command.launch.env),
             {"SEGUE_NAME=" + line_.name, fmt::format("SEGUE_GENERATION={}", generation)});
  if (!line_.foreground) {
    // A full disk keeps nobody from serving; what is printed is lost then.
    auto opened = output_.open(generation);
    output = opened ? *std::move(opened) : os::UniqueFd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
    options.fds.push_back({output.get(), 1});
    options.fds.push_back({output.get(), 2});
  }
  return options;
}

Result<void> Keeper::spawn(const Spawn& command) {
  const Generation generation = command.generation;
  os::UniqueFd output;
  SEGUE_ASSIGN(auto options, spawn_options(command, output));
  const os::UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null) return fail(base::errno_error("open /dev/null", errno));
  options.fds.push_back({null.get(), 0});
  if (programs_) return spawn_program(command, std::move(options));
  SEGUE_ASSIGN(auto ends, os::socket_pair(os::SocketType::seqpacket, os::Blocking::no));
  options.env.push_back(fmt::format("SEGUE_KEEPER_FD={}", kKeeperFdOfInstance));
  options.fds.push_back({ends.second.get(), kKeeperFdOfInstance});
  options.fds.push_back({locks_.instances.get(), kLockFdOfInstance});
  handoff::Link channel(as_handoff(std::move(ends.first)));
  channel.name_senders(true);  // who says hello is the instance
  SEGUE_ASSIGN(os::Child child, os::spawn(options));

  const std::int32_t pid = child.pid;
  auto [entry, is_new] =
      processes_.emplace(generation, Process{.channel = std::move(channel),
                                             .child = std::move(child),
                                             .start_ticks = os::start_time_ticks(pid).value_or(0)});
  const Process& process = entry->second;
  const auto watched = loop_.watch(process.channel.fd(), EPOLLIN,
                                   [this, generation](std::uint32_t) { on_channel(generation); });
  const auto buried = watch_end(generation);
  if (!watched || !buried) {
    if (watched) loop_.unwatch(process.channel.fd());
    (void)os::send_signal(process.child.pidfd, SIGKILL);
    processes_.erase(entry);
    return fail(ErrorCode::resource_exhausted, "too many descriptors are watched");
  }
  post(Spawned{generation, pid});
  write_instances_file();
  return {};
}

// For people, when the keeper has died and its instances have not.
void Keeper::write_instances_file() const {
  std::string lines;
  for (const auto& [generation, process] : processes_) {
    lines += fmt::format("{} {}\n", process.child.pid, generation);
  }
  (void)os::write_file_atomically(paths_.runtime + "/" + std::string(control::kInstances), lines);
}

// ---- Listening

void Keeper::on_channel(Generation generation) {
  read_channel(generation);
  const auto found = processes_.find(generation);
  if (found != processes_.end() && found->second.channel_open) {
    Process& process = found->second;
    if (!process.channel.flush().ok()) {
      close_channel(generation, "it cannot be written to");
    } else if (process.channel.congested() != process.wants_write) {
      process.wants_write = process.channel.congested();
      (void)loop_.change(process.channel.fd(), process.wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
    }
  }
  settle();
}

void Keeper::read_channel(Generation generation) {
  Process& process = processes_.at(generation);
  for (int i = 0; i < kMaxFramesPerTurn && process.channel_open; ++i) {
    handoff::Message message;
    switch (process.channel.receive(message)) {
      case handoff::Link::Got::nothing:
        return;
      case handoff::Link::Got::ended:
        return close_channel(generation, "");
      case handoff::Link::Got::broken:
        return close_channel(generation, process.channel.error());
      case handoff::Link::Got::message:
        break;
    }
    if (message.type == FrameType::keeper_hello) note_sender(generation, std::move(message.sender));
    if (!process.channel_open) return;
    auto content = read_frame(generation, std::move(message));
    if (!content) return close_channel(generation, content.error().message());
    if (auto* event = std::get_if<Event>(&*content)) {
      if (const auto* pong = std::get_if<PongReceived>(event)) answer_registered(*pong);
      if (const auto* hello = std::get_if<HelloReceived>(event);
          hello != nullptr && (hello->abilities & handoff::kAbilityRejoin) != 0) {
        offer_rendezvous(generation);
      }
      if (const auto* said = std::get_if<EventReceived>(event);
          said != nullptr && said->said == Said::resumed) {
        bury_the_dead_beside(generation);
      }
      if (auto* hello = std::get_if<HelloReceived>(event)) {
        greet(std::move(*hello));
      } else {
        post(std::move(*event));
      }
    } else if (const auto* wanted = std::get_if<FenceWanted>(&*content)) {
      fence(generation, wanted->other);
    } else if (const auto* told = std::get_if<LossesTold>(&*content)) {
      if (generation == component_->owner()) answer_losses(told->number, told->report);
    } else if (auto* stored = std::get_if<std::vector<Stored>>(&*content)) {
      store(std::move(*stored));
    } else {
      const std::string& name = std::get<Unstored>(*content).name;
      manager_.forget(Kept::listener, name);
      listeners_.erase(name);
    }
  }
}

void Keeper::close_channel(Generation generation, const std::string& why) {
  Process& process = processes_.at(generation);
  if (!std::exchange(process.channel_open, false)) return;
  loop_.unwatch(process.channel.fd());
  if (generation == component_->owner()) give_up_losses();
  post(ChannelClosed{generation, why});
}

void Keeper::store(std::vector<Stored> stored) {
  for (auto& listener : stored) {
    if (listeners_.size() >= kMaxListeners && !listeners_.contains(listener.name)) {
      execute(Step{"listener.not_stored", {{"listener", listener.name}}, false});
      continue;
    }
    manager_.keep(Kept::listener, listener.name, listener.fd.get());
    listeners_.insert_or_assign(listener.name, std::move(listener.fd));
  }
}

// What it said before it ended comes first.
void Keeper::bury(Generation generation) {
  const Process& process = processes_.at(generation);
  const int pidfd = process.child.pidfd.get();
  if (programs_) programs_->ending(generation);
  const auto status = end_of(generation);
  if (process.is_child && status && !*status) return;
  for (int i = 0; i < kMaxLastFrames / kMaxFramesPerTurn && process.channel_open; ++i) {
    const std::size_t before = events_.size();
    read_channel(generation);
    if (events_.size() == before) break;
  }
  if (process.child.pidfd.get() != pidfd) return;  // only who had started it
  if (process.channel_open) loop_.unwatch(process.channel.fd());
  loop_.unwatch(pidfd);
  processes_.erase(generation);
  if (programs_) programs_->ended(generation);
  write_instances_file();
  if (!status) return post(Exited{generation, "ended", 0});
  if (*status) return post(Exited{generation, (*status)->to_string(), (*status)->signal});
  const bool has_starter = starters_.contains(generation);
  post(Exited{generation,
              has_starter ? "ended (how is not known: it was not started by the keeper itself)"
                          : "ended (how is not known: it was started by an earlier keeper)",
              0});
}

void Keeper::on_exit(Generation generation) {
  bury(generation);
  settle();
}

// A predecessor may learn of its successor's end before this process does: how it ended comes
// first.
void Keeper::bury_the_dead_beside(Generation generation) {
  std::vector<Generation> dead;
  for (const auto& [other, process] : processes_) {
    if (other != generation && handoff::is_dead(process.child.pidfd.get())) dead.push_back(other);
  }
  for (const Generation other : dead) bury(other);
}

// ---- Talking

void Keeper::send(Generation generation, FrameType type, std::string_view payload,
                  std::span<const int> fds) {
  const auto found = processes_.find(generation);
  if (found == processes_.end() || !found->second.channel_open) return;
  Process& process = found->second;
  if (const auto status = process.channel.send(type, payload, fds); !status.ok()) {
    return close_channel(generation, status.text);
  }
  if (process.channel.congested() && !std::exchange(process.wants_write, true)) {
    (void)loop_.change(process.channel.fd(), EPOLLIN | EPOLLOUT);
  }
}

handoff::OwnerName Keeper::name_owner(Generation generation) {
  const handoff::OwnerName name = page_.new_name();
  owner_names_[name] = generation;
  if (const auto found = processes_.find(generation); found != processes_.end()) {
    found->second.owner_name = name;
  }
  std::erase_if(owner_names_, [&](const auto& entry) {
    return !processes_.contains(entry.second) && entry.first != page_.look().owner;
  });
  return name;
}

void Keeper::execute(const SendStart& command) {
  // A killed instance may have become the owner in its last moment.
  const handoff::Ownership held = page_.look();
  const Generation holder = ownership().owner;
  if (held.state != handoff::OwnerState::vacant && !processes_.contains(holder)) {
    page_.vacate(held.owner);
  }
  std::vector<std::string> names;
  std::vector<int> fds = {page_.fd()};
  for (const auto& [name, fd] : listeners_) {
    names.push_back(name);
    fds.push_back(fd.get());
  }
  send(command.generation, FrameType::keeper_start,
       start_payload(name_owner(command.generation), names), fds);
}

void Keeper::execute(const SendAttempt& command) {
  if (auto sent = send_attempt(command); !sent) {
    execute(Step{"attempt.not_sent", {{"why", sent.error().to_string()}}, false});
    post(FaultInjected{"attempt-sent: " + sent.error().to_string()});
  }
}

Result<void> Keeper::send_attempt(const SendAttempt& command) {
  const auto predecessor = processes_.find(command.predecessor);
  const auto successor = processes_.find(command.successor);
  if (predecessor == processes_.end() || successor == processes_.end()) {
    return fail(ErrorCode::failed_precondition, "an instance has ended");
  }
  Relay::Ends ends;
  if (command.options.relay) {
    SEGUE_ASSIGN(ends, Relay::create(loop_));
    relays_.push_back(std::move(ends.relay));
  } else {
    SEGUE_ASSIGN(auto pair, os::socket_pair(os::SocketType::seqpacket, os::Blocking::no));
    ends.predecessor = std::move(pair.first);
    ends.successor = std::move(pair.second);
  }
  const std::string nonce = handoff::make_nonce();
  AttemptOrder order{.is_successor = true,
                     .attempt = command.attempt,
                     .kind = command.kind,
                     .nonce = nonce,
                     .successor = name_owner(command.successor)};
  const std::array to_successor = {ends.successor.get(), page_.fd(),
                                   predecessor->second.child.pidfd.get()};
  send(command.successor, FrameType::keeper_attempt, attempt_payload(order, command.options),
       to_successor);
  order.is_successor = false;
  const std::array to_predecessor = {ends.predecessor.get(), page_.fd(),
                                     successor->second.child.pidfd.get()};
  send(command.predecessor, FrameType::keeper_attempt, attempt_payload(order, command.options),
       to_predecessor);
  return {};
}

void Keeper::execute(const SendCommit& command) {
  send(command.generation, FrameType::keeper_commit, number_payload(command.attempt));
}

void Keeper::execute(const SendAbort& command) {
  send(command.generation, FrameType::keeper_abort, abort_payload(command.attempt, command.text));
}

void Keeper::execute(const SendEnd& command) {
  send(command.generation, FrameType::keeper_end, number_payload(command.reason));
}

void Keeper::execute(const SendRelease& command) {
  send(command.generation, FrameType::keeper_release, "");
}

void Keeper::execute(const SendPing& command) {
  send(command.generation, FrameType::keeper_ping, number_payload(++last_ping_));
}

// ---- Processes

void Keeper::execute(const Signal& command) {
  const auto found = processes_.find(command.generation);
  if (found != processes_.end()) (void)os::send_signal(found->second.child.pidfd, command.signal);
}

void Keeper::execute(const RaisePriority& command) {
  const auto found = processes_.find(command.generation);
  if (found == processes_.end()) return;
  const int pid = found->second.child.pid;
  (void)os::set_priority(pid, os::Priority::normal);
  ::syscall(SYS_ioprio_set, IOPRIO_WHO_PROCESS, pid,
            IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, IOPRIO_NORM));
}

void Keeper::execute(const Vacate& command) {
  // The process is dead and buried; its name may still stand in the page.
  if (ownership().owner != command.generation) return;
  page_.vacate(page_.look().owner);
}

void Keeper::execute(const CheckHealth& command) {
  std::vector<std::string> environment = merged(environment_, {"SEGUE_NAME=" + line_.name});
  const Generation checked = command.generation != 0 ? command.generation : component_->owner();
  if (const Instance* owner = component_->find(checked)) {
    environment =
        merged(std::move(environment), {fmt::format("SEGUE_PID={}", owner->pid),
                                        fmt::format("SEGUE_GENERATION={}", owner->generation)});
  }
  const AttemptId attempt = command.attempt;
  const control::AttemptOptions& options = command.options;
  health_ = std::make_unique<health::HealthCheck>(
      loop_, clock_,
      health::HealthCheck::Settings{.command = options.health_cmd,
                                    .tcp = options.health_tcp,
                                    .http = "",
                                    .limit = std::chrono::milliseconds(options.health_timeout_ms),
                                    .environment = std::move(environment)},
      [this, attempt](const health::HealthCheck::Result& result) {
        post(HealthChecked{attempt, result.good, result.text});
        // Not from within the decider's commands: a check can have its result at once.
        (void)loop_.call_at(clock_.monotonic_now(), [this] { settle(); });
      });
  health_->start();
}

}  // namespace segue::keeper
