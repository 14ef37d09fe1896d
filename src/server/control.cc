// SPDX-License-Identifier: Apache-2.0
#include "server/control.h"

#include <fmt/ranges.h>

#include <utility>

#include "fleet/servers.h"
#include "os/random.h"
#include "pki/certificate.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kFleetIdDigits = 16;

}  // namespace

Control::Control(Parts parts, Settings settings, Books books)
    : parts_(parts),
      authority_(settings.authority),
      books_(std::move(books)),
      ledger_(parts.store, parts.scheduler, parts.clock,
              {.on_fatal = settings.on_fatal,
               .on_trouble =
                   [this](const std::string& trouble) {
                     add_event({.severity = trouble.empty() ? "info" : "alarm",
                                .kind = "store",
                                .object = parts_.store.name(),
                                .by = "server",
                                .text = trouble.empty() ? "writing works again" : trouble});
                   }}),
      attachments_(
          parts.scheduler,
          [this](const std::string& host, bool silent) {
            const char* text = silent ? "is not heard any more" : "is heard";
            say_of_host(host, text, silent ? "warning" : "info");
            webhooks_.tell({.kind = silent ? "host.silent" : "host.heard",
                            .object = host,
                            .by = "server",
                            .text = text});
            if (!is_relay(host)) rollouts_.host_silent(host, silent);
          },
          [this](const std::string& host) {
            say_of_host(host,
                        "two agents say that they are this host: the one that was there "
                        "first goes on, the other is refused; was its disk copied?",
                        "alarm");
          }),
      rollouts_(
          books_, ledger_, parts.scheduler, parts.clock,
          {.on_assigned = [this](const std::string& host,
                                 store::Revision revision) { changed(host, revision); },
           .on_notice =
               [this](const std::string& rollout, const rollout::Notice& notice) {
                 add_event({.severity = std::string(to_string(notice.severity)),
                            .kind = "rollout",
                            .object = rollout,
                            .host = notice.host,
                            .by = notice.by,
                            .text = notice.text});
               },
           .is_silent = [this](const std::string& host) { return attachments_.is_silent(host); },
           .observed = [this](const std::string& host) -> const fleet::ObservedHost* {
             const auto* attachment = attachments_.find(host);
             return attachment != nullptr && attachment->observed ? &*attachment->observed
                                                                  : nullptr;
           },
           .signing =
               [this](const Deployment& deployment) {
                 return check_signatures(people_.all(),
                                         pki::fingerprint_of(authority_.public_key()),
                                         deployment.spec, deployment.signatures);
               },
           .on_head =
               [this](store::Transaction& transaction, const rollout::Rollout* before,
                      const rollout::Rollout& head) { tell_of_head(transaction, before, head); }}),
      enrolment_(books_, ledger_, parts.clock, std::move(settings.authority),
                 settings.certificate_lifetime,
                 [this](const HostRecord& host) {
                   attachments_.expect(host.name);
                   if (!host.is_relay) rollouts_.host_joined(host);
                 }),
      people_(books_.people, ledger_, parts.clock),
      // Numbers go on above those of the process before this one.
      events_(milliseconds_of(parts.clock.realtime_now()) * 1'000),
      webhooks_(books_, ledger_, parts.scheduler, parts.clock, std::move(settings.post),
                [this](const std::string& name, const std::string& text) {
                  add_event({.severity = "warning",
                             .kind = "webhook",
                             .object = name,
                             .by = "server",
                             .text = text});
                }),
      requests_(books_.requests, parts.clock),
      logs_(parts.scheduler,
            [this](const std::string& host, std::uint64_t number, std::string document) {
              return want_logs(host, number, std::move(document));
            }),
      first_generation_(books_.revision) {
  ledger_.continue_audit(books_.audit.number, books_.audit.digest, books_.audit_modified);
}

Control::~Control() = default;

void Control::begin() {
  if (books_.fleet.id.empty()) {
    books_.fleet.id = os::random_hex(kFleetIdDigits);
    store::Transaction transaction;
    transaction.expect_absent(std::string(kFleetKey))
        .put(std::string(kFleetKey), write_record(books_.fleet));
    ledger_.write(std::move(transaction), {{"server", "fleet.create", books_.fleet.id, ""}},
                  nullptr);
  }
  for (const auto& [name, host] : books_.hosts) {
    if (!host.revoked) attachments_.expect(name);
  }
  rollouts_.resume();
  webhooks_.begin();
}

void Control::add_event(FleetEvent event) {
  event.time_ms = milliseconds_of(parts_.clock.realtime_now());
  events_.add(std::move(event));
}

// Who is told wants to know what a rollout has come to, and when a person is asked for.
void Control::tell_of_head(store::Transaction& transaction, const rollout::Rollout* before,
                           const rollout::Rollout& head) {
  const auto asks = [](const rollout::Rollout& of) {
    return of.phase == rollout::Phase::running && of.step_phase == rollout::StepPhase::approving;
  };
  const bool asks_anew =
      asks(head) && (before == nullptr || !asks(*before) || before->step != head.step);
  const bool is_paused_anew = head.paused && (before == nullptr || !before->paused);
  const bool is_other_phase = before == nullptr || before->phase != head.phase;
  std::string kind;
  if (is_other_phase) kind = to_string(head.phase);
  if (is_paused_anew) kind = "paused";
  if (asks_anew) kind = "approval";
  if (kind.empty()) return;
  const Spec* spec = books_.spec(head.component, head.target);
  webhooks_.add_to(transaction,
                   {.kind = "rollout." + kind,
                    .object = head.id,
                    .component = head.component,
                    .version = spec == nullptr ? "" : spec->spec.release.version,
                    .title = head.title,
                    .by = head.author,
                    .text = is_paused_anew && kind == "paused" ? head.paused_text : head.text});
}

void Control::when_stored(std::function<void()> call) {
  ledger_.write({}, {}, [call = std::move(call)](store::Revision) { call(); });
}

// ---- Those who call

void Control::join(const rpc::JoinRequest& request, rpc::GiveCredentials give) {
  enrolment_.join(request, std::move(give));
}

void Control::renew(const pki::Certificate& who, const rpc::RenewRequest& request,
                    rpc::GiveCredentials give) {
  enrolment_.renew(who, request, std::move(give));
}

void Control::refused(const base::Error& why) {
  say_refused("", why);
}

// Whoever is refused tries again and again, and is told of now and then.
void Control::say_refused(const std::string& host, const base::Error& why) {
  const base::MonotonicTime now = parts_.scheduler.now();
  std::erase_if(refusals_, [now](const auto& one) { return one.second + kRefusalsTold <= now; });
  const bool is_new = refusals_.size() < kMaxRefusals &&
                      refusals_.try_emplace(host + " " + why.message(), now).second;
  if (!is_new) return;
  add_event({.severity = "warning",
             .kind = "host",
             .object = host,
             .host = host,
             .by = "server",
             .text = "was refused: " + why.message()});
}

Result<void> Control::attached(rpc::SessionId session, const pki::Certificate& who) {
  if (who.identity.role == pki::Role::server) {
    return fail(ErrorCode::permission_denied, "a server does not attach");
  }
  if (const auto shown = enrolment_.check_shown(who); !shown) {
    say_refused(who.identity.name, shown.error());
    return shown;
  }
  known_sessions_[session] = {.who = who.identity};
  return {};
}

// A relay speaks for hosts that it has introduced on this session, and for itself.
bool Control::may_speak(const Session& session, const rpc::Envelope& envelope) const {
  const auto host = books_.hosts.find(envelope.host);
  if (host == books_.hosts.end() || host->second.revoked) return false;
  if (envelope.line == 0) return envelope.host == session.who.name;
  const auto line = session.lines.find(envelope.line);
  return line != session.lines.end() && line->second == envelope.host;
}

Result<void> Control::introduce(Session& session, const rpc::Envelope& envelope) {
  SEGUE_ASSIGN(const auto host, enrolment_.check_behind(session.who, envelope.certificate_pem,
                                                        pki::Expiry::refused));
  if (host.identity.name != envelope.host) {
    return fail(ErrorCode::permission_denied, "{} shows a certificate of {}", envelope.host,
                host.identity.name);
  }
  if (session.lines.size() >= kMaxLinesOfRelay && !session.lines.contains(envelope.line)) {
    return fail(ErrorCode::resource_exhausted, "{} has {} agents already", session.who.name,
                kMaxLinesOfRelay);
  }
  session.lines[envelope.line] = envelope.host;
  return {};
}

void Control::received(rpc::SessionId session, rpc::Envelope envelope) {
  const auto found = known_sessions_.find(session);
  if (found == known_sessions_.end()) return;
  Session& known = found->second;
  if (envelope.host.empty()) envelope.host = known.who.name;
  const Way way{session, envelope.line};
  if (envelope.kind == rpc::EnvelopeKind::hello && envelope.line != 0) {
    const auto introduced = introduce(known, envelope);
    if (!introduced) return refuse(way, envelope.host, introduced.error());
  }
  if (!may_speak(known, envelope)) {
    return refuse(
        way, envelope.host,
        {ErrorCode::permission_denied,
         fmt::format("{} may not speak for '{}'", pki::uri_of(known.who), envelope.host)});
  }
  switch (envelope.kind) {
    case rpc::EnvelopeKind::hello:
      return take_hello(session, envelope);
    case rpc::EnvelopeKind::heartbeat:
      return attachments_.heard(envelope.host, way, envelope.number);
    case rpc::EnvelopeKind::heartbeats:
      return take_heartbeats(session, envelope);
    case rpc::EnvelopeKind::observed:
      attachments_.heard(envelope.host, way, envelope.number);
      return take_observed(envelope);
    case rpc::EnvelopeKind::logs:
      return logs_.take(envelope.host, envelope.number, envelope.document);
    case rpc::EnvelopeKind::gone:
      attachments_.detached(envelope.host, way);
      known.lines.erase(envelope.line);
      return;
    default:
      return;  // of a newer version
  }
}

void Control::take_heartbeats(rpc::SessionId session, const rpc::Envelope& envelope) {
  const Session& known = known_sessions_.at(session);
  attachments_.heard(known.who.name, {session, 0}, std::nullopt);
  for (const std::uint64_t line : envelope.lines) {
    const auto host = known.lines.find(line);
    if (host != known.lines.end()) attachments_.heard(host->second, {session, line}, std::nullopt);
  }
}

void Control::detached(rpc::SessionId session) {
  const auto found = known_sessions_.find(session);
  if (found == known_sessions_.end()) return;
  attachments_.detached(found->second.who.name, {session, 0});
  for (const auto& [line, host] : found->second.lines) attachments_.detached(host, {session, line});
  known_sessions_.erase(found);
}

void Control::room(rpc::SessionId session) {
  send_due(session);
}

std::string Control::relay_of(const Way& way) const {
  const auto found = known_sessions_.find(way.session);
  return way.line == 0 || found == known_sessions_.end() ? "" : found->second.who.name;
}

bool Control::is_relay(const std::string& host) const {
  const auto found = books_.hosts.find(host);
  return found != books_.hosts.end() && found->second.is_relay;
}

void Control::say_of_host(const std::string& host, const std::string& text, const char* severity) {
  add_event({.severity = severity,
             .kind = "host",
             .object = host,
             .host = host,
             .by = "server",
             .text = text});
}

void Control::take_hello(rpc::SessionId session, const rpc::Envelope& envelope) {
  const Way way{session, envelope.line};
  auto hello = fleet::read_hello(envelope.document);
  if (!hello) return refuse(way, envelope.host, hello.error());
  if (!hello->fleet.empty() && hello->fleet != books_.fleet.id) {
    return refuse(
        way, envelope.host,
        {ErrorCode::failed_precondition, fmt::format("{} obeys fleet {}, this is {}", envelope.host,
                                                     hello->fleet, books_.fleet.id)});
  }
  const auto replaced = attachments_.hello(envelope.host, way, *std::move(hello));
  if (!replaced) {
    return refuse(way, envelope.host, replaced.error());
  }
  close_way(*replaced, envelope.host, {ErrorCode::aborted, "the agent has attached again"});
  if (envelope.line == 0) {
    known_sessions_.at(session).said_hello = true;
    send_servers(session);
  }
  send_desired(envelope.host);
}

void Control::take_observed(const rpc::Envelope& envelope) {
  auto observed = fleet::read_observed(envelope.document);
  if (!observed) return say_of_host(envelope.host, observed.error().message(), "warning");
  attachments_.observed(envelope.host, *observed);
  rollouts_.host_observed(envelope.host, *observed);
}

// Of a session that is not known any more nothing is left to close.
void Control::close_way(const Way& way, const std::string& host, const base::Error& why) {
  const auto found = known_sessions_.find(way.session);
  if (sessions_ == nullptr || found == known_sessions_.end()) return;
  if (way.line == 0) return sessions_->close(way.session, why);
  found->second.lines.erase(way.line);
  sessions_->send(way.session, {.host = host,
                                .kind = rpc::EnvelopeKind::refused,
                                .document = why.message(),
                                .line = way.line});
}

void Control::refuse(const Way& way, const std::string& host, const base::Error& why) {
  parts_.log.warning("fleet.refused", {{"host", host}, {"why", why.message()}});
  say_refused(host, why);
  attachments_.detached(host, way);
  close_way(way, host, why);
}

// ---- What they are to be

void Control::changed(const std::string& host, store::Revision revision) {
  generations_[host] = revision;
  send_desired(host);
}

void Control::send_desired(const std::string& host) {
  const auto* attachment = attachments_.find(host);
  if (sessions_ == nullptr || attachment == nullptr) return;
  const auto found = known_sessions_.find(attachment->way.session);
  if (found == known_sessions_.end()) return;
  Session& session = found->second;
  if (attachment->way.line == 0) {
    if (session.who.role == pki::Role::host) send_desired_now(host, attachment->way);
    return;
  }
  // A relay takes one after the other, each as it is wanted when its turn comes.
  if (!session.is_due.insert(host).second) return;
  session.due.push_back(host);
  if (session.due.size() == 1) send_due(attachment->way.session);
}

void Control::send_due(rpc::SessionId id) {
  const auto found = known_sessions_.find(id);
  if (found == known_sessions_.end()) return;
  Session& session = found->second;
  while (!session.due.empty() && sessions_->has_room(id)) {
    const std::string host = std::move(session.due.front());
    session.due.pop_front();
    session.is_due.erase(host);
    const auto* attachment = attachments_.find(host);
    if (attachment == nullptr || attachment->way.session != id) continue;
    send_desired_now(host, attachment->way);
  }
}

void Control::send_desired_now(const std::string& host, const Way& way) {
  const fleet::DesiredHost wanted = desired(host);
  const auto sent = send_order(way, {.host = host,
                                     .kind = rpc::EnvelopeKind::desired,
                                     .number = wanted.generation,
                                     .document = fleet::write_desired(wanted),
                                     .line = way.line});
  if (!sent) parts_.log.warning("fleet.not-signed", {{"why", sent.error().to_string()}});
}

Result<void> Control::send_order(const Way& way, rpc::Envelope envelope) {
  if (way.line != 0) {
    SEGUE_ASSIGN(envelope.signature, authority_.sign(rpc::signed_text(envelope)));
  }
  sessions_->send(way.session, std::move(envelope));
  return {};
}

Result<void> Control::want_logs(const std::string& host, std::uint64_t number,
                                std::string document) {
  const auto* attachment = attachments_.find(host);
  if (sessions_ == nullptr || attachment == nullptr ||
      !known_sessions_.contains(attachment->way.session)) {
    return fail(ErrorCode::unavailable, "no agent of host '{}' is attached", host);
  }
  return send_order(attachment->way, {.host = host,
                                      .kind = rpc::EnvelopeKind::logs_wanted,
                                      .number = number,
                                      .document = std::move(document),
                                      .line = attachment->way.line});
}

void Control::set_servers(std::vector<std::string> addresses) {
  if (addresses == servers_) return;
  rpc::Envelope told{.kind = rpc::EnvelopeKind::servers,
                     .document = fleet::write_servers(addresses)};
  auto signature = authority_.sign(rpc::signed_text(told));
  if (!signature) {
    parts_.log.warning("fleet.not-signed", {{"why", signature.error().to_string()}});
    return;
  }
  told.signature = *std::move(signature);
  servers_ = std::move(addresses);
  servers_told_ = std::move(told);
  for (const auto& [id, session] : known_sessions_) {
    if (session.said_hello) send_servers(id);
  }
}

// Of hosts behind a relay that one tells them.
void Control::send_servers(rpc::SessionId session) {
  if (sessions_ == nullptr || servers_.empty()) return;
  rpc::Envelope envelope = servers_told_;
  envelope.host = known_sessions_.at(session).who.name;
  sessions_->send(session, std::move(envelope));
}

fleet::DesiredHost Control::desired(const std::string& host) const {
  fleet::DesiredHost wanted{.fleet = books_.fleet.id,
                            .epoch = books_.fleet.epoch,
                            .generation = first_generation_,
                            .stopped = books_.fleet.stopped};
  if (const auto generation = generations_.find(host); generation != generations_.end()) {
    wanted.generation = generation->second;
  }
  const auto& stored = rollouts_.stored();
  for (auto at = stored.lower_bound({host, "", fleet::Slot::stable});
       at != stored.end() && at->first.host == host; ++at) {
    const auto& [instance, assignment] = *at;
    wanted.instances[{instance.component, instance.slot}] = assignment;
    for (const fleet::Revision revision : {assignment.revision, assignment.stage}) {
      if (const Spec* spec = books_.spec(instance.component, revision)) {
        wanted.specs[{instance.component, revision}] = spec->document;
      }
    }
  }
  wanted.shares = rollouts_.proxies().of(host);
  return wanted;
}

// ---- What persons ask for

void Control::write_host(const HostRecord& host, Deed deed) {
  store::Transaction transaction;
  transaction.put(host_key(host.name), write_record(host));
  ledger_.write(std::move(transaction), {std::move(deed)}, nullptr);
}

Result<void> Control::set_drained(const std::string& host, bool drained, const std::string& by) {
  const auto found = books_.hosts.find(host);
  if (found == books_.hosts.end()) return fail(ErrorCode::not_found, "there is no host '{}'", host);
  if (found->second.drained == drained) return {};
  found->second.drained = drained;
  write_host(found->second, {by, drained ? "host.drain" : "host.undrain", host, ""});
  rollouts_.host_drained(host, drained);
  return {};
}

// As they are wanted, or were seen last.
std::set<std::string> Control::components_on(const std::string& host) const {
  std::set<std::string> components;
  const auto& stored = rollouts_.stored();
  for (auto at = stored.lower_bound({host, "", fleet::Slot::stable});
       at != stored.end() && at->first.host == host; ++at) {
    if (at->second.revision != fleet::kNoRevision) components.insert(at->first.component);
  }
  const auto* attachment = attachments_.find(host);
  if (attachment == nullptr || !attachment->observed) return components;
  for (const auto& [key, seen] : attachment->observed->instances) {
    if (seen.revision != fleet::kNoRevision) components.insert(key.first);
  }
  return components;
}

Result<void> Control::remove_host(const std::string& host, bool force, const std::string& by) {
  const auto found = books_.hosts.find(host);
  if (found == books_.hosts.end() || found->second.revoked) {
    return fail(ErrorCode::not_found, "there is no host '{}'", host);
  }
  if (const auto components = components_on(host); !force && !components.empty()) {
    return fail(ErrorCode::failed_precondition,
                "{} runs {}: take it out of `hosts` in segue.yaml and deploy that first, or force "
                "it, and what runs there goes on with nobody to lead it",
                host, fmt::join(components, ", "));
  }
  found->second.revoked = true;
  write_host(found->second, {by, "host.remove", host, ""});
  if (!found->second.is_relay) rollouts_.host_left(host);
  if (const auto* attachment = attachments_.find(host)) {
    close_way(attachment->way, host,
              {ErrorCode::permission_denied, host + " was removed from the fleet"});
  }
  // One that has not said hello, too.
  for (const auto& [id, session] : known_sessions_) {
    if (session.who.name == host && sessions_ != nullptr) {
      sessions_->close(id, {ErrorCode::permission_denied, host + " was removed from the fleet"});
    }
  }
  attachments_.forget(host);
  return {};
}

void Control::stop(bool on, const std::string& by) {
  if (books_.fleet.stopped == on) return;
  books_.fleet.stopped = on;
  books_.fleet.stopped_by = on ? by : "";
  store::Transaction transaction;
  transaction.put(std::string(kFleetKey), write_record(books_.fleet));
  ledger_.write(std::move(transaction), {{by, on ? "fleet.stop" : "fleet.go-on", "", ""}},
                [this](store::Revision revision) {
                  for (const auto& [host, record] : books_.hosts) changed(host, revision);
                });
  webhooks_.tell({.kind = on ? "fleet.stopped" : "fleet.released",
                  .by = by,
                  .text = on ? "emergency stop: nothing new begins anywhere"
                             : "the emergency stop is lifted"});
  rollouts_.stop(by, on);
}

}  // namespace segue::server
