// SPDX-License-Identifier: Apache-2.0
#include "agent_relay/lines.h"

namespace segue::agent_relay {

using base::ErrorCode;
using base::fail;
using base::Result;
using rpc::Envelope;
using rpc::EnvelopeKind;

namespace {

constexpr std::size_t kEnvelopeBytes = 256;  // besides what it holds

}  // namespace

// ---- From agents

Result<void> Lines::opened(Line line, const pki::Certificate& who) {
  if (who.identity.role != pki::Role::host) {
    return fail(ErrorCode::permission_denied, "{} is no host", pki::uri_of(who.identity));
  }
  if (lines_.size() >= max_lines_) {
    return fail(ErrorCode::resource_exhausted, "the relay has {} agents already", max_lines_);
  }
  lines_[line] = {.host = who.identity.name, .certificate_pem = who.pem};
  return {};
}

Result<void> Lines::received(Line line, Envelope envelope) {
  const auto found = lines_.find(line);
  if (found == lines_.end()) return {};
  Agent& agent = found->second;
  if (!envelope.host.empty() && envelope.host != agent.host) {
    return fail(ErrorCode::permission_denied, "{} may not speak for '{}'", agent.host,
                envelope.host);
  }
  if (!has_server_) return {};
  envelope.host = agent.host;
  envelope.line = line;
  envelope.lines.clear();
  envelope.certificate_pem.clear();
  if (envelope.kind == EnvelopeKind::hello) {
    envelope.certificate_pem = agent.certificate_pem;
    agent.introduced = true;
    return add(std::move(envelope), true);
  }
  if (!agent.introduced) return {};
  switch (envelope.kind) {
    case EnvelopeKind::heartbeat:
      agent.heard = true;
      if (agent.generation == envelope.number) return {};
      agent.generation = envelope.number;
      return add(std::move(envelope), true);
    case EnvelopeKind::observed:
      return add(std::move(envelope), true);
    case EnvelopeKind::gone:
    case EnvelopeKind::heartbeats:
      return fail(ErrorCode::permission_denied, "{} is no relay", agent.host);
    default:
      return add_other(agent, std::move(envelope));
  }
}

void Lines::closed(Line line) {
  const auto found = lines_.find(line);
  if (found == lines_.end()) return;
  const Agent agent = std::move(found->second);
  lines_.erase(found);
  for (auto place = places_.lower_bound({line, EnvelopeKind{}});
       place != places_.end() && place->first.first == line;) {
    drop((place++)->second);
  }
  for (auto place = waiting_.begin(); agent.others > 0 && place != waiting_.end();) {
    const auto next = std::next(place);
    if (place->line == line) drop(place);
    place = next;
  }
  // Where there is no room the server will miss its heartbeats.
  if (agent.introduced) {
    (void)add({.host = agent.host, .kind = EnvelopeKind::gone, .line = line}, true);
  }
}

// ---- To the server

std::vector<Line> Lines::server_attached() {
  server_lost();
  has_server_ = true;
  return all();
}

void Lines::server_lost() {
  has_server_ = false;
  waiting_.clear();
  places_.clear();
  waiting_bytes_ = 0;
  for (auto& [line, agent] : lines_) {
    agent.introduced = false;
    agent.heard = false;
    agent.generation.reset();
    agent.others = 0;
  }
}

std::optional<Envelope> Lines::next() {
  if (waiting_.empty()) return std::nullopt;
  Envelope envelope = waiting_.front();
  drop(waiting_.begin());
  return envelope;
}

std::vector<Line> Lines::heard() {
  std::vector<Line> all;
  for (auto& [line, agent] : lines_) {
    if (std::exchange(agent.heard, false)) all.push_back(line);
  }
  return all;
}

std::vector<Line> Lines::all() const {
  std::vector<Line> all;
  all.reserve(lines_.size());
  for (const auto& [line, agent] : lines_) all.push_back(line);
  return all;
}

bool Lines::is(Line line, const std::string& host) const {
  const auto found = lines_.find(line);
  return found != lines_.end() && found->second.host == host;
}

// ---- What waits

std::size_t Lines::bytes_of(const Envelope& envelope) {
  return kEnvelopeBytes + envelope.document.size() + envelope.certificate_pem.size();
}

Result<void> Lines::add(Envelope envelope, bool replaces) {
  const std::pair key{envelope.line, envelope.kind};
  const std::size_t bytes = bytes_of(envelope);
  const auto known = replaces ? places_.find(key) : places_.end();
  const bool is_newer = known != places_.end();
  const std::size_t others = waiting_bytes_ - (is_newer ? bytes_of(*known->second) : 0);
  if (others + bytes > kMaxWaitingBytes) {
    return fail(ErrorCode::resource_exhausted,
                "the server does not take what the relay has for it: attach again");
  }
  waiting_bytes_ = others + bytes;
  if (is_newer) {
    *known->second = std::move(envelope);
    return {};
  }
  const auto place = waiting_.insert(waiting_.end(), std::move(envelope));
  if (replaces) places_[key] = place;
  return {};
}

Result<void> Lines::add_other(Agent& agent, Envelope envelope) {
  if (agent.others >= kMaxOthers) {
    return fail(ErrorCode::resource_exhausted, "{} says more than the server takes: attach again",
                agent.host);
  }
  SEGUE_TRY(add(std::move(envelope), false));
  ++agent.others;
  return {};
}

void Lines::drop(Waiting::iterator place) {
  waiting_bytes_ -= bytes_of(*place);
  const auto known = places_.find({place->line, place->kind});
  if (known != places_.end() && known->second == place) {
    places_.erase(known);
  } else if (const auto agent = lines_.find(place->line); agent != lines_.end()) {
    --agent->second.others;
  }
  waiting_.erase(place);
}

}  // namespace segue::agent_relay
