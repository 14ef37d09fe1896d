// SPDX-License-Identifier: Apache-2.0
#include "server/control.h"

#include <utility>

#include "os/random.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr std::size_t kFleetIdDigits = 16;

}  // namespace

Control::Control(Parts parts, Settings settings, Books books)
    : parts_(parts),
      books_(std::move(books)),
      ledger_(parts.store, parts.scheduler, parts.clock,
              {.on_fatal = settings.on_fatal,
               .on_trouble =
                   [this](const std::string& trouble) {
                     events_.add({.time_ms = milliseconds_of(parts_.clock.realtime_now()),
                                  .severity = trouble.empty() ? "info" : "alarm",
                                  .kind = "store",
                                  .object = parts_.store.name(),
                                  .by = "server",
                                  .text = trouble.empty() ? "writing works again" : trouble});
                   }}),
      attachments_(parts.scheduler,
                   [this](const std::string& host, bool silent) {
                     events_.add({.time_ms = milliseconds_of(parts_.clock.realtime_now()),
                                  .severity = silent ? "warning" : "info",
                                  .kind = "host",
                                  .object = host,
                                  .host = host,
                                  .by = "server",
                                  .text = silent ? "is not heard any more" : "is heard"});
                     rollouts_.host_silent(host, silent);
                   }),
      rollouts_(
          books_, ledger_, parts.scheduler, parts.clock,
          {.on_assigned = [this](const std::string& host,
                                 store::Revision revision) { changed(host, revision); },
           .on_notice =
               [this](const std::string& rollout, const rollout::Notice& notice) {
                 events_.add({.time_ms = milliseconds_of(parts_.clock.realtime_now()),
                              .severity = std::string(to_string(notice.severity)),
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
           }}),
      enrolment_(books_, ledger_, parts.clock, std::move(settings.authority),
                 settings.certificate_lifetime,
                 [this](const HostRecord& host) {
                   attachments_.expect(host.name);
                   rollouts_.host_joined(host);
                 }),
      people_(books_.people, ledger_, parts.clock),
      first_generation_(books_.revision) {
  ledger_.continue_audit(books_.audit.number, books_.audit.digest);
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
}

// ---- Those who call

void Control::join(const rpc::JoinRequest& request, rpc::GiveCredentials give) {
  enrolment_.join(request, std::move(give));
}

void Control::renew(const pki::Certificate& who, const std::string& request_pem,
                    rpc::GiveCredentials give) {
  enrolment_.renew(who, request_pem, std::move(give));
}

Result<void> Control::attached(rpc::SessionId session, const pki::Certificate& who) {
  if (who.identity.role == pki::Role::server) {
    return fail(ErrorCode::permission_denied, "a server does not attach");
  }
  SEGUE_TRY(enrolment_.check_shown(who));
  known_sessions_[session] = {who.identity};
  return {};
}

void Control::received(rpc::SessionId session, rpc::Envelope envelope) {
  const auto found = known_sessions_.find(session);
  if (found == known_sessions_.end()) return;
  const pki::Identity& who = found->second.who;
  if (envelope.host.empty()) envelope.host = who.name;
  const auto host = books_.hosts.find(envelope.host);
  const bool may_speak =
      host != books_.hosts.end() && !host->second.revoked &&
      (who.name == envelope.host ||
       (who.role == pki::Role::relay && books_.hosts.at(who.name).site == host->second.site));
  if (!may_speak) {
    return refuse(session, envelope.host,
                  {ErrorCode::permission_denied,
                   fmt::format("{} may not speak for '{}'", pki::uri_of(who), envelope.host)});
  }
  switch (envelope.kind) {
    case rpc::EnvelopeKind::hello:
      return take_hello(session, envelope);
    case rpc::EnvelopeKind::heartbeat:
      return attachments_.heard(envelope.host, session, envelope.number);
    case rpc::EnvelopeKind::observed:
      attachments_.heard(envelope.host, session, envelope.number);
      return take_observed(envelope);
    default:
      return;  // of a newer version
  }
}

void Control::detached(rpc::SessionId session) {
  known_sessions_.erase(session);
  attachments_.detached(session);
}

void Control::take_hello(rpc::SessionId session, const rpc::Envelope& envelope) {
  auto hello = fleet::read_hello(envelope.document);
  if (!hello) return refuse(session, envelope.host, hello.error());
  if (!hello->fleet.empty() && hello->fleet != books_.fleet.id) {
    return refuse(
        session, envelope.host,
        {ErrorCode::failed_precondition, fmt::format("{} obeys fleet {}, this is {}", envelope.host,
                                                     hello->fleet, books_.fleet.id)});
  }
  const auto replaced = attachments_.hello(envelope.host, session, *std::move(hello));
  if (!replaced) {
    events_.add({.time_ms = milliseconds_of(parts_.clock.realtime_now()),
                 .severity = "alarm",
                 .kind = "host",
                 .object = envelope.host,
                 .host = envelope.host,
                 .by = "server",
                 .text = replaced.error().message()});
    return refuse(session, envelope.host, replaced.error());
  }
  if (*replaced != 0) {
    const auto old = known_sessions_.find(*replaced);
    if (old != known_sessions_.end() && old->second.who.role == pki::Role::host) {
      sessions_->close(*replaced, {ErrorCode::aborted, "the agent has attached again"});
    }
  }
  send_desired(envelope.host);
}

void Control::take_observed(const rpc::Envelope& envelope) {
  auto observed = fleet::read_observed(envelope.document);
  if (!observed) {
    events_.add({.time_ms = milliseconds_of(parts_.clock.realtime_now()),
                 .severity = "warning",
                 .kind = "host",
                 .object = envelope.host,
                 .host = envelope.host,
                 .by = "server",
                 .text = observed.error().message()});
    return;
  }
  attachments_.observed(envelope.host, *observed);
  rollouts_.host_observed(envelope.host, *observed);
}

void Control::refuse(rpc::SessionId session, const std::string& host, const base::Error& why) {
  parts_.log.warning("fleet.refused", {{"host", host}, {"why", why.message()}});
  if (known_sessions_.at(session).who.role == pki::Role::host) {
    return sessions_->close(session, why);
  }
  sessions_->send(session, {host, rpc::EnvelopeKind::refused, 0, why.message()});
}

// ---- What they are to be

void Control::changed(const std::string& host, store::Revision revision) {
  generations_[host] = revision;
  send_desired(host);
}

void Control::send_desired(const std::string& host) {
  const auto* attachment = attachments_.find(host);
  if (sessions_ == nullptr || attachment == nullptr || attachment->session == 0) return;
  const fleet::DesiredHost wanted = desired(host);
  sessions_->send(attachment->session, {host, rpc::EnvelopeKind::desired, wanted.generation,
                                        fleet::write_desired(wanted)});
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

Result<void> Control::remove_host(const std::string& host, const std::string& by) {
  const auto found = books_.hosts.find(host);
  if (found == books_.hosts.end()) return fail(ErrorCode::not_found, "there is no host '{}'", host);
  found->second.revoked = true;
  write_host(found->second, {by, "host.remove", host, ""});
  rollouts_.host_left(host);
  if (const auto* attachment = attachments_.find(host);
      attachment != nullptr && attachment->session != 0 && sessions_ != nullptr) {
    sessions_->close(attachment->session,
                     {ErrorCode::permission_denied, host + " was removed from the fleet"});
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
  rollouts_.stop(by, on);
}

}  // namespace segue::server
