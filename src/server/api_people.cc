// SPDX-License-Identifier: Apache-2.0
// People, tokens, webhooks, and what happened: events, the audit log, figures.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "fleet/servers.h"
#include "server/api.h"
#include "server/api_answers.h"
#include "server/api_bodies.h"
#include "server/event_text.h"
#include "server/fleet_metrics.h"
#include "server/openapi.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxEvents = 1'000;

HttpAnswer secret_answer(const Result<std::string>& secret, const char* name) {
  return secret ? json_answer(Json{{name, *secret}}, 201) : answer_of(secret.error());
}

}  // namespace

// ---- Tokens and people

void Api::tokens(const Call& call) {
  Json list = Json::array();
  for (const auto& [id, token] : control_.books().tokens) {
    list.push_back(Json{{"id", id},
                        {"site", token.site},
                        {"relay", token.is_relay},
                        {"uses_left", token.uses_left},
                        {"expires_ms", token.expires_ms},
                        {"by", token.by}});
  }
  call.give(json_answer(Json{{"tokens", list}}));
}

void Api::make_token(const Call& call) {
  const auto body = read_token_body(call.request.body);
  if (!body) return call.give(answer_of(body.error()));
  std::vector<std::string> servers{join_address_};
  for (const auto& server : control_.servers()) {
    if (server != join_address_ && servers.size() < fleet::kMaxServers) servers.push_back(server);
  }
  control_.enrolment().make_token({.site = body->site,
                                   .is_relay = body->is_relay,
                                   .uses = body->uses,
                                   .lifetime = body->lifetime,
                                   .by = call.person.name},
                                  std::move(servers),
                                  [give = call.give](const Result<std::string>& token) {
                                    give(secret_answer(token, "token"));
                                  });
}

void Api::revoke_token(const Call& call) {
  give_done(call, control_.enrolment().revoke_token(call.rest[0], call.person.name));
}

void Api::people(const Call& call) {
  Json list = Json::array();
  for (const auto& [name, person] : control_.people().all()) {
    Json rights = Json::array();
    for (const Right right : person.rights) rights.push_back(to_string(right));
    Json keys = Json::array();
    for (const auto& key : person.keys) keys.push_back(key.id);
    list.push_back(Json{{"name", name},
                        {"rights", rights},
                        {"components", person.components},
                        {"keys", keys},
                        {"created_ms", person.created_ms}});
  }
  call.give(json_answer(Json{{"people", list}}));
}

void Api::set_person(const Call& call) {
  auto body = read_person_body(call.request.body);
  if (!body) return call.give(answer_of(body.error()));
  control_.people().set(
      call.rest[0], {std::move(body->rights), std::move(body->components), std::move(body->keys)},
      call.person.name, [give = call.give](const Result<std::string>& token) {
        give(secret_answer(token, "token"));
      });
}

void Api::remove_person(const Call& call) {
  give_done(call, control_.people().remove(call.rest[0], call.person.name));
}

// ---- What happened

void Api::events(const Call& call) {
  const auto after = number_asked(call.request, "after");
  if (!after) return call.give(answer_of(after.error()));
  Json list = Json::array();
  for (const auto& event :
       control_.events().after(*after, kMaxEvents, text_asked(call.request, "object"))) {
    list.push_back(json_of(event));
  }
  call.give(json_answer(Json{{"events", list}, {"last", control_.events().last()}}));
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html
void Api::follow_events(const Call& call) {
  const auto asked = number_asked(call.request, "after");
  if (!asked) return call.give(answer_of(asked.error()));
  std::uint64_t after = *asked;
  if (const auto seen = call.request.fields.find("last-event-id");
      seen != call.request.fields.end()) {
    (void)std::from_chars(seen->second.data(), seen->second.data() + seen->second.size(), after);
  }
  const std::string of = text_asked(call.request, "object");
  call.give(
      {.type = "text/event-stream",
       .follow = [&events = control_.events(), after, of](const std::shared_ptr<EventSink>& sink) {
         for (const auto& event : events.after(after, EventLog::kMaxKept, of)) {
           if (!sink->send(server_sent(event))) return;
         }
         const auto watch = std::make_shared<std::uint64_t>(0);
         *watch = events.watch(
             [&events, sink, of, watch](const FleetEvent& event) {
               if (!of.empty() && event.object != of) return;
               if (!sink->send(server_sent(event))) events.unwatch(*watch);
             },
             [sink] { return sink->is_gone(); });
       }});
}

// The entries as they are stored, so that whoever asks can hash them.
void Api::audit(const Call& call) {
  const auto after = number_asked(call.request, "after");
  if (!after) return call.give(answer_of(after.error()));
  const std::uint64_t last = control_.ledger().audit_number();
  const std::string digest = control_.ledger().audit_digest();
  control_.store().list(
      {.prefix = std::string(kAudit), .after = audit_key(*after)},
      [give = call.give, last, digest](const Result<store::Page>& page) {
        if (!page) return give(answer_of(page.error()));
        Json lines = Json::array();
        for (const auto& entry : page->entries) lines.push_back(entry.value);
        give(json_answer(
            Json{{"lines", lines}, {"more", page->has_more}, {"last", last}, {"digest", digest}}));
      });
}

// ---- Webhooks

void Api::webhooks(const Call& call) {
  Json list = Json::array();
  for (const auto& [name, webhook] : control_.webhooks().all()) {
    list.push_back(Json{{"name", name},
                        {"url", webhook.url},
                        {"kinds", webhook.kinds},
                        {"by", webhook.by},
                        {"created_ms", webhook.created_ms},
                        {"sent", webhook.sent},
                        {"missed", webhook.missed},
                        {"gone", webhook.gone},
                        {"trouble", control_.webhooks().trouble(name)}});
  }
  call.give(json_answer(Json{{"webhooks", list}, {"waiting", control_.webhooks().waiting()}}));
}

void Api::set_webhook(const Call& call) {
  auto body = read_webhook_body(call.request.body);
  if (!body) return call.give(answer_of(body.error()));
  control_.webhooks().set(call.rest[0], body->url, std::move(body->kinds), call.person.name,
                          [give = call.give](const Result<std::string>& secret) {
                            give(secret_answer(secret, "secret"));
                          });
}

void Api::remove_webhook(const Call& call) {
  give_done(call, control_.webhooks().remove(call.rest[0], call.person.name));
}

void Api::test_webhook(const Call& call) {
  const auto begun = control_.webhooks().test(
      call.rest[0], call.person.name, [give = call.give](const Result<long>& status) {
        const bool is_taken = status && *status >= 200 && *status < 300;
        give(json_answer(Json{{"taken", is_taken},
                              {"status", status ? *status : 0},
                              {"text", status ? fmt::format("the answer was {}", *status)
                                              : status.error().message()}}));
      });
  if (!begun) call.give(answer_of(begun.error()));
}

// ---- For programs

void Api::description(const Call& call) {
  call.give({.body = std::string(openapi_document())});
}

void Api::metrics(const Call& call) {
  const Books& books = control_.books();
  FleetFigures figures{.is_stopped = books.fleet.stopped,
                       .has_trouble = !control_.ledger().trouble().empty(),
                       .store = control_.ledger().latency(),
                       .store_waiting = control_.ledger().waiting(),
                       .audit_entries = control_.ledger().audit_number(),
                       .requests = *counts_,
                       .webhooks = control_.webhooks().figures(),
                       .webhooks_waiting = control_.webhooks().waiting()};
  for (const auto phase :
       {rollout::Phase::waiting, rollout::Phase::preparing, rollout::Phase::running,
        rollout::Phase::watching, rollout::Phase::undoing, rollout::Phase::done,
        rollout::Phase::undone, rollout::Phase::failed, rollout::Phase::superseded}) {
    figures.rollouts[std::string(to_string(phase))] = 0;
  }
  for (const auto& [id, stored] : books.rollouts) {
    ++figures.rollouts[std::string(to_string(stored.head.phase))];
  }
  figures.hosts = {{"heard", 0}, {"silent", 0}};
  for (const auto& [name, host] : books.hosts) {
    if (host.revoked) continue;
    ++figures.hosts[control_.attachments().is_silent(name) ? "silent" : "heard"];
    if (host.drained) ++figures.hosts_drained;
    const auto* attachment = control_.attachments().find(name);
    if (attachment == nullptr) continue;
    if (attachment->way.session != 0) ++figures.agents_attached;
    if (!attachment->observed) continue;
    for (const auto& [key, seen] : attachment->observed->instances) {
      if (!books.components.contains(key.first)) continue;
      ++figures.instances[{key.first, std::string(to_string(key.second)),
                           std::string(to_string(seen.health))}];
      figures.connections[key.first] += seen.connections;
    }
  }
  call.give({.type = kMetricsType, .body = write_metrics(figures)});
}

}  // namespace segue::server
