// SPDX-License-Identifier: Apache-2.0
#include "agent/server_line.h"

#include <algorithm>
#include <utility>

#include "os/random.h"
#include "pki/request.h"

namespace segue::agent {
namespace {

using base::Result;

// Between half of it and all of it, so that hosts do not come back all at once.
base::Duration spread(base::Duration pause) {
  const auto drawn = static_cast<unsigned char>(os::random_bytes(1).front());
  return pause / 2 + pause / 2 * drawn / 255;
}

}  // namespace

ServerLine::ServerLine(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
                       MembershipFiles files, Membership membership, Handler handler)
    : loop_(loop),
      clock_(clock),
      log_(log),
      files_(std::move(files)),
      membership_(std::move(membership)),
      handler_(std::move(handler)) {}

ServerLine::~ServerLine() {
  cancel(connect_timer_);
  cancel(beat_timer_);
  cancel(renewal_timer_);
}

void ServerLine::start() {
  plan_renewal();
  connect();
}

bool ServerLine::send(rpc::EnvelopeKind kind, std::uint64_t number, std::string document) {
  return is_attached_ && client_->send({membership_.host, kind, number, std::move(document)});
}

rpc::ServerAddress ServerLine::address() const {
  return {membership_.servers.at(server_), membership_.authorities_pem, ""};
}

void ServerLine::connect() {
  auto client = rpc::FleetClient::open(
      loop_, clock_, address(), membership_.own,
      {.attached = [this] { attached(); },
       .received = [this](const rpc::Envelope& envelope) { handler_.received(envelope); },
       .ended = [this](const base::Error& why) { ended(why); }});
  if (!client) return ended(client.error());
  client_ = *std::move(client);
}

void ServerLine::attached() {
  is_attached_ = true;
  failures_ = 0;
  complaint_.clear();
  log_.info("agent.attached", {{"server", membership_.servers.at(server_)}});
  send(rpc::EnvelopeKind::hello, handler_.generation(), handler_.hello());
  handler_.attached();
  beat();
}

void ServerLine::ended(const base::Error& why) {
  is_attached_ = false;
  cancel(beat_timer_);
  if (complaint_ != why.message()) {
    complaint_ = why.message();
    log_.warning("agent.no-line", {{"why", why.to_string()}});
  }
  server_ = (server_ + 1) % membership_.servers.size();
  base::Duration pause = kFirstPause;
  for (std::uint32_t i = 0; i < failures_ && pause < kMaxPause; ++i) pause *= 2;
  ++failures_;
  call_in(spread(std::min<base::Duration>(pause, kMaxPause)), connect_timer_,
          [this] { connect(); });
}

void ServerLine::beat() {
  send(rpc::EnvelopeKind::heartbeat, handler_.generation(), "");
  call_in(kHeartbeat, beat_timer_, [this] { beat(); });
}

void ServerLine::plan_renewal() {
  const base::Duration left = renewal_of(membership_.certificate) - clock_.realtime_now();
  call_in(std::clamp<base::Duration>(left, std::chrono::seconds(0), std::chrono::hours(24)),
          renewal_timer_, [this] {
            if (renewal_of(membership_.certificate) > clock_.realtime_now()) {
              return plan_renewal();
            }
            renew();
          });
}

void ServerLine::renew() {
  const auto ask = [&]() -> Result<void> {
    SEGUE_ASSIGN(const auto key, files_.next_key());
    SEGUE_ASSIGN(const std::string request,
                 pki::make_request(key, {pki::Role::host, membership_.host}));
    SEGUE_ASSIGN(renewal_, rpc::CredentialsCall::renew(
                               loop_, clock_, address(), membership_.own, request,
                               [this](const Result<rpc::Credentials>& given) { renewed(given); }));
    return {};
  };
  if (const auto asked = ask(); !asked) renewed(base::fail(asked.error()));
}

void ServerLine::renewed(const Result<rpc::Credentials>& credentials) {
  const auto keep = [&]() -> Result<void> {
    if (!credentials) return base::fail(credentials.error());
    SEGUE_TRY(files_.keep(membership_, *credentials));
    SEGUE_ASSIGN(auto membership, files_.read());
    membership_ = *std::move(membership);
    return {};
  };
  if (const auto kept = keep(); !kept) {
    log_.warning("agent.not-renewed", {{"why", kept.error().to_string()}});
    return call_in(kRenewRetry, renewal_timer_, [this] { renew(); });
  }
  log_.info("agent.renewed", {{"serial", membership_.certificate.serial}});
  plan_renewal();
  // With the new certificate; the old one counts until the server has seen this one.
  if (client_ == nullptr) return;
  is_attached_ = false;
  cancel(beat_timer_);
  cancel(connect_timer_);
  client_.reset();
  connect();
}

void ServerLine::call_in(base::Duration delay, std::optional<os::EpollLoop::TimerId>& timer,
                         std::function<void()> call) {
  cancel(timer);
  auto set = loop_.call_at(clock_.monotonic_now() + delay, [&timer, call = std::move(call)] {
    timer.reset();
    call();
  });
  if (set) timer = *set;
}

void ServerLine::cancel(std::optional<os::EpollLoop::TimerId>& timer) {
  if (timer) loop_.cancel(*timer);
  timer.reset();
}

}  // namespace segue::agent
