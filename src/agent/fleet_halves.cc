// SPDX-License-Identifier: Apache-2.0
#include "agent/fleet_halves.h"

#include <signal.h>

#include <filesystem>
#include <utility>

#include "agent/fleet_agent.h"
#include "os/files.h"

namespace segue::agent {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr base::Duration kTurn = std::chrono::milliseconds(100);
constexpr const char* kMembership = "membership";  // below the child's directory

// ---- In the child

Result<membership::Membership> membership_of(const FleetHalves::Settings& settings,
                                             os::EpollLoop& loop, const os::Clock& clock) {
  const membership::MembershipFiles files(kMembership);
  SEGUE_ASSIGN(auto membership, files.read());
  if (membership && !settings.relays.empty()) {
    membership->relays = settings.relays;
    membership->direct = settings.direct;
    SEGUE_TRY(files.keep_routes(*membership));
  }
  if (membership) return *std::move(membership);
  if (!settings.join) return fail(ErrorCode::data_loss, "membership.json has gone");
  return membership::join_fleet(loop, clock, files, *settings.join, FleetHalves::kJoinLimit);
}

Result<void> decide(const FleetHalves::Settings& settings, os::EpollLoop& loop,
                    const os::Clock& clock, const base::Log& log, os::MessageStream& stream,
                    std::unique_ptr<FleetAgent>& agent, std::optional<base::Error>& end) {
  SEGUE_ASSIGN(auto membership, membership_of(settings, loop, clock));
  log.info("agent.decides", {{"host", membership.host}, {"site", membership.site}});
  SEGUE_ASSIGN(agent,
               FleetAgent::open(loop, clock, log,
                                {.directory = ".",
                                 .incarnation = settings.incarnation,
                                 .boot_id = settings.boot_id,
                                 .observe_only = settings.observe_only,
                                 .order =
                                     [&](const Order& order) {
                                       const auto sent = stream.send(write_order(order));
                                       if (sent || end) return;
                                       end = sent.error();
                                       loop.stop();
                                     }},
                                membership::MembershipFiles(kMembership), std::move(membership)));
  agent->start();
  SEGUE_TRY(loop.run());
  return end ? fail(*end) : Result<void>();
}

// Until the other half has gone.
Result<void> run_child(const FleetHalves::Settings& settings, os::UniqueFd socket) {
  const os::SystemClock clock;
  const base::Log log({.now = [&clock] { return clock.realtime_now(); }});
  SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock));
  std::unique_ptr<FleetAgent> agent;
  std::optional<base::Error> end;
  const auto received = [&](std::string_view message) {
    const auto answer = read_answer(message);
    if (answer && agent) return agent->answered(*answer);
    if (!answer) log.warning("agent.answer-refused", {{"why", answer.error().to_string()}});
  };
  const auto ended = [&](const base::Error& why) {
    end = why;
    loop.stop();
  };
  SEGUE_ASSIGN(const auto stream,
               os::MessageStream::open(loop, std::move(socket), {received, ended}));
  const auto done = decide(settings, loop, clock, log, *stream, agent, end);
  agent.reset();
  if (done || end) return done;  // nobody hears it any more
  SEGUE_TRY(stream->send(write_order(GiveUp{done.error()})));
  const base::MonotonicTime limit = clock.monotonic_now() + FleetHalves::kEndLimit;
  while (!stream->has_sent_all() && clock.monotonic_now() < limit) SEGUE_TRY(loop.run_once(kTurn));
  return {};
}

}  // namespace

bool FleetHalves::has_joined(const std::string& directory) {
  std::error_code ignored;
  return std::filesystem::exists(line_directory(directory) + "/" + kMembership + "/membership.json",
                                 ignored);
}

Result<std::unique_ptr<FleetHalves>> FleetHalves::start(os::EpollLoop& loop, const os::Clock& clock,
                                                        const base::Log& log, Settings settings,
                                                        OnEnd on_end) {
  SEGUE_ASSIGN(const HalfUser user, half_user(settings.user));
  if (!user.name.empty() && user.name != settings.user) {
    log.warning("agent.no-user", {{"user", settings.user}, {"instead", user.name}});
  }
  SEGUE_TRY(os::ensure_private_directory(settings.directory));
  const std::string directory = line_directory(settings.directory);
  SEGUE_TRY(prepare_half_directory(directory, user));
  SEGUE_ASSIGN(auto half, start_deciding_half(directory, user, [&settings](os::UniqueFd socket) {
                 (void)run_child(settings, std::move(socket));
               }));
  std::unique_ptr<FleetHalves> halves(
      new FleetHalves(loop, clock, log, settings, std::move(on_end)));
  halves->child_ = std::move(half.child);
  SEGUE_ASSIGN(halves->stream_,
               os::MessageStream::open(
                   loop, std::move(half.socket),
                   {[raw = halves.get()](std::string_view message) { raw->ordered(message); },
                    [raw = halves.get()](const base::Error& why) { raw->ended(why); }}));
  return halves;
}

FleetHalves::FleetHalves(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                         const Settings& settings, OnEnd on_end)
    : log_(log),
      on_end_(std::move(on_end)),
      executor_(loop, clock, log,
                {.directory = settings.directory + "/instances",
                 .segue = settings.segue,
                 .runtime = settings.runtime,
                 .state = settings.state,
                 .engine = settings.engine,
                 .environment = settings.environment},
                [this](const OrderAnswer& given) { answer(given); }) {}

FleetHalves::~FleetHalves() {
  stream_.reset();
  if (!child_.pidfd) return;
  if (const auto ended = os::wait_for_exit(child_.pidfd, kEndLimit); ended && *ended) return;
  (void)os::send_signal(child_.pidfd, SIGKILL);
  (void)os::wait_for_exit(child_.pidfd, kEndLimit);
}

void FleetHalves::ordered(std::string_view message) {
  const auto order = read_order(message);
  if (!order) return ended(order.error());
  if (const auto done = executor_.carry_out(*order); !done) ended(done.error());
}

void FleetHalves::answer(const OrderAnswer& answer) {
  if (const auto sent = stream_->send(write_answer(answer)); !sent) ended(sent.error());
}

void FleetHalves::ended(const base::Error& why) {
  if (on_end_) std::exchange(on_end_, nullptr)(why);
}

}  // namespace segue::agent
