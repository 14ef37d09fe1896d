// SPDX-License-Identifier: Apache-2.0
// Every member that a request may have, with everything that may be wrong there: it is refused by
// the member's name, and nothing of it is stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <set>

#include "server/openapi.h"
#include "server/test_server.h"

namespace segue::server {
namespace {

using Json = nlohmann::json;
using Pointer = Json::json_pointer;
using testing::HasSubstr;

// ---- What is right

Json whole_strategy() {
  fleet::StepLimits limits;
  limits.gates = {"well"};
  fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::canary);
  strategy.canary.split = fleet::Split::proxy;
  strategy.canary.baseline = fleet::Baseline::renewed;
  strategy.waves = {{.selection = fleet::Selection::count, .amount = 1, .limits = limits},
                    {.selection = fleet::Selection::site, .word = "berlin", .name = "rest"}};
  strategy.late_gates = {"speed"};
  for (const auto kind : {fleet::GateKind::health, fleet::GateKind::query, fleet::GateKind::compare,
                          fleet::GateKind::latency}) {
    fleet::Gate gate = fleet::usual_gate(kind);
    gate.name = kind == fleet::GateKind::health    ? "well"
                : kind == fleet::GateKind::latency ? "speed"
                                                   : to_string(kind);
    if (kind != fleet::GateKind::health) gate.prometheus = "http://127.0.0.1:9090";
    if (kind == fleet::GateKind::query) gate.query = "up";
    gate.canary = gate.baseline = {.requests = "a", .failures = "b", .buckets = "c"};
    gate.quantile_ppm = 900'000;
    strategy.gates.push_back(std::move(gate));
  }
  return Json::parse(fleet::write_strategy(strategy));
}

Json whole_component() {
  fleet::ComponentSpec spec = fleet::whole_component();
  spec.contract.upgrade = "restart";
  spec.contract.listen.clear();
  spec.network = fleet::Network::host;
  spec.ports.clear();
  spec.sharing.proxy_host = "berlin-1";
  spec.sharing.map = "/etc/haproxy/users.map";
  spec.sharing.routed = {"alice"};
  spec.sharing.map_value = "chat_canary";
  return Json::parse(fleet::write_component(spec));
}

constexpr const char* kDeployment = "POST /v1/deployments";
constexpr const char* kVersion = "POST /v1/components/{component}/deployments";

// Of the specification that becomes of the body, by ada; as it was, where there is none.
Json signed_as_it_is(const TestServer& server, const std::string& route, Json body) {
  if (!body.contains("signatures")) return body;
  fleet::ComponentSpec spec = fleet::process_component();
  if (route == kDeployment) {
    const auto given = fleet::read_component(body.value("component", Json()).dump());
    if (!given) return body;
    spec = *given;
  } else {
    spec.release.version = body.value("version", "");
  }
  body["signatures"] = Json::array({server.signature_of('a', spec)});
  return body;
}

// A whole request of every route that changes something, by "METHOD PATTERN".
struct Example {
  std::string path;
  Json body;  // null: it has none
};
std::map<std::string, Example> examples(const TestServer& server, const std::string& rollout,
                                        const std::string& token) {
  const Json on{{"on", true}};
  const auto signed_anew = [&](const char* route, Json body) {
    return signed_as_it_is(server, route, std::move(body));
  };
  return {
      {"POST /v1/hosts/{host}/drain", {"/v1/hosts/berlin-1/drain", on}},
      {"DELETE /v1/hosts/{host}", {"/v1/hosts/berlin-1?force=true", {}}},
      {kDeployment,
       {"/v1/deployments", signed_anew(kDeployment, {{"component", whole_component()},
                                                     {"strategy", whole_strategy()},
                                                     {"title", "t"},
                                                     {"dry_run", false},
                                                     {"signatures", Json::array()}})}},
      {kVersion,
       {"/v1/components/hub/deployments", signed_anew(kVersion, {{"version", "3"},
                                                                 {"title", "t"},
                                                                 {"dry_run", false},
                                                                 {"signatures", Json::array()}})}},
      {"POST /v1/rollouts/{rollout}/{action}",
       {"/v1/rollouts/" + rollout + "/pause", {{"why", "w"}, {"all", true}}}},
      {"POST /v1/stop", {"/v1/stop", on}},
      {"POST /v1/tokens",
       {"/v1/tokens", {{"site", "berlin"}, {"relay", true}, {"uses", 2}, {"lifetime_s", 60}}}},
      {"DELETE /v1/tokens/{token}", {"/v1/tokens/" + token, {}}},
      {"PUT /v1/people/{person}",
       {"/v1/people/eve",
        {{"rights", {"deploy", "sign"}},
         {"components", {"hub"}},
         {"keys", {TestServer::public_key_of('e').pem}}}}},
      {"DELETE /v1/people/{person}", {"/v1/people/ada", {}}},
      {"PUT /v1/webhooks/{webhook}",
       {"/v1/webhooks/ci", {{"url", "https://ci.example/hook"}, {"kinds", {"rollout"}}}}},
      {"DELETE /v1/webhooks/{webhook}", {"/v1/webhooks/chat", {}}},
      {"POST /v1/webhooks/{webhook}/test", {"/v1/webhooks/chat/test", {}}},
  };
}

class EveryMember : public testing::Test {
 protected:
  EveryMember() { begin(); }

  // A fleet in which each example can be carried out.
  void begin() {
    server_ = std::make_unique<TestServer>();
    server_->join("berlin-1");
    EXPECT_EQ(server_->end_of(server_->deploy("1")), "done");
    rollout_ = server_->deploy("2", 1);
    server_->set_signer("ada", 'a');
    (void)server_->ask("PUT", "/v1/webhooks/chat", R"({"url": "https://chat.example/"})");
    (void)server_->ask("POST", "/v1/tokens");
    const Json tokens = server_->ask("GET", "/v1/tokens").json.at("tokens");
    settle();
    before_ = stored();
    examples_ = examples(*server_, rollout_, tokens.at(0).at("id").get<std::string>());
  }

  // Until nothing more is stored of itself.
  void settle() { server_->run_for(std::chrono::seconds(5)); }

  [[nodiscard]] std::map<std::string, std::string> stored() const {
    std::map<std::string, std::string> entries;
    store::ListQuery query;
    while (true) {
      const store::Page page = server_->database->list(query);
      for (const auto& entry : page.entries) entries[entry.key] = entry.value;
      if (!page.has_more) return entries;
      query.after = page.entries.back().key;
    }
  }

  static std::string method_of(const std::string& route) {
    return route.substr(0, route.find(' '));
  }

  // That it is, by a text that has `named` in it, and that the store is what it was.
  void expect_refused(const std::string& route, const std::string& path, const std::string& body,
                      const std::string& named) {
    const auto answer = server_->ask(method_of(route), path, body);
    const std::string what = route + " " + body.substr(0, 2'000);
    EXPECT_GE(answer.status, 400U) << what;
    EXPECT_LT(answer.status, 500U) << what << answer.body;
    EXPECT_THAT(answer.json.value("error", ""), HasSubstr(named)) << what;
    EXPECT_EQ(stored(), before_) << what;
    if (answer.status < 400) begin();
  }

  // That it is carried out, or refused and nothing is stored.
  void expect_answered(const std::string& route, const std::string& path, const std::string& body) {
    const auto answer = server_->ask(method_of(route), path, body);
    EXPECT_LT(answer.status, 500U) << route << " " << body.substr(0, 2'000) << answer.body;
    if (answer.status < 400) {
      if (route == "POST /v1/stop") return begin();  // what was begun would go on
      settle();
      before_ = stored();
      return;
    }
    EXPECT_FALSE(answer.json.value("error", "").empty()) << route;
    EXPECT_EQ(stored(), before_) << route << " " << body.substr(0, 2'000);
  }

  std::unique_ptr<TestServer> server_;
  std::map<std::string, std::string> before_;  // what it has stored before it is asked
  std::string rollout_;
  std::map<std::string, Example> examples_;
};

// ---- The examples and the description

const Json& description() {
  static const Json kDocument = Json::parse(openapi_document());
  return kDocument;
}

const Json& resolved(const Json& schema) {
  const auto reference = schema.find("$ref");
  if (reference == schema.end()) return schema;
  return description().at(Pointer(reference->get<std::string>().substr(1)));
}

// What a route's body is, or nothing.
const Json* schema_of(const Api::Route& route) {
  std::string method = route.method;
  std::ranges::transform(method, method.begin(), [](unsigned char c) { return std::tolower(c); });
  const Json& operation = description().at("paths").at(route.path).at(method);
  const auto body = operation.find("requestBody");
  if (body == operation.end()) return nullptr;
  return &resolved(body->at("content").at("application/json").at("schema"));
}

std::string name_of(const Api::Route& route) {
  return fmt::format("{} {}", route.method, route.path);
}

const Json& of_type(const Json& schema, const char* type) {
  EXPECT_EQ(schema.value("type", ""), type) << schema;
  return schema;
}

// What describes it, member by member.
struct Described {
  Pointer place;
  const Json* schema;
};

void describe(const Json& value, const Json& given, const Pointer& place,
              std::vector<Described>& described) {
  const Json& named = resolved(given);
  const bool is_choice = named.contains("oneOf");
  const Json& schema = is_choice ? resolved(named.at("oneOf").at(value.is_null() ? 1 : 0)) : named;
  described.push_back({place, &schema});
  if (schema.contains("const")) {
    EXPECT_EQ(value, schema.at("const")) << place;
    return;
  }
  if (schema.contains("enum")) {
    EXPECT_NE(std::ranges::find(schema.at("enum"), value), schema.at("enum").end()) << place;
  }
  if (value.is_null()) of_type(schema, "null");
  if (value.is_string()) of_type(schema, "string");
  if (value.is_boolean()) of_type(schema, "boolean");
  if (value.is_number()) of_type(schema, "integer");
  if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) {
      describe(value[i], of_type(schema, "array").at("items"), place / i, described);
    }
  }
  if (!value.is_object()) return;
  EXPECT_EQ(of_type(schema, "object").at("additionalProperties"), false) << place;
  for (const auto& [name, member] : value.items()) {
    const auto property = schema.at("properties").find(name);
    if (property == schema.at("properties").end()) {
      ADD_FAILURE() << (place / name) << " is not described";
    } else {
      describe(member, *property, place / name, described);
    }
  }
}

// Every schema that a body may hold.
void collect_schemas(const Json& given, std::set<const Json*>& schemas) {
  const Json& schema = resolved(given);
  if (schema.contains("oneOf")) {
    for (const auto& one : schema.at("oneOf")) collect_schemas(one, schemas);
    return;
  }
  schemas.insert(&schema);
  if (schema.contains("items")) collect_schemas(schema.at("items"), schemas);
  if (!schema.contains("properties")) return;
  for (const auto& member : schema.at("properties")) collect_schemas(member, schemas);
}

// A deployment with every member there is, those that do not go together, too.
Json with_everything(Json deployment) {
  Json component = Json::parse(fleet::write_component(fleet::whole_component()));
  component["requires"] = Json::array({"nothing"});
  component["release"]["registry"] = "redis";
  component["sharing"] = deployment.at("component").at("sharing");
  component["sharing"]["pick"] = "source";
  deployment["component"] = std::move(component);
  return deployment;
}

TEST_F(EveryMember, of_every_route_that_changes_something_is_described_and_known_here) {
  for (const auto& route : Api::routes()) {
    if (std::string_view(route.method) == "GET") continue;
    const auto example = examples_.find(name_of(route));
    ASSERT_NE(example, examples_.end()) << name_of(route) << " has no example";
    const Json* schema = schema_of(route);
    ASSERT_EQ(schema == nullptr, example->second.body.is_null()) << name_of(route);
    if (schema == nullptr) continue;
    Json body = example->second.body;
    if (body.contains("component")) body = with_everything(std::move(body));
    std::vector<Described> described;
    describe(body, *schema, Pointer(), described);
    std::set<const Json*> unused;
    collect_schemas(*schema, unused);
    for (const auto& one : described) unused.erase(one.schema);
    for (const Json* one : unused) ADD_FAILURE() << name_of(route) << " has no example of " << *one;
  }
}

TEST_F(EveryMember, that_has_to_be_there_is_missed_by_its_name) {
  for (const auto& route : Api::routes()) {
    const Json* schema = std::string_view(route.method) == "GET" ? nullptr : schema_of(route);
    if (schema == nullptr) continue;
    std::vector<Described> described;
    describe(examples_.at(name_of(route)).body, *schema, Pointer(), described);
    for (const auto& one : described) {
      for (const auto& name : one.schema->value("required", Json::array())) {
        Json body = examples_.at(name_of(route)).body;
        body.at(one.place).erase(name.get<std::string>());
        expect_refused(name_of(route), examples_.at(name_of(route)).path, body.dump(),
                       name.get<std::string>());
      }
    }
  }
}

TEST_F(EveryMember, as_it_is_described_is_taken) {
  for (const auto& [route, example] : std::map(examples_)) {
    const Json& whole = examples_.at(route).body;  // of this fleet
    const std::string body = whole.is_null() ? "" : whole.dump();
    if (route == "POST /v1/webhooks/{webhook}/test") continue;  // answered by who is told
    const auto answer = server_->ask(method_of(route), examples_.at(route).path, body);
    EXPECT_LT(answer.status, 300U) << route << ": " << answer.body;
    begin();
  }
}

// ---- What is wrong

void collect(const Json& json, const Pointer& at, std::vector<Pointer>& places) {
  if (json.is_object()) {
    for (const auto& [name, value] : json.items()) {
      places.push_back(at / name);
      collect(value, at / name, places);
    }
  } else if (json.is_array()) {
    for (std::size_t i = 0; i < json.size(); ++i) {
      places.push_back(at / i);
      collect(json[i], at / i, places);
    }
  }
}

// The last name in it: a list's members have none.
std::string name_of(Pointer at) {
  while (std::ranges::all_of(at.back(), [](unsigned char c) { return std::isdigit(c) != 0; })) {
    at.pop_back();
  }
  return at.back();
}

std::vector<Json> values_of_other_kinds(const Json& right) {
  std::vector<Json> wrong = {nullptr, Json::array({Json::array()}), Json{{"nonsense", 1}}, 0.5};
  wrong.push_back(right.is_string() ? Json(1) : Json("nonsense"));
  wrong.push_back(right.is_number() ? Json(-1) : Json(1e300));
  return wrong;
}

TEST_F(EveryMember, of_another_kind_is_refused_by_its_name) {
  for (const auto& [route, example] : std::map(examples_)) {
    std::vector<Pointer> places;
    collect(example.body, Pointer(), places);
    for (const Pointer& place : places) {
      for (const Json& wrong : values_of_other_kinds(example.body.at(place))) {
        // A wave without limits of its own.
        if (wrong.is_null() && place.back() == "limits" &&
            place.to_string().find("waves") != std::string::npos)
          continue;
        Json body = examples_.at(route).body;
        body[place] = wrong;
        // A fraction is refused while the text is read: by what was read so far.
        expect_refused(route, examples_.at(route).path, body.dump(),
                       wrong.is_number_float() ? "the number" : name_of(place));
      }
    }
  }
}

TEST_F(EveryMember, that_nobody_knows_is_refused_by_its_name) {
  for (const auto& [route, example] : std::map(examples_)) {
    std::vector<Pointer> places = {Pointer()};
    collect(example.body, Pointer(), places);
    for (const Pointer& place : places) {
      if (!example.body.at(place).is_object()) continue;
      Json body = examples_.at(route).body;
      body[place / "nonsense"] = 1;
      expect_refused(route, examples_.at(route).path, body.dump(), "nonsense");
    }
  }
}

bool is_signature(const Pointer& place) {
  return place.to_string().starts_with("/signatures");
}

TEST_F(EveryMember, of_its_kind_is_taken_or_refused_and_breaks_nothing) {
  const std::vector<Json> texts = {"", "nonsense", std::string(5'000, 'a'), std::string("a\0b", 3)};
  const std::vector<Json> numbers = {0, 4'294'967'296U, 18'446'744'073'709'551'615U};
  // Nothing that is begun goes on, so that all that is stored is what a request has changed.
  EXPECT_EQ(server_->ask("POST", "/v1/stop").status, 200U);
  settle();
  before_ = stored();
  for (const auto& [route, example] : std::map(examples_)) {
    std::vector<Pointer> places;
    collect(example.body, Pointer(), places);
    for (const Pointer& place : places) {
      const Json& right = example.body.at(place);
      std::vector<Json> others;
      if (right.is_string()) others = texts;
      if (right.is_number()) others = numbers;
      if (right.is_boolean()) others = {!right.get<bool>()};
      if (right.is_array()) {
        others = {Json::array(),
                  Json(std::vector<Json>(300, right.empty() ? Json("x") : right.front()))};
      }
      for (const Json& other : others) {
        Json body = examples_.at(route).body;
        body[place] = other;
        if (!is_signature(place)) body = signed_as_it_is(*server_, route, std::move(body));
        expect_answered(route, examples_.at(route).path, body.dump());
      }
      Json body = examples_.at(route).body;
      body.at(place.parent_pointer()).is_object()
          ? static_cast<void>(body.at(place.parent_pointer()).erase(place.back()))
          : body.at(place.parent_pointer()).clear();
      if (!is_signature(place)) body = signed_as_it_is(*server_, route, std::move(body));
      expect_answered(route, examples_.at(route).path, body.dump());
    }
  }
}

TEST_F(EveryMember, stands_in_a_body_that_is_one) {
  for (const auto& [route, example] : std::map(examples_)) {
    if (example.body.is_null()) continue;
    const std::string whole = example.body.dump();
    const std::string first = example.body.begin().key();
    for (const std::string& body :
         {std::string("["), std::string("[]"), std::string("null"), std::string("1"),
          std::string("\"\""), std::string("{"), whole + "x", whole.substr(0, whole.size() - 1),
          std::string("{\"\xFF\": 1}"), "{\"" + first + "\": " + std::string(10'000, '[')}) {
      expect_refused(route, examples_.at(route).path, body, "");
    }
    const std::string twice = whole.substr(0, whole.size() - 1) + ", \"" + first +
                              "\": " + example.body.front().dump() + "}";
    expect_refused(route, examples_.at(route).path, twice, "");
  }
}

// ---- Paths and queries

TEST_F(EveryMember, of_a_path_is_refused_where_there_is_no_such_thing) {
  for (const auto& route : Api::routes()) {
    if (std::string_view(route.method) == "GET") continue;
    const auto open = match_route(route.path, route.path).value_or(std::vector<std::string>());
    const std::string body =
        examples_.at(name_of(route)).body.is_null() ? "" : examples_.at(name_of(route)).body.dump();
    for (const auto& part : open) {
      for (const std::string& wrong :
           {std::string("-x"), std::string(300, 'a'), std::string("%2e%2e")}) {
        std::string path = route.path;
        path.replace(path.find(part), part.size(), wrong);
        for (const auto& [name, right] :
             {std::pair("{rollout}", rollout_.c_str()), {"{action}", "pause"}}) {
          const auto at = path.find(name);
          if (at != std::string::npos) path.replace(at, std::string_view(name).size(), right);
        }
        expect_refused(name_of(route), path, body, "");
      }
    }
  }
}

TEST_F(EveryMember, of_a_query_that_is_a_number_is_one) {
  for (const auto& route : Api::routes()) {
    if (std::string_view(route.method) != "GET") continue;
    const Json& operation = description().at("paths").at(route.path).at("get");
    for (const auto& parameter : operation.value("parameters", Json::array())) {
      if (parameter.at("in") != "query" || parameter.at("schema").at("type") != "integer") continue;
      const std::string name = parameter.at("name").get<std::string>();
      std::string path = route.path;
      for (const auto& [part, right] :
           {std::pair("{rollout}", rollout_.c_str()), {"{host}", "berlin-1"}}) {
        const auto at = path.find(part);
        if (at != std::string::npos) path.replace(at, std::string_view(part).size(), right);
      }
      const std::string rest = path.ends_with("/logs") ? "&component=hub" : "";
      for (const char* wrong : {"x", "-1", "1x", "99999999999999999999999"}) {
        expect_refused(name_of(route), fmt::format("{}?{}={}{}", path, name, wrong, rest), "",
                       name);
      }
    }
  }
}

}  // namespace
}  // namespace segue::server
