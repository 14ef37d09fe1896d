// SPDX-License-Identifier: Apache-2.0
#include "container/instance_run.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include "base/json_writer.h"
#include "crypto/digest.h"
#include "os/files.h"
#include "os/notify_socket.h"

namespace segue::container {
namespace {

using base::ErrorCode;
using base::Result;

constexpr base::Duration kFollowAgain = std::chrono::seconds(1);
constexpr std::size_t kMaxSecretBytes = std::size_t{1} << 20;
constexpr int kUnknownExit = 255;
constexpr int kSignalBase = 128;  // as a shell says "ended by signal N"

std::string own_mark() {
  return fmt::format("{} {}", ::getpid(), os::start_time_ticks(::getpid()).value_or(0));
}

bool lives(const std::string& mark) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(mark.data(), mark.data() + mark.size(), pid);
  if (error != std::errc() || pid <= 0) return false;
  const auto ticks = os::start_time_ticks(pid);
  return ticks && mark == fmt::format("{} {}", pid, *ticks);
}

void print(runtime::OutputStream stream, std::string_view bytes) {
  const int fd = stream == runtime::OutputStream::standard_error ? STDERR_FILENO : STDOUT_FILENO;
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written <= 0) return;  // a full disk keeps nobody from serving
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
}

Result<std::vector<runtime::SecretFile>> secrets_of(const control::ContainerOptions& options) {
  std::vector<runtime::SecretFile> secrets;
  for (const auto& secret : options.secrets) {
    SEGUE_ASSIGN(const std::string contents, os::read_file(secret.file, kMaxSecretBytes));
    secrets.push_back({.source = secret.file,
                       .target = fmt::format("{}/{}", kSecrets, secret.name),
                       .content_digest = "sha256:" + crypto::to_hex(crypto::digest_of(contents))});
  }
  return secrets;
}

}  // namespace

InstanceRun::InstanceRun(os::EpollLoop& loop, const os::Clock& clock,
                         runtime::ContainerEngine& engine, const base::Log& log, CommandLine line,
                         Place place, Inheritance inheritance, os::UniqueFd starter,
                         os::UniqueFd signals)
    : loop_(loop),
      clock_(clock),
      engine_(engine),
      log_(log),
      line_(std::move(line)),
      place_(std::move(place)),
      inheritance_(std::move(inheritance)),
      starter_(std::move(starter)),
      signals_(std::move(signals)),
      links_libsegue_(inheritance_.channel),
      lifecycle_(links_libsegue_) {}

InstanceRun::~InstanceRun() {
  forget_what_wants_it();
  if (signals_) loop_.unwatch(signals_.get());
  if (meeting_) loop_.unwatch(meeting_->fd());
  if (pidfd_) loop_.unwatch(pidfd_.get());
}

Result<int> InstanceRun::run() {
  if (links_libsegue_) {
    SEGUE_ASSIGN(meeting_, Meeting::open(place_));
  } else {
    SEGUE_TRY(os::ensure_private_directory(place_.instances_folder()));
    SEGUE_TRY(loop_.watch(signals_.get(), EPOLLIN, [this](std::uint32_t) { on_signal(); }));
  }
  watch_what_wants_it();
  clear_leftovers();
  begin_step();
  while (!over_) SEGUE_TRY(loop_.run_once(std::chrono::hours(1)));
  return exit_code_.value_or(was_started_ ? kUnknownExit : kNotStarted);
}

// ---- Steps

void InstanceRun::advance(StepEvent event) {
  if (lifecycle_.on(event)) begin_step();
}

void InstanceRun::begin_step() {
  step_began_ = clock_.monotonic_now();
  switch (lifecycle_.step()) {
    case Step::look_at_image:
      return links_libsegue_ ? look_at_image() : look_for_others();
    case Step::create:
      return create();
    case Step::start:
      return start();
    case Step::look_at_container:
      return look_at_container();
    case Step::offer:
      return offer();
    case Step::serve:
      return begin_to_serve();
    case Step::kill:
      return kill();
    case Step::collect:
      return collect();
    case Step::hear_out:
      return hear_out();
    case Step::remove:
      return remove();
    case Step::end:
      return end();
  }
}

void InstanceRun::fail_step(const base::Error& error) {
  log_.error("container.failed", {{"component", place_.component},
                                  {"image", line_.options.image},
                                  {"what", fmt::format("cannot {}", to_string(lifecycle_.step()))},
                                  {"error", error.message()}});
  advance(StepEvent::failed);
}

void InstanceRun::try_again(base::Duration limit, void (InstanceRun::*step)()) {
  if (clock_.monotonic_now() - step_began_ >= limit) return advance(StepEvent::failed);
  const Step expected = lifecycle_.step();
  const auto timer = loop_.call_at(clock_.monotonic_now() + kTryAgain, [this, step, expected] {
    if (lifecycle_.step() == expected) (this->*step)();
  });
  if (!timer) advance(StepEvent::failed);
}

// Its predecessor has ended, but perhaps not all of its container: two cannot have one port.
void InstanceRun::look_for_others() {
  call_ = engine_.list_containers(
      {{std::string(kFolderLabel), place_.folder}},
      [this](const Result<std::vector<runtime::ContainerSummary>>& found) {
        const bool others = found && std::any_of(found->begin(), found->end(), [](const auto& one) {
                              return one.phase == runtime::ContainerPhase::running;
                            });
        if (!others || clock_.monotonic_now() - step_began_ >= kCollectLimit) {
          return look_at_image();
        }
        try_again(2 * kCollectLimit, &InstanceRun::look_for_others);
      });
}

void InstanceRun::look_at_image() {
  const std::string& image =
      line_.options.image_id.empty() ? line_.options.image : line_.options.image_id;
  call_ = engine_.inspect_image(image, [this](Result<runtime::Image> found) {
    if (!found) return fail_step(found.error());
    image_id_ = found->id;
    advance(StepEvent::done);
  });
}

void InstanceRun::create() {
  auto spec = container_of_instance(place_, line_.options, line_.arguments, image_id_, own_mark(),
                                    links_libsegue_);
  auto secrets = secrets_of(line_.options);
  if (!secrets) return fail_step(secrets.error());
  spec.secrets = *std::move(secrets);
  if (const auto fine = runtime::check(spec); !fine) return fail_step(fine.error());
  call_ = engine_.create_container(spec, [this](Result<std::string> id) {
    if (!id) return fail_step(id.error());
    container_ = *std::move(id);
    advance(StepEvent::done);
  });
}

void InstanceRun::start() {
  call_ = engine_.start_container(container_, [this](Result<void> started) {
    if (!started) return fail_step(started.error());
    was_started_ = true;
    follow_output(std::nullopt);
    advance(StepEvent::done);
  });
}

void InstanceRun::look_at_container() {
  call_ = engine_.inspect_container(container_, [this](Result<runtime::ContainerState> state) {
    if (!state) return fail_step(state.error());
    if (state->phase != runtime::ContainerPhase::running || state->pid <= 0) {
      exit_code_ = state->exit_code;
      return advance(StepEvent::ended);
    }
    if (first_process_ == state->pid && pidfd_) return advance(StepEvent::done);
    // Seen once more with the pidfd in hand: a pid alone may be somebody else's by now.
    watch_first_process(state->pid);
  });
}

void InstanceRun::watch_first_process(pid_t pid) {
  auto pidfd = os::open_process(pid);
  if (!pidfd) return try_again(kCollectLimit, &InstanceRun::look_at_container);
  if (pidfd_) loop_.unwatch(pidfd_.get());
  first_process_ = pid;
  pidfd_ = *std::move(pidfd);
  const auto watched = loop_.watch(pidfd_.get(), EPOLLIN, [this](std::uint32_t) {
    loop_.unwatch(pidfd_.get());
    advance(StepEvent::ended);
  });
  if (!watched) return fail_step(watched.error());
  look_at_container();
}

void InstanceRun::offer() {
  describe();
  const auto watched =
      loop_.watch(meeting_->fd(), EPOLLIN, [this](std::uint32_t) { on_connection(); });
  if (!watched) fail_step(watched.error());
}

void InstanceRun::on_connection() {
  if (lifecycle_.step() != Step::offer) return;
  forget_what_wants_it();  // before it is given away, as it stays open there
  const auto came = meeting_->receive(first_process_, inheritance_);
  if (!came) return fail_step(came.error());
  if (*came != Meeting::Came::instance) return watch_what_wants_it();
  loop_.unwatch(meeting_->fd());
  advance(StepEvent::done);
}

// Of a program that does not link libsegue it is all that can be said for it that it runs.
void InstanceRun::begin_to_serve() {
  // An engine learns a little later than we that a container has ended.
  (void)loop_.call_at(clock_.monotonic_now() + kLookAgain, [this] { clear_leftovers(); });
  if (links_libsegue_) return forget_what_wants_it();
  describe();
  const char* address = ::getenv("NOTIFY_SOCKET");
  if (address == nullptr) return;
  if (const auto socket = os::NotifySocket::open(address)) (void)socket->send("READY=1");
}

void InstanceRun::on_signal() {
  const auto signal = os::read_signal(signals_);
  if (!signal || !*signal) return;
  if (lifecycle_.step() == Step::serve) {
    (void)os::send_signal(pidfd_, **signal);
  } else if (**signal == SIGTERM) {
    advance(StepEvent::unwanted);
  }
}

// The process itself where it is known: that needs no engine.
void InstanceRun::kill() {
  if (pidfd_) (void)os::send_signal(pidfd_, SIGKILL);
  call_ = engine_.kill_container(container_, SIGKILL, [this](Result<void> killed) {
    const bool done = killed || pidfd_ || killed.error().code() == ErrorCode::not_found ||
                      killed.error().code() == ErrorCode::failed_precondition;
    if (done) return advance(StepEvent::done);
    try_again(kKillLimit, &InstanceRun::kill);
  });
}

void InstanceRun::collect() {
  if (exit_code_) return advance(StepEvent::done);
  if (pidfd_) {
    if (const auto status = os::exit_of(pidfd_, base::Duration(0))) {
      exit_code_ = status->signal != 0 ? kSignalBase + status->signal : status->exit_code;
      return advance(StepEvent::done);
    }
  }
  call_ = engine_.inspect_container(container_, [this](Result<runtime::ContainerState> state) {
    const auto is = [&](runtime::ContainerPhase phase) { return state && state->phase == phase; };
    const bool has_ended = is(runtime::ContainerPhase::exited) || is(runtime::ContainerPhase::dead);
    if (has_ended) exit_code_ = state->exit_code;
    // Created: the engine could not start it.
    if (has_ended || is(runtime::ContainerPhase::created) ||
        (!state && state.error().code() == ErrorCode::not_found)) {
      return advance(StepEvent::done);
    }
    try_again(kCollectLimit, &InstanceRun::collect);
  });
}

void InstanceRun::hear_out() {
  if (!output_) return advance(StepEvent::done);
  const auto timer = loop_.call_at(clock_.monotonic_now() + kOutputLimit, [this] {
    if (lifecycle_.step() == Step::hear_out) advance(StepEvent::failed);
  });
  if (!timer) advance(StepEvent::failed);
}

void InstanceRun::remove() {
  call_ = engine_.remove_container(container_, [this](Result<void> removed) {
    if (removed) return advance(StepEvent::done);
    try_again(kRemoveLimit, &InstanceRun::remove);
  });
}

void InstanceRun::end() {
  ::unlink(place_.description().c_str());
  if (meeting_) {
    loop_.unwatch(meeting_->fd());
    meeting_->close();
    meeting_.reset();
  }
  over_ = true;
}

// ---- Who wants it

void InstanceRun::watch_what_wants_it() {
  if (inheritance_.channel) {
    (void)loop_.watch(inheritance_.channel.get(), EPOLLIN, [this](std::uint32_t) { on_channel(); });
  }
  (void)loop_.watch(starter_.get(), EPOLLIN, [this](std::uint32_t) {
    forget_what_wants_it();
    advance(StepEvent::unwanted);
  });
}

void InstanceRun::forget_what_wants_it() {
  if (inheritance_.channel) loop_.unwatch(inheritance_.channel.get());
  if (starter_) loop_.unwatch(starter_.get());
}

// Before its hello the keeper tells an instance only that it is to end.
void InstanceRun::on_channel() {
  forget_what_wants_it();
  advance(StepEvent::unwanted);
}

// ---- Beside the steps

void InstanceRun::follow_output(std::optional<base::RealTime> since) {
  output_ = engine_.read_logs(
      container_, {.is_followed = true, .since = since, .last_lines = std::nullopt},
      [](runtime::OutputStream stream, std::string_view bytes) { print(stream, bytes); },
      [this](Result<void> ended) {
        if (ended || lifecycle_.step() != Step::serve) {
          InstanceRun& run = *this;
          run.output_.reset();  // with this function
          if (run.lifecycle_.step() == Step::hear_out) run.advance(StepEvent::done);
          return;
        }
        // The engine was started anew.
        const base::RealTime from = clock_.realtime_now();
        (void)loop_.call_at(clock_.monotonic_now() + kFollowAgain, [this, from] {
          if (lifecycle_.step() == Step::serve) follow_output(from);
        });
      });
}

void InstanceRun::describe() const {
  base::JsonWriter json;
  json.begin_object()
      .field("container", container_)
      .field("image", line_.options.image)
      .field("image_id", image_id_)
      .field("engine", line_.options.engine)
      .field("network", line_.options.network)
      .end();
  (void)os::write_file_atomically(place_.description(), std::move(json).take() + "\n", 0600,
                                  os::Durability::buffered);
}

void InstanceRun::clear_leftovers() {
  clearing_.clear();  // what an earlier look has not cleared by now is found again
  clearing_.push_back(
      engine_.list_containers({{std::string(kFolderLabel), place_.folder}},
                              [this](Result<std::vector<runtime::ContainerSummary>> found) {
                                if (!found) return;  // the engine's answers to the steps say why
                                for (const auto& one : *found) {
                                  if (clearing_.size() < kMaxLeftovers) clear_leftover(one);
                                }
                              }));
}

void InstanceRun::clear_leftover(const runtime::ContainerSummary& found) {
  const auto label = [&](std::string_view name) {
    const auto value = found.labels.find(std::string(name));
    return value == found.labels.end() ? std::string() : value->second;
  };
  std::error_code ignored;
  const bool was_given =
      std::filesystem::exists(fmt::format("{}/{}", label(kMeetingLabel), kGivenMark), ignored);
  const std::string id = found.id;
  switch (judge(found, lives(label(kStarterLabel)), was_given)) {
    case Leftover::keep:
      return;
    case Leftover::remove:
      return remove_leftover(id);
    case Leftover::kill_and_remove:
      clearing_.push_back(engine_.kill_container(
          id, SIGKILL, [this, id](const Result<void>&) { remove_leftover(id); }));
      return;
  }
}

// Once: what is still there then, the next look clears, or the next start.
void InstanceRun::remove_leftover(const std::string& container) {
  clearing_.push_back(engine_.remove_container(container, [](const Result<void>&) {}));
}

}  // namespace segue::container
