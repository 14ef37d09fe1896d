// SPDX-License-Identifier: Apache-2.0
// Hosts, instances, components and rollouts.
#include <nlohmann/json.hpp>
#include <utility>

#include "server/api.h"
#include "server/api_answers.h"
#include "server/api_bodies.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::Result;
using Json = nlohmann::json;

constexpr std::size_t kMaxInstances = 1'000;

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

HttpAnswer only_limited(const Person& person) {
  return answer_of(
      {ErrorCode::permission_denied,
       fmt::format("{} may deploy some components only, and this concerns all", person.name)});
}

// Of a canary behind a proxy: what the agent that speaks with it saw last.
void add_proxy(Control& control, const fleet::InstanceId& instance, Json& json) {
  const std::string host = control.rollouts().proxies().proxy_host(instance);
  if (host.empty() || instance.slot != fleet::Slot::canary) return;
  Json proxy{{"host", host}, {"result", "none"}, {"text", ""}, {"open", 0}};
  const auto* attachment = control.attachments().find(host);
  if (attachment != nullptr && attachment->observed) {
    const auto seen = attachment->observed->shares.find(instance.component);
    if (seen != attachment->observed->shares.end()) {
      proxy["result"] = to_string(seen->second.result);
      proxy["text"] = seen->second.text;
      const auto* canary = seen->second.find(instance.host);
      if (canary != nullptr) proxy["open"] = canary->open;
    }
  }
  json["proxy"] = std::move(proxy);
}

}  // namespace

void Api::give_done(const Call& call, const Result<void>& done) {
  if (!done) return call.give(answer_of(done.error()));
  control_.when_stored([give = call.give] { give(json_answer(Json{{"done", true}})); });
}

void Api::status(const Call& call) {
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

void Api::hosts(const Call& call) {
  Json list = Json::array();
  const auto now = control_.scheduler_now();
  for (const auto& [name, host] : control_.books().hosts) {
    if (host.revoked) continue;
    Json json{{"name", name},
              {"site", host.site},
              {"labels", host.labels},
              {"joined_ms", host.joined_ms},
              {"drained", host.drained},
              {"relay", host.is_relay}};
    if (const auto* attachment = control_.attachments().find(name)) {
      json["silent"] = attachment->silent;
      json["attached"] = attachment->way.session != 0;
      json["through"] = control_.relay_of(attachment->way);
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

void Api::drain(const Call& call) {
  const auto on = read_switch_body(call.request.body);
  if (!on) return call.give(answer_of(on.error()));
  if (!call.person.may(Right::deploy, "")) return call.give(only_limited(call.person));
  give_done(call, control_.set_drained(call.rest[0], *on, call.person.name));
}

void Api::remove_host(const Call& call) {
  const std::string force = text_asked(call.request, "force");
  if (!force.empty() && force != "true" && force != "false") {
    return call.give(answer_of({ErrorCode::invalid_argument,
                                fmt::format("force: '{}' is neither true nor false", force)}));
  }
  give_done(call, control_.remove_host(call.rest[0], force == "true", call.person.name));
}

void Api::instances(const Call& call) {
  Json list = Json::array();
  for (const auto& [instance, assignment] : control_.rollouts().stored()) {
    const auto host = control_.books().hosts.find(instance.host);
    if (host == control_.books().hosts.end() || host->second.revoked) continue;
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
    add_proxy(control_, instance, json);
    list.push_back(std::move(json));
  }
  call.give(json_answer(Json{{"instances", list}}));
}

void Api::components(const Call& call) {
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

void Api::rollouts(const Call& call) {
  Json list = Json::array();
  const auto version_of = [this](const std::string& component, fleet::Revision revision) {
    const Spec* spec = control_.books().spec(component, revision);
    return spec == nullptr ? std::string() : spec->spec.release.version;
  };
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
                        {"base_version", version_of(head.component, head.base)},
                        {"target", head.target},
                        {"target_version", version_of(head.component, head.target)},
                        {"text", head.text}});
  }
  call.give(json_answer(Json{{"rollouts", list}}));
}

void Api::rollout(const Call& call) {
  const auto instances = number_asked(call.request, "instances");
  if (!instances) return call.give(answer_of(instances.error()));
  const auto progress = control_.rollouts().progress(call.rest[0], *instances);
  if (!progress) {
    return call.give(
        answer_of({ErrorCode::not_found, fmt::format("there is no rollout '{}'", call.rest[0])}));
  }
  call.give({.body = rollout::write_progress(*progress)});
}

void Api::rollout_instances(const Call& call) {
  const auto step = number_asked(call.request, "step");
  const auto first = number_asked(call.request, "first");
  if (!step || !first) return call.give(answer_of((step ? first : step).error()));
  const auto instances = control_.rollouts().instances(
      call.rest[0], static_cast<std::uint32_t>(*step), *first, kMaxInstances);
  if (!instances) {
    return call.give(
        answer_of({ErrorCode::not_found, fmt::format("there is no rollout '{}'", call.rest[0])}));
  }
  call.give({.body = rollout::write_instances(*instances)});
}

void Api::rollout_action(const Call& call) {
  const auto body = read_action_body(call.request.body);
  if (!body) return call.give(answer_of(body.error()));
  const std::string& by = call.person.name;
  const std::string& action = call.rest[1];
  std::optional<rollout::Event> event;
  if (action == "pause") event = rollout::Pause{by, body->why};
  if (action == "resume") event = rollout::Resume{by};
  if (action == "promote") event = rollout::Promote{by, body->all};
  if (action == "undo" || action == "abort") event = rollout::Undo{by, body->why};
  if (action == "approve") event = rollout::Approve{by};
  if (!event) {
    return call.give(answer_of(
        {ErrorCode::not_found, fmt::format("a rollout cannot be asked to '{}'", action)}));
  }
  const auto stored = control_.books().rollouts.find(call.rest[0]);
  if (stored == control_.books().rollouts.end()) {
    return call.give(
        answer_of({ErrorCode::not_found, fmt::format("there is no rollout '{}'", call.rest[0])}));
  }
  const Right right = action == "approve" ? Right::approve : Right::deploy;
  const std::string& component = stored->second.head.component;
  if (!call.person.may(right, component)) {
    return call.give(
        answer_of({ErrorCode::permission_denied,
                   fmt::format("{} may not {} a rollout of {}: that takes the right '{}'", by,
                               action, component, to_string(right))}));
  }
  give_done(call, control_.rollouts().command(call.rest[0], *event));
}

void Api::stop(const Call& call) {
  const auto on = read_switch_body(call.request.body);
  if (!on) return call.give(answer_of(on.error()));
  if (!call.person.may(Right::deploy, "")) return call.give(only_limited(call.person));
  if (!*on && !call.person.may(Right::administer)) {
    return call.give(
        answer_of({ErrorCode::permission_denied,
                   fmt::format("{} may stop the fleet, and not let it go on: that takes the right "
                               "'administer'",
                               call.person.name)}));
  }
  control_.stop(*on, call.person.name);
  give_done(call, {});
}

}  // namespace segue::server
