// SPDX-License-Identifier: Apache-2.0
#include "agents/simulated_agents.h"

#include <fmt/format.h>

#include <algorithm>
#include <list>

#include "pki/request.h"

namespace segue::bench {

using base::Result;
using rpc::EnvelopeKind;

namespace {

constexpr base::Duration kPause = std::chrono::milliseconds(100);

std::int64_t nanoseconds_of(base::MonotonicTime time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

SimulatedAgents::SimulatedAgents(os::EpollLoop& loop, const os::Clock& clock, AgentOptions options,
                                 Say say)
    : loop_(loop),
      clock_(clock),
      options_(std::move(options)),
      say_(std::move(say)),
      key_(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value()),
      key_pem_(key_.to_pem("").value()),
      agents_(options_.agents),
      relays_(options_.relays) {
  for (std::size_t i = 0; i < agents_.size(); ++i) {
    agents_[i].identity = {pki::Role::host, fmt::format("host-{:06}", i)};
  }
  for (std::size_t i = 0; i < relays_.size(); ++i) {
    relays_[i].identity = {pki::Role::relay, fmt::format("relay-{:03}", i)};
  }
}

Result<void> SimulatedAgents::join() {
  SEGUE_TRY(join_all(relays_, options_.relay_token));
  SEGUE_TRY(join_all(agents_, options_.token));
  say_(fmt::format(R"({{"event": "joined", "agents": {}}})", agents_.size()));
  return {};
}

Result<void> SimulatedAgents::join_all(std::vector<Agent>& members, const std::string& text) {
  if (members.empty()) return {};
  SEGUE_ASSIGN(const auto token, fleet::parse_join_token(text));
  server_ = token.servers.front();
  std::list<std::unique_ptr<rpc::CredentialsCall>> calls;
  std::list<std::unique_ptr<rpc::CredentialsCall>> ended;
  std::optional<base::Error> error;
  std::size_t begun = 0;
  while (begun < members.size() || !calls.empty()) {
    while (begun < members.size() && calls.size() < kJoinsAtOnce) {
      Agent& member = members[begun++];
      SEGUE_ASSIGN(const std::string request, pki::make_request(key_, member.identity));
      const auto place = calls.emplace(calls.end());
      auto call = rpc::CredentialsCall::join(
          loop_, clock_, {server_, "", token.pin},
          {.token = text, .request_pem = request, .site = "bench", .program_version = "bench"},
          [&, place](const Result<rpc::Credentials>& given) {
            ended.splice(ended.end(), calls, place);
            if (!given) {
              error = given.error();
              return;
            }
            member.certificate = given->certificate_pem;
            authorities_pem_ = given->authorities_pem;
          });
      if (!call) return base::fail(call.error());
      *place = *std::move(call);
    }
    SEGUE_TRY(loop_.run_once(kPause));
    ended.clear();
    if (error) return base::fail(*error);
  }
  return {};
}

Result<void> SimulatedAgents::attach() {
  sessions_.resize(relays_.empty() ? agents_.size() : relays_.size());
  for (std::size_t i = 0; i < agents_.size(); ++i) {
    agents_[i].session = i % sessions_.size();
    sessions_[agents_[i].session].agents.push_back(i);
  }
  for (std::size_t i = 0; i < sessions_.size(); ++i) {
    SEGUE_TRY(open(i, relays_.empty() ? agents_[i] : relays_[i]));
  }
  round_began_ = clock_.monotonic_now();
  tick();
  return {};
}

Result<void> SimulatedAgents::open(std::size_t session, const Agent& speaker) {
  rpc::ServerAddress address{server_, authorities_pem_, ""};
  if (!options_.through.empty()) {
    address.address = options_.through;
    address.role = pki::Role::relay;
  }
  SEGUE_ASSIGN(sessions_[session].client,
               rpc::FleetClient::open(
                   loop_, clock_, address, {speaker.certificate, key_pem_},
                   {.attached = [this, session] { attached(session); },
                    .received = [this, session](
                                    const rpc::Envelope& envelope) { received(session, envelope); },
                    .ended = [this, session, name = speaker.identity.name](
                                 const base::Error& why) { ended(session, name, why); },
                    .room = [this, session] { flush(session); }}));
  return {};
}

// Not all of them in the same moment.
void SimulatedAgents::ended(std::size_t session, const std::string& who, const base::Error& why) {
  if (!options_.comes_back) {
    say_(fmt::format(R"({{"event": "ended", "who": "{}", "why": "{}"}})", who,
                     base::to_string(why.code())));
    return loop_.stop();
  }
  sessions_[session].unsent.clear();
  const base::Duration pause = kMaxPause * (session + 1) / sessions_.size();
  const auto timer = loop_.call_at(clock_.monotonic_now() + pause, [this, session] {
    const auto opened = open(session, relays_.empty() ? agents_[session] : relays_[session]);
    if (!opened) loop_.stop();
  });
  if (!timer) loop_.stop();
}

rpc::Envelope SimulatedAgents::envelope_of(std::size_t agent, EnvelopeKind kind,
                                           std::string document) const {
  rpc::Envelope envelope{.host = agents_[agent].identity.name,
                         .kind = kind,
                         .number = agents_[agent].generation,
                         .document = std::move(document)};
  if (relays_.empty()) return envelope;
  envelope.line = agent + 1;
  if (kind == EnvelopeKind::hello) envelope.certificate_pem = agents_[agent].certificate;
  return envelope;
}

void SimulatedAgents::attached(std::size_t session) {
  for (const std::size_t agent : sessions_[session].agents) {
    send(session, envelope_of(agent, EnvelopeKind::hello,
                              fleet::write_hello({.site = "bench",
                                                  .program_version = "bench",
                                                  .boot_id = "bench",
                                                  .incarnation = std::to_string(agent)})));
    const std::string& observed = agents_[agent].observed;
    send(session, envelope_of(agent, EnvelopeKind::observed,
                              observed.empty() ? fleet::write_observed({}) : observed));
  }
}

// ---- From the server

void SimulatedAgents::received(std::size_t session, const rpc::Envelope& envelope) {
  if (envelope.kind == EnvelopeKind::refused) {
    say_(fmt::format(R"({{"event": "refused", "who": "{}"}})", envelope.host));
    return loop_.stop();
  }
  if (envelope.kind == EnvelopeKind::again_wanted) return attached(session);
  if (envelope.kind != EnvelopeKind::desired) return;
  const std::size_t index = relays_.empty() ? session : static_cast<std::size_t>(envelope.line) - 1;
  Agent& agent = agents_.at(index);
  const auto desired = fleet::read_desired(envelope.document);
  if (!desired) return loop_.stop();
  if (agent.generation == 0 && ++heard_from_server_ == agents_.size()) {
    say_(fmt::format(R"({{"event": "attached", "agents": {}}})", agents_.size()));
  }
  if (desired->generation > agent.generation) {
    agent.generation = desired->generation;
    arrived(agent, desired->stopped);
  }
  fleet::ObservedHost observed{.generation = agent.generation};
  bool is_new = false;
  for (const auto& [key, assignment] : desired->instances) {
    is_new |= std::exchange(agent.orders[key], assignment.order) != assignment.order;
    observed.instances[key] = {.revision = assignment.revision,
                               .staged = assignment.stage,
                               .order = assignment.order,
                               .result = fleet::OrderResult::done,
                               .health = fleet::Health::good,
                               .connections = 10};
  }
  if (!is_new) return;
  agent.observed = fleet::write_observed(observed);
  send(session, envelope_of(index, EnvelopeKind::observed, agent.observed));
}

void SimulatedAgents::arrived(const Agent& agent, bool stopped) {
  auto& arrivals = arrivals_ns_[agent.generation];
  arrivals.push_back(nanoseconds_of(clock_.monotonic_now()));
  if (arrivals_ns_.size() > kMaxGenerations) arrivals_ns_.erase(arrivals_ns_.begin());
  if (arrivals.size() < agents_.size()) return;
  const auto at = [&](double share) {
    return arrivals[static_cast<std::size_t>(share * static_cast<double>(arrivals.size() - 1))];
  };
  say_(fmt::format(
      R"({{"event": "told", "generation": {}, "first_ns": {}, "median_ns": {}, "p99_ns": {}, "last_ns": {}, "stopped": {}}})",
      agent.generation, at(0), at(0.5), at(0.99), at(1), stopped));
  arrivals_ns_.erase(agent.generation);
}

// ---- To the server

void SimulatedAgents::send(std::size_t session, rpc::Envelope envelope) {
  sessions_[session].unsent.push_back(std::move(envelope));
  flush(session);
}

void SimulatedAgents::flush(std::size_t session) {
  Session& held = sessions_[session];
  while (!held.unsent.empty() && held.client->has_room()) {
    held.client->send(std::move(held.unsent.front()));
    held.unsent.pop_front();
  }
}

// Spread over the time between two heartbeats of each.
void SimulatedAgents::tick() {
  const base::Duration passed = clock_.monotonic_now() - round_began_;
  const double share = std::min(
      1.0, std::chrono::duration<double>(passed) / std::chrono::duration<double>(kHeartbeat));
  const auto due = static_cast<std::size_t>(share * static_cast<double>(sessions_.size()));
  for (; next_beat_ < due; ++next_beat_) beat(next_beat_);
  if (share >= 1.0) {
    next_beat_ = 0;
    round_began_ += kHeartbeat;
  }
  (void)loop_.call_at(clock_.monotonic_now() + kTick, [this] { tick(); });
}

void SimulatedAgents::beat(std::size_t session) {
  if (relays_.empty()) return send(session, envelope_of(session, EnvelopeKind::heartbeat, ""));
  rpc::Envelope envelope{.host = relays_[session].identity.name, .kind = EnvelopeKind::heartbeats};
  for (const std::size_t agent : sessions_[session].agents) envelope.lines.push_back(agent + 1);
  send(session, std::move(envelope));
}

}  // namespace segue::bench
