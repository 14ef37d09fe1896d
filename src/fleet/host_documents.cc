// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>

#include "fleet/host.h"
#include "tuf/fields.h"
#include "tuf/json.h"

namespace segue::fleet {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using tuf::Fields;
using tuf::Json;

constexpr std::size_t kMaxTextBytes = 2'000;

Result<Fields> open(std::string_view bytes, const char* format, const std::string& what) {
  if (bytes.size() > kMaxHostDocumentBytes) {
    return fail(ErrorCode::data_loss, "{} of {} bytes; {} are allowed", what, bytes.size(),
                kMaxHostDocumentBytes);
  }
  SEGUE_ASSIGN(Json json, tuf::parse_json(bytes));
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), what));
  SEGUE_TRY(fields.number(format, 1));  // newer ones only add
  return fields;
}

// What is missing is empty: who writes it may be older.
Result<std::string> text_if_any(Fields& fields, const char* name,
                                std::size_t max_bytes = kMaxTextBytes) {
  const Json json = fields.take_if_any(name);
  if (json.is_null()) return std::string();
  if (!json.is_string() || json.get_ref<const std::string&>().size() > max_bytes) {
    return fail(ErrorCode::data_loss, "'{}' of {} is no text of at most {} bytes", name,
                fields.what(), max_bytes);
  }
  return json.get<std::string>();
}

Result<std::uint64_t> number_if_any(Fields& fields, const char* name) {
  SEGUE_ASSIGN(const auto number, fields.number_if_any(name));
  return number.value_or(0);
}

Result<bool> truth_if_any(Fields& fields, const char* name) {
  SEGUE_ASSIGN(const auto truth, fields.boolean_if_any(name));
  return truth.value_or(false);
}

// A word that a newer version has added is `otherwise`.
template <class Value>
Result<Value> word_if_any(Fields& fields, const char* name, Value otherwise,
                          std::optional<Value> (*value_of)(std::string_view)) {
  SEGUE_ASSIGN(const std::string word, text_if_any(fields, name));
  return value_of(word).value_or(otherwise);
}

Result<Json> list(Fields& fields, const char* name, std::size_t max_size) {
  Json json = fields.take_if_any(name);
  if (json.is_null()) return Json::array();
  if (!json.is_array() || json.size() > max_size) {
    return fail(ErrorCode::data_loss, "'{}' of {} is no list of at most {}", name, fields.what(),
                max_size);
  }
  return json;
}

Result<SlotKey> read_key(Fields& fields) {
  SEGUE_ASSIGN(std::string component, fields.string("component"));
  SEGUE_ASSIGN(const std::string word, fields.string("slot"));
  const auto slot = slot_of(word);
  if (!slot || component.empty() || component.size() > kMaxOrderBytes) {
    return fail(ErrorCode::data_loss, "{} names no instance: '{}', '{}'", fields.what(), component,
                word);
  }
  return SlotKey{std::move(component), *slot};
}

Result<HandoffFigures> read_figures(Json json) {
  SEGUE_ASSIGN(Fields fields, Fields::of(std::move(json), "the figures of a handoff"));
  HandoffFigures figures;
  SEGUE_ASSIGN(figures.connections, number_if_any(fields, "connections"));
  SEGUE_ASSIGN(figures.lost, number_if_any(fields, "lost"));
  SEGUE_ASSIGN(figures.blackout_us, number_if_any(fields, "blackout_us"));
  return figures;
}

Result<Observation> read_observation(Fields& fields) {
  Observation seen;
  SEGUE_ASSIGN(seen.revision, number_if_any(fields, "revision"));
  SEGUE_ASSIGN(seen.staged, number_if_any(fields, "staged"));
  SEGUE_ASSIGN(seen.order, text_if_any(fields, "order", kMaxOrderBytes));
  SEGUE_ASSIGN(seen.result, word_if_any(fields, "result", OrderResult::unknown, &order_result_of));
  SEGUE_ASSIGN(seen.text, text_if_any(fields, "text"));
  SEGUE_ASSIGN(seen.activity, word_if_any(fields, "activity", Activity::idle, &activity_of));
  SEGUE_ASSIGN(seen.health, word_if_any(fields, "health", Health::unknown, &health_of));
  SEGUE_ASSIGN(seen.health_text, text_if_any(fields, "health_text"));
  SEGUE_ASSIGN(seen.health_since_ms, number_if_any(fields, "health_since_ms"));
  Json handoff = fields.take_if_any("handoff");
  if (!handoff.is_null()) {
    SEGUE_ASSIGN(seen.handoff, read_figures(std::move(handoff)));
  }
  SEGUE_ASSIGN(seen.connections, number_if_any(fields, "connections"));
  SEGUE_ASSIGN(seen.accepted, number_if_any(fields, "accepted"));
  SEGUE_ASSIGN(seen.crashes, number_if_any(fields, "crashes"));
  return seen;
}

Result<std::uint32_t> share_if_any(Fields& fields) {
  SEGUE_ASSIGN(const std::uint64_t share_ppm, number_if_any(fields, "share_ppm"));
  if (share_ppm <= kWholeShare) return static_cast<std::uint32_t>(share_ppm);
  return fail(ErrorCode::data_loss, "a share of {} millionths", share_ppm);
}

Result<Assignment> read_assignment(Fields& fields) {
  Assignment assignment;
  SEGUE_ASSIGN(assignment.revision, number_if_any(fields, "revision"));
  SEGUE_ASSIGN(assignment.stage, number_if_any(fields, "stage"));
  SEGUE_ASSIGN(assignment.order, text_if_any(fields, "order", kMaxOrderBytes));
  SEGUE_ASSIGN(assignment.share_ppm, share_if_any(fields));
  SEGUE_ASSIGN(assignment.share_salt, number_if_any(fields, "share_salt"));
  SEGUE_ASSIGN(assignment.renew, truth_if_any(fields, "renew"));
  return assignment;
}

template <class Value>
Result<std::map<SlotKey, Value>> read_instances(Fields& fields, Result<Value> (*read)(Fields&)) {
  SEGUE_ASSIGN(Json instances, list(fields, "instances", kMaxInstancesOfHost));
  std::map<SlotKey, Value> values;
  for (auto& json : instances) {
    SEGUE_ASSIGN(Fields instance, Fields::of(std::move(json), "an instance"));
    SEGUE_ASSIGN(SlotKey key, read_key(instance));
    SEGUE_ASSIGN(Value value, read(instance));
    if (values.emplace(key, std::move(value)).second) continue;
    return fail(ErrorCode::data_loss, "{} says twice what slot {} of {} is", fields.what(),
                to_string(key.second), key.first);
  }
  return values;
}

Result<std::vector<std::string>> read_texts(Fields& fields, const char* name, std::size_t max) {
  SEGUE_ASSIGN(const Json texts, list(fields, name, max));
  std::vector<std::string> all;
  for (const auto& text : texts) {
    if (!text.is_string() || text.get_ref<const std::string&>().size() > kMaxTextBytes) {
      return fail(ErrorCode::data_loss, "'{}' of {} holds what is no text", name, fields.what());
    }
    all.push_back(text);
  }
  return all;
}

Result<ProxyCanary> read_canary(Fields& fields) {
  ProxyCanary canary;
  SEGUE_ASSIGN(canary.host, text_if_any(fields, "host"));
  SEGUE_ASSIGN(canary.server, text_if_any(fields, "server"));
  SEGUE_ASSIGN(canary.stable, text_if_any(fields, "stable"));
  SEGUE_ASSIGN(canary.order, text_if_any(fields, "order", kMaxOrderBytes));
  SEGUE_ASSIGN(canary.share_ppm, share_if_any(fields));
  return canary;
}

Result<SeenCanary> read_seen_canary(Fields& fields) {
  SeenCanary canary;
  SEGUE_ASSIGN(canary.host, text_if_any(fields, "host"));
  SEGUE_ASSIGN(canary.order, text_if_any(fields, "order", kMaxOrderBytes));
  SEGUE_ASSIGN(canary.open, number_if_any(fields, "open"));
  return canary;
}

template <class Canary>
Result<std::vector<Canary>> read_canaries(Fields& fields, Result<Canary> (*read)(Fields&)) {
  SEGUE_ASSIGN(Json canaries, list(fields, "canaries", ProxyShare::kMaxCanaries));
  std::vector<Canary> all;
  for (auto& json : canaries) {
    SEGUE_ASSIGN(Fields canary, Fields::of(std::move(json), "a canary"));
    SEGUE_ASSIGN(all.emplace_back(), read(canary));
  }
  return all;
}

Result<ProxyShare> read_share(const std::string& component, Fields& fields) {
  ProxyShare share;
  SEGUE_ASSIGN(share.socket, text_if_any(fields, "socket"));
  SEGUE_ASSIGN(share.backend, text_if_any(fields, "backend"));
  SEGUE_ASSIGN(share.map, text_if_any(fields, "map"));
  SEGUE_ASSIGN(share.routed, read_texts(fields, "routed", ProxyShare::kMaxRouted));
  SEGUE_ASSIGN(share.map_value, text_if_any(fields, "map_value"));
  SEGUE_ASSIGN(share.canaries, read_canaries(fields, &read_canary));
  SEGUE_ASSIGN(share.readied, read_texts(fields, "readied", ProxyShare::kMaxCanaries));
  SEGUE_TRY(check_share(component, share));
  return share;
}

Result<SeenShare> read_seen_share(const std::string& /*component*/, Fields& fields) {
  SeenShare seen;
  SEGUE_ASSIGN(seen.result, word_if_any(fields, "result", OrderResult::unknown, &order_result_of));
  SEGUE_ASSIGN(seen.text, text_if_any(fields, "text"));
  SEGUE_ASSIGN(seen.canaries, read_canaries(fields, &read_seen_canary));
  SEGUE_ASSIGN(seen.stable, number_if_any(fields, "stable"));
  SEGUE_ASSIGN(seen.canary, number_if_any(fields, "canary"));
  SEGUE_ASSIGN(seen.stable_open, number_if_any(fields, "stable_open"));
  SEGUE_ASSIGN(seen.canary_open, number_if_any(fields, "canary_open"));
  SEGUE_ASSIGN(const std::uint64_t restarts, number_if_any(fields, "restarts"));
  seen.restarts = static_cast<std::uint32_t>(std::min<std::uint64_t>(restarts, 1'000'000));
  return seen;
}

template <class Value>
Result<std::map<std::string, Value>> read_shares(Fields& fields,
                                                 Result<Value> (*read)(const std::string&,
                                                                       Fields&)) {
  SEGUE_ASSIGN(Json shares, list(fields, "shares", kMaxSharesOfHost));
  std::map<std::string, Value> values;
  for (auto& json : shares) {
    SEGUE_ASSIGN(Fields share, Fields::of(std::move(json), "a share"));
    SEGUE_ASSIGN(std::string component, share.string("component"));
    SEGUE_ASSIGN(values[component], read(component, share));
  }
  return values;
}

Json json_of(const std::string& component, const ProxyShare& share) {
  Json canaries = Json::array();
  for (const auto& canary : share.canaries) {
    canaries.push_back(Json{{"host", canary.host},
                            {"server", canary.server},
                            {"stable", canary.stable},
                            {"order", canary.order},
                            {"share_ppm", canary.share_ppm}});
  }
  Json json{{"component", component}, {"socket", share.socket}, {"backend", share.backend},
            {"map", share.map},       {"routed", share.routed}, {"map_value", share.map_value},
            {"canaries", canaries}};
  if (!share.readied.empty()) json["readied"] = share.readied;
  return json;
}

Json json_of(const std::string& component, const SeenShare& seen) {
  Json canaries = Json::array();
  for (const auto& canary : seen.canaries) {
    canaries.push_back(Json{{"host", canary.host}, {"order", canary.order}, {"open", canary.open}});
  }
  return Json{{"component", component},
              {"result", to_string(seen.result)},
              {"text", seen.text},
              {"canaries", canaries},
              {"stable", seen.stable},
              {"canary", seen.canary},
              {"stable_open", seen.stable_open},
              {"canary_open", seen.canary_open},
              {"restarts", seen.restarts}};
}

Json json_of(const SlotKey& key) {
  return Json{{"component", key.first}, {"slot", to_string(key.second)}};
}

Json json_of(const SlotKey& key, const Observation& seen) {
  Json json = json_of(key);
  json.update(Json{{"revision", seen.revision},
                   {"staged", seen.staged},
                   {"order", seen.order},
                   {"result", to_string(seen.result)},
                   {"text", seen.text},
                   {"activity", to_string(seen.activity)},
                   {"health", to_string(seen.health)},
                   {"health_text", seen.health_text},
                   {"health_since_ms", seen.health_since_ms},
                   {"connections", seen.connections},
                   {"accepted", seen.accepted},
                   {"crashes", seen.crashes}});
  if (seen.handoff) {
    json["handoff"] = Json{{"connections", seen.handoff->connections},
                           {"lost", seen.handoff->lost},
                           {"blackout_us", seen.handoff->blackout_us}};
  }
  return json;
}

Json json_of(const SlotKey& key, const Assignment& assignment) {
  Json json = json_of(key);
  json.update(Json{{"revision", assignment.revision},
                   {"stage", assignment.stage},
                   {"order", assignment.order},
                   {"share_ppm", assignment.share_ppm},
                   {"share_salt", assignment.share_salt}});
  if (assignment.renew) json["renew"] = true;
  return json;
}

// Of instances, and of shares.
template <class Key, class Value>
Json json_of(const std::map<Key, Value>& values) {
  Json all = Json::array();
  for (const auto& [key, value] : values) all.push_back(json_of(key, value));
  return all;
}

// Bytes that are not UTF-8, from a program's output perhaps, become U+FFFD.
std::string line_of(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace

std::string write_hello(const Hello& hello) {
  return line_of(Json{{"segue_hello", 1},
                      {"site", hello.site},
                      {"labels", hello.labels},
                      {"program_version", hello.program_version},
                      {"boot_id", hello.boot_id},
                      {"incarnation", hello.incarnation},
                      {"fleet", hello.fleet},
                      {"observe_only", hello.observe_only}});
}

std::string write_observed(const ObservedHost& observed) {
  Json json{{"segue_observed", 1},
            {"generation", observed.generation},
            {"trouble", observed.trouble},
            {"instances", json_of(observed.instances)}};
  if (!observed.shares.empty()) json["shares"] = json_of(observed.shares);
  return line_of(json);
}

std::string write_desired(const DesiredHost& desired) {
  Json specs = Json::array();
  for (const auto& [key, document] : desired.specs) {
    specs.push_back(
        Json{{"component", key.first}, {"revision", key.second}, {"document", document}});
  }
  Json json{{"segue_desired", 1},
            {"fleet", desired.fleet},
            {"epoch", desired.epoch},
            {"generation", desired.generation},
            {"stopped", desired.stopped},
            {"instances", json_of(desired.instances)},
            {"specs", specs}};
  if (!desired.shares.empty()) json["shares"] = json_of(desired.shares);
  return line_of(json);
}

Result<Hello> read_hello(std::string_view bytes) {
  SEGUE_ASSIGN(Fields fields, open(bytes, "segue_hello", "what an agent says of itself"));
  Hello hello;
  SEGUE_ASSIGN(hello.site, text_if_any(fields, "site"));
  SEGUE_ASSIGN(const Json labels, list(fields, "labels", kMaxLabels));
  for (const auto& label : labels) {
    if (!label.is_string() || label.get_ref<const std::string&>().size() > kMaxTextBytes) {
      return fail(ErrorCode::data_loss, "a label of an agent is no text");
    }
    hello.labels.push_back(label);
  }
  SEGUE_ASSIGN(hello.program_version, text_if_any(fields, "program_version"));
  SEGUE_ASSIGN(hello.boot_id, text_if_any(fields, "boot_id"));
  SEGUE_ASSIGN(hello.incarnation, text_if_any(fields, "incarnation"));
  SEGUE_ASSIGN(hello.fleet, text_if_any(fields, "fleet"));
  SEGUE_ASSIGN(hello.observe_only, truth_if_any(fields, "observe_only"));
  return hello;
}

Result<ObservedHost> read_observed(std::string_view bytes) {
  SEGUE_ASSIGN(Fields fields, open(bytes, "segue_observed", "what an agent has seen"));
  ObservedHost observed;
  SEGUE_ASSIGN(observed.generation, number_if_any(fields, "generation"));
  SEGUE_ASSIGN(observed.trouble, text_if_any(fields, "trouble"));
  SEGUE_ASSIGN(observed.instances, read_instances<Observation>(fields, &read_observation));
  SEGUE_ASSIGN(observed.shares, read_shares<SeenShare>(fields, &read_seen_share));
  return observed;
}

Result<DesiredHost> read_desired(std::string_view bytes) {
  SEGUE_ASSIGN(Fields fields, open(bytes, "segue_desired", "what a server wants of a host"));
  DesiredHost desired;
  SEGUE_ASSIGN(desired.fleet, fields.string("fleet"));
  SEGUE_ASSIGN(desired.epoch, fields.number("epoch", 1));
  SEGUE_ASSIGN(desired.generation, fields.number("generation", 0));
  SEGUE_ASSIGN(desired.stopped, truth_if_any(fields, "stopped"));
  SEGUE_ASSIGN(desired.instances, read_instances<Assignment>(fields, &read_assignment));
  SEGUE_ASSIGN(desired.shares, read_shares<ProxyShare>(fields, &read_share));
  SEGUE_ASSIGN(Json specs, list(fields, "specs", 3 * kMaxInstancesOfHost));
  for (auto& json : specs) {
    SEGUE_ASSIGN(Fields spec, Fields::of(std::move(json), "a specification"));
    SEGUE_ASSIGN(std::string component, spec.string("component"));
    SEGUE_ASSIGN(const Revision revision, spec.number("revision", 1));
    SEGUE_ASSIGN(std::string document, spec.string("document"));
    desired.specs[{std::move(component), revision}] = std::move(document);
  }
  return desired;
}

}  // namespace segue::fleet
