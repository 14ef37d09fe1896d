// SPDX-License-Identifier: Apache-2.0
#include "relay/relay.h"

#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>

#include "relay/cache.h"
#include "relay/hosts.h"
#include "relay/line.h"
#include "relay/metadata.h"
#include "relay/session.h"
#include "relay/site.h"
#include "relay/transfers.h"
#include "relay/upstream.h"

namespace segue::relay {

namespace asio = boost::asio;

using asio::ip::tcp;
using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr base::Duration kTick = std::chrono::seconds(1);
// After its disk failed, a relay leads no more for so long.
constexpr base::Duration kUnable = std::chrono::minutes(1);
constexpr base::Duration kAcceptRetry = std::chrono::milliseconds(100);

}  // namespace

struct Relay::State {
  State(const RelaySettings& given, const os::Clock& given_clock, const plan::Zones& given_zones,
        const base::Log& given_log, std::unique_ptr<Cache> given_cache)
      : settings(given),
        clock(given_clock),
        zones(given_zones),
        log(given_log),
        cache(std::move(given_cache)) {
    shared = std::make_unique<TransferParts>(transfer_parts());
    transfers = std::make_unique<Transfers>(*shared);
    parts = std::make_unique<SessionParts>(session_parts());
  }

  ~State() {
    is_closing = true;
    transfers->abandon_all();
  }

  // ---- What the parts need of each other

  Site::Settings site_settings() {
    return {.site = settings.site,
            .name = settings.name,
            .members = settings.members,
            .on_changed = [this] { transfers->site_changed(); },
            .on_states = [this] { transfers->set_remote(site.states()); }};
  }

  TransferParts transfer_parts() {
    return {
        .context = context,
        .clock = clock,
        .log = log,
        .upstreams = upstreams,
        .line = line,
        .cache = *cache,
        .members = settings.members,
        .origin = settings.origin,
        .relay_field = settings.site + "/" + settings.name,
        .max_object_bytes = settings.object_max_bytes,
        .view = [this] { return site.view(); },
        .is_working = [this](std::size_t member, const std::string& digest,
                             std::uint64_t held) { return site.is_working(member, digest, held); },
        .on_blamed =
            [this](const Source& source, const std::string& why) {
              if (source.kind != Source::Kind::origin) site.distrust(source.member, why);
            },
        .on_cache_failed = [this] { failed_at = clock.monotonic_now(); }};
  }

  Metadata::Settings metadata_settings() {
    return {.max_age = settings.metadata_max_age,
            .relay_field = settings.site + "/" + settings.name,
            .sources =
                [this](bool is_fresh) {
                  std::vector<MetadataSource> sources;
                  const SiteView view = site.view();
                  if (!is_fresh && view.is_settled && !view.leads) {
                    sources.push_back({settings.members[view.leader].url, false});
                  }
                  sources.push_back({settings.origin, true});
                  return sources;
                },
            .on_line_bytes = [this](std::uint64_t bytes) { line.came_unasked(bytes); }};
  }

  SessionParts session_parts() {
    return {.clock = clock,
            .cache = *cache,
            .metadata = metadata,
            .transfers = *transfers,
            .hosts = hosts,
            .site = site,
            .site_name = settings.site,
            .figures = figures,
            .state = [this] { return describe(); }};
  }

  // Who is, keeps the lead: a line that breaks for a moment does not move it.
  [[nodiscard]] bool is_busy() const {
    return line.is_used() || transfers->are_soon_back_at_line();
  }

  [[nodiscard]] bool is_able() const {
    return !failed_at || clock.monotonic_now() - *failed_at >= kUnable;
  }

  [[nodiscard]] RelayState describe() const {
    const SiteView view = site.view();
    RelayState state{.site = settings.site, .name = settings.name, .leader = site.leader_name()};
    state.leads = view.leads;
    state.is_busy = is_busy();
    state.is_able = is_able();
    state.cache_bytes = cache->bytes();
    state.cache_max_bytes = cache->max_bytes();
    state.line = {.limit_bytes_per_second = line.rate(),
                  .bytes_per_second = line.bytes_per_second(),
                  .bytes_today = line.bytes_today(),
                  .bytes_total = line.bytes_total()};
    state.members = site.member_states();
    for (MemberState& member : state.members) {
      if (member.name == settings.name) member.line = state.line;
    }
    state.transfers = transfers->states();
    state.hosts = hosts.states(settings.name);
    state.site_hosts = state.hosts;
    for (const RelayState* other : site.states()) {
      for (HostState host : other->hosts) {
        if (state.site_hosts.size() >= kMaxHosts) break;
        host.relay = other->name;
        state.site_hosts.push_back(std::move(host));
      }
    }
    return state;
  }

  // ---- Time

  void tick() {
    const auto now = std::chrono::floor<std::chrono::seconds>(clock.realtime_now());
    const auto rate = settings.line_rates.rate_at(zones, settings.zone, now);
    if (rate) line.set_rate(*rate);
    const auto local = plan::to_local(zones, settings.zone, now);
    const std::int64_t seconds =
        local ? local->time_since_epoch().count() : now.time_since_epoch().count();
    line.tick(seconds / (24 * 60 * 60));
    hosts.tick(clock.monotonic_now());
    transfers->tick();
    site.tick(is_busy(), is_able());
    timer.expires_after(kTick);
    timer.async_wait([this](const boost::system::error_code& problem) {
      if (!problem) tick();
    });
  }

  // ---- Connections

  Result<void> listen(const control::ListenAddress& listen) {
    boost::system::error_code problem;
    const auto address = asio::ip::make_address(listen.address, problem);
    if (problem) {
      return fail(ErrorCode::invalid_argument, "--listen: '{}' is no IP address", listen.address);
    }
    const tcp::endpoint endpoint(address, listen.port);
    tcp::acceptor& acceptor = acceptors.emplace_back(context);
    acceptor.open(endpoint.protocol(), problem);
    if (!problem) acceptor.set_option(tcp::acceptor::reuse_address(true), problem);
    if (!problem) acceptor.bind(endpoint, problem);
    if (!problem) acceptor.listen(asio::socket_base::max_listen_connections, problem);
    if (!problem) return {};
    return fail(ErrorCode::failed_precondition, "cannot listen on {}:{}: {}", listen.address,
                listen.port, problem.message());
  }

  void accept(tcp::acceptor& acceptor) {
    if (figures.open_connections >= settings.max_connections) {
      full.push_back(&acceptor);
      return;
    }
    acceptor.async_accept(
        [this, &acceptor](const boost::system::error_code& problem, tcp::socket socket) {
          if (problem == asio::error::operation_aborted) return;
          // Out of descriptors, or gone before it was accepted: those that are open end in time.
          if (problem) return retry(acceptor);
          ++figures.connections;
          ++figures.open_connections;
          std::make_shared<Session>(std::move(socket), *parts, [this] { closed(); })->begin();
          accept(acceptor);
        });
  }

  void closed() {
    if (is_closing) return;  // the context throws away what was open
    --figures.open_connections;
    if (full.empty()) return;
    tcp::acceptor& acceptor = *full.front();
    full.pop_front();
    accept(acceptor);
  }

  void retry(tcp::acceptor& acceptor) {
    const auto pause = std::make_shared<asio::steady_timer>(context, kAcceptRetry);
    pause->async_wait([this, pause, &acceptor](const boost::system::error_code& problem) {
      if (!problem) accept(acceptor);
    });
  }

  // What sessions look at in their last moment stands before the context, which ends them.
  RelaySettings settings;
  const os::Clock& clock;
  const plan::Zones& zones;
  const base::Log& log;
  std::unique_ptr<Cache> cache;
  ServedFigures figures;
  Hosts hosts;
  std::optional<base::MonotonicTime> failed_at;  // the disk did
  bool is_closing = false;
  std::list<tcp::acceptor*> full;  // that wait until a connection ends
  std::unique_ptr<TransferParts> shared;
  std::unique_ptr<SessionParts> parts;

  asio::io_context context{1};
  Upstreams upstreams{context};
  Line line{context, clock};
  Site site{context, clock, log, upstreams, site_settings()};
  Metadata metadata{context, clock, log, upstreams, *cache, metadata_settings()};
  std::unique_ptr<Transfers> transfers;
  std::list<tcp::acceptor> acceptors;
  asio::signal_set signals{context};
  asio::steady_timer timer{context};
};

Relay::Relay(std::unique_ptr<State> state) : state_(std::move(state)) {}
Relay::~Relay() = default;

Result<std::unique_ptr<Relay>> Relay::open(const RelaySettings& settings, const os::Clock& clock,
                                           const plan::Zones& zones, const base::Log& log) {
  const auto now = std::chrono::floor<std::chrono::seconds>(clock.realtime_now());
  SEGUE_TRY(settings.line_rates.rate_at(zones, settings.zone, now));
  SEGUE_ASSIGN(auto cache, Cache::open(settings.cache, settings.cache_max_bytes));
  auto state = std::make_unique<State>(settings, clock, zones, log, std::move(cache));
  for (const auto& listen : settings.listen) SEGUE_TRY(state->listen(listen));
  return std::unique_ptr<Relay>(new Relay(std::move(state)));
}

std::vector<std::uint16_t> Relay::ports() const {
  std::vector<std::uint16_t> ports;
  for (const tcp::acceptor& acceptor : state_->acceptors) {
    boost::system::error_code problem;
    ports.push_back(acceptor.local_endpoint(problem).port());
  }
  return ports;
}

void Relay::run(bool until_signal) {
  if (until_signal) {
    state_->signals.add(SIGTERM);
    state_->signals.add(SIGINT);
    state_->signals.async_wait([this](const boost::system::error_code& problem, int) {
      if (!problem) state_->context.stop();
    });
  }
  for (tcp::acceptor& acceptor : state_->acceptors) state_->accept(acceptor);
  state_->tick();
  state_->context.run();
}

void Relay::stop() {
  state_->context.stop();
}

RelayState Relay::state() const {
  return state_->describe();
}

std::uint64_t Relay::served_bytes() const {
  return state_->figures.body_bytes;
}

}  // namespace segue::relay
