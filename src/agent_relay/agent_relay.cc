// SPDX-License-Identifier: Apache-2.0
#include "agent_relay/agent_relay.h"

#include <utility>

#include "fleet/host.h"
#include "os/files.h"

namespace segue::agent_relay {

using base::ErrorCode;
using base::fail;
using base::Result;
using rpc::EnvelopeKind;

Result<std::unique_ptr<AgentRelay>> AgentRelay::open(os::EpollLoop& loop, const os::Clock& clock,
                                                     const base::Log& log, Settings settings,
                                                     membership::MembershipFiles files,
                                                     membership::Membership membership) {
  std::unique_ptr<AgentRelay> relay(new AgentRelay(loop, clock, log, std::move(settings),
                                                   std::move(files), std::move(membership)));
  SEGUE_TRY(relay->write_certificate());
  SEGUE_ASSIGN(
      relay->agents_,
      rpc::FleetServer::open(loop, clock,
                             {relay->settings_.listen, relay->path("certificate.pem"),
                              relay->path("key.pem"), relay->line_.membership().authorities_pem},
                             *relay));
  relay->line_.start();
  return relay;
}

AgentRelay::AgentRelay(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                       Settings settings, membership::MembershipFiles files,
                       membership::Membership membership)
    : loop_(loop),
      clock_(clock),
      log_(log),
      settings_(std::move(settings)),
      lines_(settings_.max_agents),
      line_(loop, clock, log, std::move(files), std::move(membership),
            {.attached = [this] { server_attached(); },
             .beat = [this] { beat(); },
             .received = [this](rpc::Envelope envelope) { from_server(std::move(envelope)); },
             .lost = [this] { lines_.server_lost(); },
             .room = [this] { pass_on(); },
             .renewed =
                 [this] {
                   if (const auto written = write_certificate(); !written) {
                     log_.warning("relay.certificate-not-kept",
                                  {{"why", written.error().to_string()}});
                   }
                 }}) {}

AgentRelay::~AgentRelay() = default;

std::string AgentRelay::path(const char* name) const {
  return settings_.directory + "/tls/" + name;
}

// Who reads them in between finds that they do not fit, and reads again.
Result<void> AgentRelay::write_certificate() const {
  const membership::Membership& membership = line_.membership();
  SEGUE_TRY(os::ensure_private_directory(settings_.directory + "/tls"));
  SEGUE_TRY(os::write_file_atomically(path("key.pem"), membership.own.key_pem));
  return os::write_file_atomically(path("certificate.pem"),
                                   membership.own.certificate_pem + membership.authorities_pem);
}

// ---- The server

void AgentRelay::server_attached() {
  const membership::Membership& membership = line_.membership();
  line_.send({membership.host, EnvelopeKind::hello, 0,
              fleet::write_hello({.site = membership.site,
                                  .labels = membership.labels,
                                  .program_version = SEGUE_VERSION,
                                  .boot_id = settings_.boot_id,
                                  .incarnation = settings_.incarnation})});
  for (const Line line : lines_.server_attached()) {
    agents_->send(line, {lines_.host_of(line), EnvelopeKind::again_wanted});
  }
}

void AgentRelay::beat() {
  line_.send(
      {.host = line_.membership().host, .kind = EnvelopeKind::heartbeats, .lines = lines_.heard()});
}

void AgentRelay::pass_on() {
  while (line_.has_room()) {
    auto envelope = lines_.next();
    if (!envelope) return;
    line_.send(*std::move(envelope));
  }
}

void AgentRelay::from_server(rpc::Envelope envelope) {
  if (envelope.kind == EnvelopeKind::servers) {
    servers_ = std::move(envelope);
    for (const Line line : lines_.all()) tell_servers(line);
    return;
  }
  const bool is_refused = envelope.kind == EnvelopeKind::refused;
  if (envelope.line == 0) {
    if (is_refused) log_.warning("relay.refused", {{"why", envelope.document}});
    return;
  }
  const Line line = std::exchange(envelope.line, 0);
  if (!lines_.is(line, envelope.host)) return;  // it has gone
  if (is_refused) {
    log_.warning("relay.agent-refused", {{"host", envelope.host}, {"why", envelope.document}});
    return agents_->close(line, {ErrorCode::permission_denied, envelope.document});
  }
  agents_->send(line, std::move(envelope));
}

// Those that may leave the relay out need to know; they check that it is the server's word.
void AgentRelay::tell_servers(Line line) {
  if (servers_.kind != EnvelopeKind::servers) return;
  agents_->send(line, {.host = lines_.host_of(line),
                       .kind = servers_.kind,
                       .document = servers_.document,
                       .signature = servers_.signature});
}

// ---- Agents

Result<void> AgentRelay::attached(rpc::SessionId session, const pki::Certificate& who) {
  return lines_.opened(session, who);
}

void AgentRelay::received(rpc::SessionId session, rpc::Envelope envelope) {
  const bool is_hello = envelope.kind == EnvelopeKind::hello;
  if (const auto taken = lines_.received(session, std::move(envelope)); !taken) {
    return agents_->close(session, taken.error());
  }
  if (is_hello) tell_servers(session);
  pass_on();
}

void AgentRelay::detached(rpc::SessionId session) {
  lines_.closed(session);
  pass_on();
}

void AgentRelay::join(const rpc::JoinRequest& request, rpc::GiveCredentials give) {
  ask_server(
      [&](rpc::TakeCredentials take) {
        return rpc::CredentialsCall::join(loop_, clock_, line_.route(), request, std::move(take));
      },
      give);
}

void AgentRelay::renew(const pki::Certificate& who, const rpc::RenewRequest& request,
                       rpc::GiveCredentials give) {
  if (who.identity.role != pki::Role::host) {
    return give(fail(ErrorCode::permission_denied, "{} is no host", pki::uri_of(who.identity)));
  }
  const rpc::RenewRequest passed_on{request.request_pem, who.pem, request.proof};
  ask_server(
      [&](rpc::TakeCredentials take) {
        return rpc::CredentialsCall::renew(loop_, clock_, line_.route(), line_.membership().own,
                                           passed_on, std::move(take));
      },
      give);
}

void AgentRelay::ask_server(const std::function<Result<Call>(rpc::TakeCredentials)>& begin,
                            const rpc::GiveCredentials& give) {
  if (calls_.size() >= kMaxCalls) {
    return give(fail(ErrorCode::unavailable, "the relay asks for {} others: ask again soon",
                     calls_.size()));
  }
  const auto place = calls_.emplace(calls_.end());
  auto call = begin([this, place, give](Result<rpc::Credentials> credentials) {
    ended_call_ = std::move(*place);
    calls_.erase(place);
    give(std::move(credentials));
  });
  if (call) {
    *place = *std::move(call);
    return;
  }
  calls_.erase(place);
  give(fail(call.error()));
}

}  // namespace segue::agent_relay
