// SPDX-License-Identifier: Apache-2.0
// The loop: events in, commands out. What commands do to instances is in keeper_instances.cc.
#include "keeper/keeper.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "control/name.h"
#include "handoff/entropy.h"
#include "keeper/contract/listen_sockets.h"

namespace segue::keeper {
namespace {

constexpr std::uint64_t kMaxStepLogBytes = std::uint64_t{4} << 20;
constexpr std::uint64_t kMaxHistoryLogBytes = std::uint64_t{1} << 20;

std::string path_in(const std::string& folder, std::string_view name) {
  return folder + "/" + std::string(name);
}

}  // namespace

base::Result<std::unique_ptr<Keeper>> Keeper::create(const os::Clock& clock, CommandLine line,
                                                     ComponentPaths paths, ComponentLocks locks,
                                                     std::vector<std::string> environment) {
  SEGUE_ASSIGN(auto loop, os::EpollLoop::create(clock));
  std::unique_ptr<Keeper> keeper(new Keeper(clock, std::move(line), std::move(paths),
                                            std::move(locks), std::move(environment),
                                            std::move(loop)));
  SEGUE_TRY(keeper->prepare());
  return keeper;
}

Keeper::Keeper(const os::Clock& clock, CommandLine line, ComponentPaths paths, ComponentLocks locks,
               std::vector<std::string> environment, os::EpollLoop loop)
    : clock_(clock),
      line_(std::move(line)),
      paths_(std::move(paths)),
      locks_(std::move(locks)),
      environment_(std::move(environment)),
      loop_(std::move(loop)),
      manager_(clock, loop_, take_manager_variables(environment_, ::getpid())),
      since_(clock.monotonic_now()),
      output_(paths_.state),
      step_log_(path_in(paths_.state, control::kStepLog), kMaxStepLogBytes),
      history_log_(path_in(paths_.state, control::kHistoryLog), kMaxHistoryLogBytes),
      server_(loop_,
              [this](RequestId id, base::Result<control::Request> request) {
                on_request(id, std::move(request));
              }),
      component_(make_decider(output_.last_generation())) {}

Keeper::~Keeper() {
  for (auto& [generation, process] : processes_) {
    if (process.channel_open) loop_.unwatch(process.channel.fd());
    loop_.unwatch(process.child.pidfd.get());
  }
  for (auto& [generation, starter] : starters_) loop_.unwatch(starter.pidfd.get());
  // What lives is found again by them.
  if (processes_.empty()) {
    if (!let_go_) ::unlink(path_in(paths_.runtime, control::kInstances).c_str());
    ::unlink(path_in(paths_.state, control::kKeeperState).c_str());
  }
  ::unlink(path_in(paths_.runtime, control::kKeeperPid).c_str());
}

base::Result<void> Keeper::watch_signals() {
  // An instance that is slow to read must not end this process, nor a terminal that goes away.
  SEGUE_ASSIGN(signals_, os::signal_fd({SIGTERM, SIGINT, SIGHUP, SIGPIPE}));
  return loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) {
    const auto signal = os::read_signal(signals_);
    if (!signal || !*signal || **signal == SIGHUP || **signal == SIGPIPE) return;
    post(StopRequested{});
    settle();
  });
}

base::Result<void> Keeper::prepare() {
  SEGUE_TRY(watch_signals());
  if (const auto status = handoff::OwnerPage::create(page_); !status.ok()) {
    return base::fail(base::ErrorCode::internal, "{}", status.text);
  }
  SEGUE_TRY(server_.listen(path_in(paths_.runtime, control::kControlSocket)));
  KeptFds kept = manager_.take_kept();
  if (links_libsegue() || is_detecting()) keep_for_libsegue(kept.listeners);
  if (links_libsegue()) SEGUE_TRY(bind_for_libsegue());
  if (!links_libsegue()) SEGUE_TRY(prepare_programs(kept_belongings(std::move(kept))));
  if (!line_.run.unsafe_fault.empty()) {
    SEGUE_ASSIGN(fault_, parse_fault(line_.run.unsafe_fault));
  }
  nonce_ = handoff::make_nonce();
  start_metrics();
  load_history();
  RequestId request = 0;
  if (line_.client_fd >= 0) {
    SEGUE_ASSIGN(request, server_.adopt(os::UniqueFd(line_.client_fd)));
  }
  post(RunRequested{request, line_.launch});
  return {};
}

// A program in a network namespace of its own could not bind them: a socket stays in the one where
// it was made.
base::Result<void> Keeper::bind_for_libsegue() {
  for (const auto& listen : line_.contract.listen) {
    if (const auto kept = listeners_.find(listen.name); kept != listeners_.end()) {
      auto socket = reuse_listen_socket(listen, os::UniqueFd(kept->second.release()));
      listeners_.erase(kept);
      if (socket) {
        listeners_.insert_or_assign(listen.name, handoff::UniqueFd(socket->fd.release()));
        continue;
      }
    }
    SEGUE_ASSIGN(auto socket, open_listen_socket(listen, group_member_of(paths_.runtime)));
    SEGUE_TRY(make_nonblocking(socket));  // as libsegue's own are
    listeners_.insert_or_assign(listen.name, handoff::UniqueFd(socket.fd.release()));
  }
  return {};
}

// Out of what the manager has kept: all but what the program is given by name.
void Keeper::keep_for_libsegue(std::vector<KeptFd>& kept) {
  const auto& named = line_.contract.listen;
  for (auto& [name, fd] : kept) {
    if (!links_libsegue() && std::any_of(named.begin(), named.end(),
                                         [&](const auto& one) { return one.name == name; })) {
      continue;
    }
    listeners_.insert_or_assign(name, handoff::UniqueFd(fd.release()));
  }
}

base::Result<control::ExitCode> Keeper::run() {
  settle();
  housekeeping();
  while (!leave_) SEGUE_TRY(loop_.run_once(std::chrono::hours(1)));
  // Whoever waits for an answer gets it.
  const base::MonotonicTime until = clock_.monotonic_now() + kFarewellLimit;
  while (server_.has_clients() && clock_.monotonic_now() < until) {
    SEGUE_TRY(loop_.run_once(std::chrono::milliseconds(50)));
  }
  return *leave_;
}

// Events and commands until there are no more. Not called from within.
void Keeper::settle() {
  while (!events_.empty() && !leave_) {
    const Event event = std::move(events_.front());
    events_.pop_front();
    if (is_detecting() && std::holds_alternative<HelloReceived>(event)) found_libsegue();
    for (auto& command : component_->handle(event, ownership(), clock_.monotonic_now())) {
      commands_.push_back(std::move(command));
    }
    save_state();  // before anything is done: what is done is found again
    while (!commands_.empty()) {
      const Command command = std::move(commands_.front());
      commands_.pop_front();
      std::visit([this](const auto& typed) { execute(typed); }, command);
    }
  }
  manager_.show(*component_);
  release_slot();
  schedule();
}

void Keeper::schedule() {
  if (timer_) loop_.cancel(*std::exchange(timer_, std::nullopt));
  const base::MonotonicTime next = component_->next_deadline();
  if (next == base::MonotonicTime::max() || leave_) return;
  auto timer = loop_.call_at(next, [this] {
    timer_.reset();
    post(TimePassed{});
    settle();
  });
  if (timer) timer_ = *timer;
}

Ownership Keeper::ownership() const {
  const handoff::Ownership now = page_.look();
  const auto found = owner_names_.find(now.owner);
  return {now.epoch, now.state == handoff::OwnerState::vacant,
          found == owner_names_.end() ? 0 : found->second};
}

void Keeper::housekeeping() {
  for (const auto& [generation, process] : processes_) {
    if (!line_.foreground) output_.trim(generation);
  }
  std::erase_if(relays_, [](const auto& relay) { return relay->ended(); });
  (void)loop_.call_at(clock_.monotonic_now() + kHousekeepingInterval, [this] { housekeeping(); });
}

// ---- Commands that concern people

void Keeper::execute(const Finish& command) {
  server_.finish(command.request, last_reply(line_.name, command.exit, command.text,
                                             command.attempt ? &*command.attempt : nullptr, now()));
}

void Keeper::execute(const ShowProgress& /*command*/) {
  if (progress_timer_) return;
  const base::MonotonicTime due = last_progress_ + kProgressInterval;
  if (clock_.monotonic_now() >= due) return show_progress();
  auto timer = loop_.call_at(due, [this] {
    progress_timer_.reset();
    show_progress();
  });
  if (timer) progress_timer_ = *timer;
}

void Keeper::show_progress() {
  last_progress_ = clock_.monotonic_now();
  const auto show = [&](RequestId request, const Attempt& attempt) {
    if (request == 0 || !server_.has(request)) return;
    server_.send(request, progress_reply(*component_, attempt, now()),
                 ControlServer::Weight::droppable);
  };
  for (const auto* attempt : {&component_->attempt(), &component_->undone()}) {
    if (!*attempt) continue;
    show((*attempt)->request, **attempt);
    show((*attempt)->undo_request, **attempt);
  }
}

void Keeper::execute(const ShowQueued& command) {
  server_.send(command.request, queued_reply(command.behind), ControlServer::Weight::needed);
}

void Keeper::execute(const Step& command) {
  const std::uint64_t lost_before = step_log_.lines_lost();
  metrics_.count_step(command.name);
  std::string json = step_json(command, ++last_step_, now());
  step_log_.append(json, command.decisive ? os::Durability::synced : os::Durability::buffered);
  for (const RequestId follower : followers_) {
    server_.send(follower, wrapped_reply("event", json), ControlServer::Weight::needed);
  }
  std::erase_if(followers_, [this](RequestId follower) { return !server_.has(follower); });
  steps_.push_back({last_step_, std::move(json)});
  if (steps_.size() > kMaxEvents) steps_.pop_front();
  if (lost_before == 0 && step_log_.lines_lost() > 0) {
    // Only in memory: it cannot be written, which is what it says.
    steps_.push_back(
        {++last_step_,
         step_json({"log.not_written", {{"path", step_log_.path()}}, false}, last_step_, now())});
  }
}

void Keeper::execute(const Record& command) {
  metrics_.count_attempt(command.attempt);
  std::string json = attempt_json(command.attempt, now());
  history_log_.append(json, os::Durability::synced);
  history_.push_back(std::move(json));
  if (history_.size() > kMaxHistory) history_.pop_front();
}

void Keeper::execute(const FaultPoint& command) {
  if (!fault_ || fault_->point != command.point) return;
  const Fault fault = *std::exchange(fault_, std::nullopt);
  execute(Step{"fault.injected", {{"point", fault.point}}, false});
  switch (fault.action) {
    case Fault::Action::kill:
      ::raise(SIGKILL);
      return;
    case Fault::Action::stop:
      ::raise(SIGSTOP);
      return;
    case Fault::Action::error:
      // The commit is lost on its way; everything else fails where it stands.
      if (fault.point == "commit") {
        std::erase_if(commands_,
                      [](const Command& next) { return std::holds_alternative<SendCommit>(next); });
      } else {
        post(FaultInjected{fault.point});
      }
      return;
  }
}

void Keeper::execute(const LetGo& /*command*/) {
  for (auto& [generation, process] : processes_) {
    if (process.channel_open) loop_.unwatch(process.channel.fd());
    loop_.unwatch(process.child.pidfd.get());
  }
  processes_.clear();
  if (programs_) programs_->let_go();
  let_go_ = true;
}

void Keeper::execute(const Leave& command) {
  leave_ = command.exit;
  for (const RequestId follower : std::exchange(followers_, {})) {
    server_.finish(follower, last_reply(line_.name, control::ExitCode::done, "", nullptr, now()));
  }
}

}  // namespace segue::keeper
