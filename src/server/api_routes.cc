// SPDX-License-Identifier: Apache-2.0
// What each route of the interface does.
#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <utility>

#include "fleet/component_document.h"
#include "fleet/strategy.h"
#include "server/api.h"
#include "server/event_text.h"
#include "tuf/json.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxEvents = 1'000;
constexpr std::size_t kMaxInstances = 1'000;

HttpAnswer json_answer(const Json& json, unsigned status = 200) {
  return {.status = status,
          .body = json.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n"};
}

HttpAnswer answer_of(const Result<void>& result) {
  return result ? json_answer(Json{{"done", true}}) : server::answer_of(result.error());
}

// The body's object; an empty body is an empty one. Members that are not `known` are refused.
Result<Json> body_of(const HttpRequest& request, const std::vector<std::string>& known) {
  if (request.body.empty()) return Json::object();
  SEGUE_ASSIGN(Json json, tuf::parse_json(request.body));
  if (!json.is_object()) return fail(ErrorCode::invalid_argument, "the body is no JSON object");
  for (const auto& [name, value] : json.items()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    return fail(ErrorCode::invalid_argument, "'{}' is not known here", name);
  }
  return json;
}

Result<std::string> text_in(const Json& body, const char* name) {
  const auto found = body.find(name);
  if (found == body.end()) return std::string();
  if (!found->is_string()) return fail(ErrorCode::invalid_argument, "'{}' is no text", name);
  return found->get<std::string>();
}

Result<std::uint64_t> number_in(const Json& body, const char* name, std::uint64_t otherwise) {
  const auto found = body.find(name);
  if (found == body.end()) return otherwise;
  if (!found->is_number_unsigned()) {
    return fail(ErrorCode::invalid_argument, "'{}' is no number", name);
  }
  return found->get<std::uint64_t>();
}

Result<bool> truth_in(const Json& body, const char* name, bool otherwise) {
  const auto found = body.find(name);
  if (found == body.end()) return otherwise;
  if (!found->is_boolean()) {
    return fail(ErrorCode::invalid_argument, "'{}' is neither true nor false", name);
  }
  return found->get<bool>();
}

Result<std::uint64_t> number_asked(const HttpRequest& request, const char* name) {
  const auto found = request.query.find(name);
  if (found == request.query.end()) return 0;
  std::uint64_t number = 0;
  const char* end = found->second.data() + found->second.size();
  const auto [at, error] = std::from_chars(found->second.data(), end, number);
  if (error == std::errc() && at == end) return number;
  return fail(ErrorCode::invalid_argument, "{}: '{}' is no number", name, found->second);
}

Json json_of(const fleet::Observation& seen) {
  Json json{{"revision", seen.revision},
            {"staged", seen.staged},
            {"order", seen.order},
            {"result", to_string(seen.result)},
            {"text", seen.text},
            {"activity", to_string(seen.activity)},
            {"health", to_string(seen.health)},
            {"health_text", seen.health_text},
            {"connections", seen.connections},
            {"accepted", seen.accepted},
            {"crashes", seen.crashes}};
  if (seen.handoff) {
    json["handoff"] = Json{{"connections", seen.handoff->connections},
                           {"lost", seen.handoff->lost},
                           {"blackout_us", seen.handoff->blackout_us}};
  }
  return json;
}

}  // namespace

void Api::status(Call call) {
  const Books& books = control_.books();
  std::size_t silent = 0;
  for (const auto& [name, host] : books.hosts) {
    if (!host.revoked && control_.attachments().is_silent(name)) ++silent;
  }
  std::size_t under_way = 0;
  for (const auto& [id, stored] : books.rollouts) {
    if (!is_final(stored.head.phase)) ++under_way;
  }
  call.give(json_answer(Json{{"fleet", books.fleet.id},
                             {"epoch", books.fleet.epoch},
                             {"stopped", books.fleet.stopped},
                             {"stopped_by", books.fleet.stopped_by},
                             {"hosts", books.hosts.size()},
                             {"silent", silent},
                             {"components", books.components.size()},
                             {"rollouts_under_way", under_way},
                             {"audit_entries", control_.ledger().audit_number()},
                             {"audit_digest", control_.ledger().audit_digest()},
                             {"trouble", control_.ledger().trouble()},
                             {"person", call.person.name}}));
}

void Api::hosts(Call call) {
  Json list = Json::array();
  const auto now = control_.scheduler_now();
  for (const auto& [name, host] : control_.books().hosts) {
    if (host.revoked) continue;
    Json json{{"name", name},
              {"site", host.site},
              {"labels", host.labels},
              {"joined_ms", host.joined_ms},
              {"drained", host.drained}};
    if (const auto* attachment = control_.attachments().find(name)) {
      json["silent"] = attachment->silent;
      json["attached"] = attachment->session != 0;
      json["heard_ms_ago"] =
          std::chrono::duration_cast<std::chrono::milliseconds>(now - attachment->heard).count();
      json["version"] = attachment->hello.program_version;
      json["observe_only"] = attachment->hello.observe_only;
      json["generation"] = attachment->generation;
      json["trouble"] = attachment->observed ? attachment->observed->trouble : "";
    }
    list.push_back(std::move(json));
  }
  call.give(json_answer(Json{{"hosts", list}}));
}

void Api::drain(Call call) {
  const auto body = body_of(call.request, {"on"});
  if (!body) return call.give(server::answer_of(body.error()));
  const auto on = truth_in(*body, "on", true);
  if (!on) return call.give(server::answer_of(on.error()));
  call.give(answer_of(control_.set_drained(call.rest[0], *on, call.person.name)));
}

void Api::remove_host(Call call) {
  call.give(answer_of(control_.remove_host(call.rest[0], call.person.name)));
}

void Api::instances(Call call) {
  Json list = Json::array();
  for (const auto& [instance, assignment] : control_.rollouts().stored()) {
    Json json{{"host", instance.host},
              {"component", instance.component},
              {"slot", to_string(instance.slot)},
              {"wanted", assignment.revision},
              {"order", assignment.order},
              {"share_ppm", assignment.share_ppm}};
    const auto* attachment = control_.attachments().find(instance.host);
    json["silent"] = attachment == nullptr || attachment->silent;
    if (attachment != nullptr && attachment->observed) {
      const auto seen = attachment->observed->instances.find({instance.component, instance.slot});
      if (seen != attachment->observed->instances.end()) json["seen"] = json_of(seen->second);
    }
    if (const Spec* spec = control_.books().spec(instance.component, assignment.revision)) {
      json["version"] = spec->spec.release.version;
    }
    list.push_back(std::move(json));
  }
  call.give(json_answer(Json{{"instances", list}}));
}

void Api::components(Call call) {
  Json list = Json::array();
  for (const auto& [name, component] : control_.books().components) {
    Json json{{"name", name}, {"current", component.current}, {"newest", component.newest}};
    if (const Spec* spec = control_.books().spec(name, component.current)) {
      json["version"] = spec->spec.release.version;
    }
    list.push_back(std::move(json));
  }
  call.give(json_answer(Json{{"components", list}}));
}

void Api::deploy(Call call) {
  const auto body = body_of(call.request, {"component", "strategy", "title"});
  if (!body) return call.give(server::answer_of(body.error()));
  const auto component = body->find("component");
  if (component == body->end()) {
    return call.give(server::answer_of({ErrorCode::invalid_argument, "'component' is missing"}));
  }
  auto spec = fleet::read_component(component->dump());
  if (!spec) return call.give(server::answer_of(spec.error()));
  auto strategy = Result<fleet::Strategy>(fleet::careful(fleet::StrategyKind::rolling));
  if (const auto given = body->find("strategy"); given != body->end()) {
    strategy = fleet::read_strategy(given->dump());
  }
  if (!strategy) return call.give(server::answer_of(strategy.error()));
  auto title = text_in(*body, "title");
  if (!title) return call.give(server::answer_of(title.error()));
  if (title->empty()) title = fmt::format("{} {}", spec->name, spec->release.version);
  control_.rollouts().deploy(
      {*std::move(spec), *std::move(strategy), call.person.name, *std::move(title)},
      [give = call.give](const Result<Deployed>& deployed) {
        if (!deployed) return give(server::answer_of(deployed.error()));
        give(json_answer(Json{{"rollout", deployed->rollout},
                              {"revision", deployed->revision},
                              {"text", deployed->text}},
                         deployed->rollout.empty() ? 200 : 201));
      });
}

void Api::rollouts(Call call) {
  Json list = Json::array();
  for (const auto& [id, stored] : control_.books().rollouts) {
    const rollout::Engine* engine = control_.rollouts().engine(id);
    const rollout::Rollout& head = engine != nullptr ? engine->head() : stored.head;
    list.push_back(Json{{"id", id},
                        {"component", head.component},
                        {"title", head.title},
                        {"author", head.author},
                        {"phase", to_string(head.phase)},
                        {"step", head.step},
                        {"steps", head.steps.size()},
                        {"paused", head.paused},
                        {"created_ms", head.created_ms},
                        {"ended_ms", head.ended_ms},
                        {"base", head.base},
                        {"target", head.target},
                        {"text", head.text}});
  }
  call.give(json_answer(Json{{"rollouts", list}}));
}

void Api::rollout(Call call) {
  const auto progress = control_.rollouts().progress(call.rest[0]);
  if (!progress) {
    return call.give(server::answer_of(
        {ErrorCode::not_found, fmt::format("there is no rollout '{}'", call.rest[0])}));
  }
  call.give({.body = rollout::write_progress(*progress)});
}

void Api::rollout_instances(Call call) {
  const auto step = number_asked(call.request, "step");
  const auto first = number_asked(call.request, "first");
  if (!step || !first) return call.give(server::answer_of((step ? first : step).error()));
  const rollout::Engine* engine = control_.rollouts().engine(call.rest[0]);
  if (engine == nullptr) {
    return call.give(server::answer_of(
        {ErrorCode::not_found, fmt::format("no rollout '{}' is under way", call.rest[0])}));
  }
  call.give({.body = rollout::write_instances(
                 engine->instances(static_cast<std::uint32_t>(*step), *first, kMaxInstances))});
}

void Api::rollout_action(Call call) {
  const auto body = body_of(call.request, {"why", "all"});
  if (!body) return call.give(server::answer_of(body.error()));
  const auto why = text_in(*body, "why");
  const auto all = truth_in(*body, "all", false);
  if (!why) return call.give(server::answer_of(why.error()));
  if (!all) return call.give(server::answer_of(all.error()));
  const std::string& by = call.person.name;
  const std::string& action = call.rest[1];
  const Right right = action == "approve" ? Right::approve : Right::deploy;
  if (!call.person.may(right)) {
    return call.give(server::answer_of(
        {ErrorCode::permission_denied,
         fmt::format("{} may not {}: that takes the right '{}'", by, action, to_string(right))}));
  }
  std::optional<rollout::Event> event;
  if (action == "pause") event = rollout::Pause{by, *why};
  if (action == "resume") event = rollout::Resume{by};
  if (action == "promote") event = rollout::Promote{by, *all};
  if (action == "undo" || action == "abort") event = rollout::Undo{by, *why};
  if (action == "approve") event = rollout::Approve{by};
  if (!event) {
    return call.give(server::answer_of(
        {ErrorCode::not_found, fmt::format("a rollout cannot be asked to '{}'", action)}));
  }
  call.give(answer_of(control_.rollouts().command(call.rest[0], *event)));
}

void Api::stop(Call call) {
  const auto body = body_of(call.request, {"on"});
  if (!body) return call.give(server::answer_of(body.error()));
  const auto on = truth_in(*body, "on", true);
  if (!on) return call.give(server::answer_of(on.error()));
  if (!*on && !call.person.may(Right::administer)) {
    return call.give(server::answer_of(
        {ErrorCode::permission_denied,
         fmt::format("{} may stop the fleet, and not let it go on", call.person.name)}));
  }
  control_.stop(*on, call.person.name);
  call.give(json_answer(Json{{"done", true}}));
}

void Api::tokens(Call call) {
  Json list = Json::array();
  for (const auto& [id, token] : control_.books().tokens) {
    list.push_back(Json{{"id", id},
                        {"site", token.site},
                        {"uses_left", token.uses_left},
                        {"expires_ms", token.expires_ms},
                        {"by", token.by}});
  }
  call.give(json_answer(Json{{"tokens", list}}));
}

void Api::make_token(Call call) {
  const auto body = body_of(call.request, {"site", "uses", "lifetime_s"});
  if (!body) return call.give(server::answer_of(body.error()));
  const auto site = text_in(*body, "site");
  const auto uses = number_in(*body, "uses", 1);
  const auto lifetime_s = number_in(*body, "lifetime_s", 3'600);
  if (!site) return call.give(server::answer_of(site.error()));
  if (!uses || !lifetime_s) return call.give(server::answer_of((uses ? lifetime_s : uses).error()));
  if (*uses > Enrolment::kMaxUses || *lifetime_s > 366U * 86'400U) {
    return call.give(server::answer_of({ErrorCode::invalid_argument, "the number is too large"}));
  }
  control_.enrolment().make_token({.site = *site,
                                   .uses = static_cast<std::uint32_t>(*uses),
                                   .lifetime = std::chrono::seconds(*lifetime_s),
                                   .by = call.person.name},
                                  join_address_,
                                  [give = call.give](const Result<std::string>& token) {
                                    if (!token) return give(server::answer_of(token.error()));
                                    give(json_answer(Json{{"token", *token}}, 201));
                                  });
}

void Api::revoke_token(Call call) {
  call.give(answer_of(control_.enrolment().revoke_token(call.rest[0], call.person.name)));
}

void Api::people(Call call) {
  Json list = Json::array();
  for (const auto& [name, person] : control_.people().all()) {
    Json rights = Json::array();
    for (const Right right : person.rights) rights.push_back(to_string(right));
    list.push_back(Json{{"name", name}, {"rights", rights}, {"created_ms", person.created_ms}});
  }
  call.give(json_answer(Json{{"people", list}}));
}

void Api::set_person(Call call) {
  const auto body = body_of(call.request, {"rights"});
  if (!body) return call.give(server::answer_of(body.error()));
  std::vector<Right> rights;
  for (const auto& word : body->value("rights", Json::array())) {
    const auto right = word.is_string() ? right_of(word.get<std::string>()) : std::nullopt;
    if (!right) {
      return call.give(server::answer_of(
          {ErrorCode::invalid_argument, "rights are view, deploy, approve and administer"}));
    }
    rights.push_back(*right);
  }
  control_.people().set(call.rest[0], std::move(rights), call.person.name,
                        [give = call.give](const Result<std::string>& token) {
                          if (!token) return give(server::answer_of(token.error()));
                          give(json_answer(Json{{"token", *token}}, 201));
                        });
}

void Api::remove_person(Call call) {
  call.give(answer_of(control_.people().remove(call.rest[0], call.person.name)));
}

void Api::events(Call call) {
  const auto after = number_asked(call.request, "after");
  if (!after) return call.give(server::answer_of(after.error()));
  const auto object = call.request.query.find("object");
  Json list = Json::array();
  for (const auto& event : control_.events().after(
           *after, kMaxEvents, object == call.request.query.end() ? "" : object->second)) {
    list.push_back(json_of(event));
  }
  call.give(json_answer(Json{{"events", list}, {"last", control_.events().last()}}));
}

// https://html.spec.whatwg.org/multipage/server-sent-events.html
void Api::follow_events(Call call) {
  const auto asked = number_asked(call.request, "after");
  if (!asked) return call.give(server::answer_of(asked.error()));
  std::uint64_t after = *asked;
  if (const auto seen = call.request.fields.find("last-event-id");
      seen != call.request.fields.end()) {
    (void)std::from_chars(seen->second.data(), seen->second.data() + seen->second.size(), after);
  }
  const auto object = call.request.query.find("object");
  const std::string of = object == call.request.query.end() ? "" : object->second;
  call.give(
      {.type = "text/event-stream",
       .follow = [&events = control_.events(), after, of](const std::shared_ptr<EventSink>& sink) {
         for (const auto& event : events.after(after, EventLog::kMaxKept, of)) {
           if (!sink->send(server_sent(event))) return;
         }
         const auto watch = std::make_shared<std::uint64_t>(0);
         *watch = events.watch([&events, sink, of, watch](const FleetEvent& event) {
           if (!of.empty() && event.object != of) return;
           if (!sink->send(server_sent(event))) events.unwatch(*watch);
         });
       }});
}

}  // namespace segue::server
