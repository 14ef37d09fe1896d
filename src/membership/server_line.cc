// SPDX-License-Identifier: Apache-2.0
#include "membership/server_line.h"

#include <algorithm>
#include <utility>

#include "fleet/servers.h"
#include "os/random.h"
#include "pki/request.h"

namespace segue::membership {
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
      handler_(std::move(handler)),
      routes_(routes_of(membership_)) {}

ServerLine::~ServerLine() {
  cancel(connect_timer_);
  cancel(beat_timer_);
  cancel(renewal_timer_);
}

void ServerLine::start() {
  plan_renewal();
  connect();
}

bool ServerLine::send(rpc::Envelope envelope) {
  return is_attached_ && client_->send(std::move(envelope));
}

bool ServerLine::has_room() {
  return is_attached_ && client_->has_room();
}

void ServerLine::connect() {
  auto client = rpc::FleetClient::open(
      loop_, clock_, route(), membership_.own,
      {.attached = [this] { attached(); },
       .received = [this](rpc::Envelope envelope) { received(std::move(envelope)); },
       .ended = [this](const base::Error& why) { ended(why); },
       .room = handler_.room});
  if (!client) return ended(client.error());
  client_ = *std::move(client);
}

void ServerLine::attached() {
  is_attached_ = true;
  failures_ = 0;
  complaint_.clear();
  log_.info("agent.attached",
            {{pki::to_string(route().role), route().address}, {"as", membership_.host}});
  handler_.attached();
  beat();
}

// A relay brings what a host is to be and to tell, and has no say in it.
Result<void> ServerLine::check_order(rpc::Envelope& envelope) const {
  const bool is_order = envelope.kind == rpc::EnvelopeKind::desired ||
                        envelope.kind == rpc::EnvelopeKind::logs_wanted ||
                        envelope.kind == rpc::EnvelopeKind::servers;
  if (!is_order || route().role != pki::Role::relay) return {};
  envelope.host = membership_.host;  // whoever else it is for is not signed for this one
  return pki::check_signed(membership_.authorities_pem, rpc::signed_text(envelope),
                           envelope.signature);
}

void ServerLine::received(rpc::Envelope envelope) {
  if (const auto checked = check_order(envelope); !checked) {
    return log_.warning("agent.not-believed",
                        {{"relay", route().address}, {"why", checked.error().message()}});
  }
  if (envelope.kind == rpc::EnvelopeKind::servers) take_servers(envelope.document);
  handler_.received(std::move(envelope));
}

void ServerLine::take_servers(const std::string& document) {
  const auto told = fleet::read_servers(document);
  if (!told) {
    return log_.warning("agent.servers-refused", {{"why", told.error().to_string()}});
  }
  const rpc::ServerAddress here = route();  // a copy, as the routes change
  auto servers = servers_from(*told, here.role == pki::Role::server ? here.address : "");
  if (servers == membership_.servers) return;
  Membership next = membership_;
  next.servers = std::move(servers);
  if (const auto kept = files_.keep_routes(next); !kept) {
    return log_.warning("agent.servers-not-kept", {{"why", kept.error().to_string()}});
  }
  membership_ = std::move(next);
  log_.info("agent.servers", {{"count", membership_.servers.size()}});
  find_routes(here.address);
}

// The one in use stays that.
void ServerLine::find_routes(const std::string& here) {
  routes_ = routes_of(membership_);
  const auto same = std::ranges::find(routes_, here, &rpc::ServerAddress::address);
  route_ = same == routes_.end() ? 0 : static_cast<std::size_t>(same - routes_.begin());
}

void ServerLine::lose() {
  cancel(beat_timer_);
  if (std::exchange(is_attached_, false) && handler_.lost) handler_.lost();
}

void ServerLine::ended(const base::Error& why) {
  lose();
  if (complaint_ != why.message()) {
    complaint_ = why.message();
    log_.warning("agent.no-line", {{"why", why.to_string()}});
  }
  route_ = (route_ + 1) % routes_.size();
  base::Duration pause = kFirstPause;
  const bool is_round_over = ++failures_ % routes_.size() == 0;
  const std::size_t doublings = is_round_over ? failures_ / routes_.size() - 1 : 0;
  for (std::size_t i = 0; i < doublings && pause < kMaxPause; ++i) pause *= 2;
  call_in(spread(std::min<base::Duration>(pause, kMaxPause)), connect_timer_,
          [this] { connect(); });
}

void ServerLine::beat() {
  handler_.beat();
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
    rpc::RenewRequest request;
    SEGUE_ASSIGN(request.request_pem, pki::make_request(key, {membership_.role, membership_.host}));
    SEGUE_ASSIGN(const auto own, crypto::PrivateKey::from_pem(membership_.own.key_pem, ""));
    SEGUE_ASSIGN(request.proof, pki::prove_sender(own, request.request_pem));
    SEGUE_ASSIGN(renewal_, rpc::CredentialsCall::renew(
                               loop_, clock_, route(), membership_.own, request,
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
  if (handler_.renewed) handler_.renewed();
  // With the new certificate, as the old one counts until the server has seen this one; and through
  // the first relay, where there are some.
  find_routes(std::string(route().address));
  if (routes_.front().role == pki::Role::relay) route_ = 0;
  if (client_ == nullptr) return;
  lose();
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

}  // namespace segue::membership
