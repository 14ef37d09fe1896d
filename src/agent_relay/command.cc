// SPDX-License-Identifier: Apache-2.0
#include "agent_relay/command.h"

#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <climits>

#include "agent_relay/agent_relay.h"
#include "base/json_writer.h"
#include "fleet/join_token.h"
#include "membership/joining.h"
#include "os/file_lock.h"
#include "os/files.h"
#include "os/paths.h"
#include "os/process.h"
#include "os/random.h"

namespace segue::agent_relay {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using control::AgentRelayOptions;

constexpr base::Duration kJoinLimit = std::chrono::minutes(10);
constexpr std::size_t kIncarnationDigits = 16;

std::string host_name() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "relay";
}

Result<membership::Membership> membership_of(const AgentRelayOptions& options,
                                             const membership::MembershipFiles& files,
                                             os::EpollLoop& loop, const os::Clock& clock) {
  SEGUE_ASSIGN(auto known, files.read());
  if (known) return *std::move(known);
  if (options.join.empty()) {
    return fail(ErrorCode::failed_precondition,
                "this relay has not joined a fleet: say --join TOKEN (`segue token --relay --site "
                "SITE` makes one)");
  }
  if (options.dry_run) {
    SEGUE_TRY(fleet::parse_join_token(options.join));
    return fail(ErrorCode::failed_precondition, "this relay would join: nothing else is known yet");
  }
  return membership::join_fleet(
      loop, clock, files,
      {.role = pki::Role::relay,
       .token = options.join,
       .host = options.name.empty() ? host_name() + "-relay" : options.name,
       .site = options.site},
      kJoinLimit);
}

void say_listening(const membership::Membership& membership, std::uint16_t port,
                   const control::SayRelay& say) {
  base::JsonWriter object;
  object.begin_object()
      .field("event", "listening")
      .field("name", membership.host)
      .field("server", membership.servers.front())
      .field("port", port)
      .end();
  say(fmt::format("{} carries agents to {}, on port {}", membership.host,
                  membership.servers.front(), port),
      std::move(object).take());
}

}  // namespace

Result<control::RelayEnd> run_command(const AgentRelayOptions& options,
                                      const control::SayRelay& say) {
  SEGUE_ASSIGN(const os::Directories directories, os::directories());
  const std::string directory =
      options.state.empty() ? directories.state + "/agent-relay" : options.state;
  SEGUE_TRY(os::ensure_private_directory(directory));
  SEGUE_ASSIGN(const auto lock,
               os::FileLock::acquire(directory + "/lock", "segue relay agents", base::Duration(0)));
  SEGUE_ASSIGN(const os::UniqueFd signals, os::signal_fd({SIGTERM, SIGINT}));
  const os::SystemClock clock;
  const base::Log log({.now = [&clock] { return clock.realtime_now(); }});
  SEGUE_ASSIGN(os::EpollLoop loop, os::EpollLoop::create(clock));
  SEGUE_TRY(loop.watch(signals.get(), EPOLLIN, [&loop](std::uint32_t) { loop.stop(); }));
  const membership::MembershipFiles files(directory + "/membership");
  SEGUE_ASSIGN(const auto membership, membership_of(options, files, loop, clock));
  if (options.dry_run) {
    return control::RelayEnd{.text = fmt::format("{} would carry agents to {}", membership.host,
                                                 membership.servers.front())};
  }
  os::raise_descriptor_limit();
  SEGUE_ASSIGN(const auto relay,
               AgentRelay::open(loop, clock, log,
                                {.directory = directory,
                                 .listen = options.listen,
                                 .max_agents = options.max_agents,
                                 .incarnation = os::random_hex(kIncarnationDigits),
                                 .boot_id = os::boot_id()},
                                files, membership));
  say_listening(membership, relay->port(), say);
  SEGUE_TRY(loop.run());
  return control::RelayEnd{.text = "ends; the agents act from their disks"};
}

}  // namespace segue::agent_relay
