// SPDX-License-Identifier: Apache-2.0
// For tests: a whole server in virtual time, on a store in memory that outlives it, with hosts that
// do what they are told.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "crypto/keys.h"
#include "fleet/component_document.h"
#include "fleet/test_components.h"
#include "pki/certificate.h"
#include "pki/request.h"
#include "server/api.h"
#include "server/control.h"
#include "store/memory_store.h"
#include "store/test_scheduler.h"

namespace segue::server {

// The scheduler's own time.
class SchedulerClock final : public os::Clock {
 public:
  explicit SchedulerClock(const store::Scheduler& scheduler) : scheduler_(scheduler) {}
  [[nodiscard]] base::MonotonicTime monotonic_now() const override { return scheduler_.now(); }
  [[nodiscard]] base::RealTime realtime_now() const override {
    return base::RealTime(std::chrono::hours(490'000)) + scheduler_.now().time_since_epoch();
  }

 private:
  const store::Scheduler& scheduler_;
};

class TestServer {
 public:
  using Json = nlohmann::json;
  struct Answer {
    unsigned status = 0;
    Json json;
    std::string body;
  };

  TestServer() {
    open();
    admin = set_person("admin", {Right::view, Right::deploy, Right::approve, Right::administer});
  }

  // A process that is killed, and the next one on what is stored.
  void restart() {
    api.reset();
    control.reset();
    sessions_.clear();
    open();
  }

  void run_for(base::Duration time) { scheduler.run_for(time); }
  template <class Condition>
  [[nodiscard]] bool run_until(const Condition& condition) {
    return scheduler.run_until(condition);
  }

  std::string set_person(const std::string& name, std::vector<Right> rights,
                         std::vector<std::string> components = {},
                         std::vector<SigningKey> keys = {}) {
    std::optional<std::string> token;
    control->people().set(name, {std::move(rights), std::move(components), std::move(keys)}, "test",
                          [&](const base::Result<std::string>& made) { token = made.value(); });
    EXPECT_TRUE(run_until([&] { return token.has_value(); }));
    return token.value_or("");
  }

  // As `admin`, unless another token is given.
  Answer ask(const std::string& method, const std::string& target, const std::string& body = "",
             const std::string& token = "", const std::map<std::string, std::string>& fields = {}) {
    HttpRequest request{.method = method, .bearer = token.empty() ? admin : token};
    EXPECT_TRUE(parse_target(target, request));
    request.body = body;
    request.fields = fields;
    std::optional<HttpAnswer> given;
    api->handle(std::move(request), [&](HttpAnswer answer) { given = std::move(answer); });
    EXPECT_TRUE(run_until([&] { return given.has_value(); })) << method << " " << target;
    if (!given) return {};
    return {given->status, Json::parse(given->body, nullptr, false), given->body};
  }

  // ---- Hosts
  void join(const std::string& host, const std::string& site = "berlin") {
    const auto key = crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
    const std::string token = ask("POST", "/v1/tokens").json.at("token").get<std::string>();
    std::optional<base::Result<rpc::Credentials>> given;
    control->join({.token = token,
                   .request_pem = pki::make_request(key, {pki::Role::host, host}).value(),
                   .site = site,
                   .labels = {},
                   .program_version = "1"},
                  [&](base::Result<rpc::Credentials> made) { given = std::move(made); });
    ASSERT_TRUE(run_until([&] { return given.has_value(); }));
    ASSERT_TRUE(*given) << given->error().to_string();
    certificates_[host] = pki::read_certificate((*given)->certificate_pem).value();
    attach(host);
  }
  void attach(const std::string& host) {
    const rpc::SessionId session = ++last_session_;
    ASSERT_TRUE(control->attached(session, certificates_.at(host)));
    sessions_[host] = session;
    control->received(session, {host, rpc::EnvelopeKind::hello, 0,
                                fleet::write_hello({.site = "berlin",
                                                    .program_version = "1",
                                                    .boot_id = "b",
                                                    .incarnation = fmt::format("i{}", session)})});
  }
  // All hosts do what is wanted of them, and say so.
  void carry_out(fleet::OrderResult result = fleet::OrderResult::done) {
    for (const auto& [host, session] : sessions_) {
      const fleet::DesiredHost wanted = control->desired(host);
      fleet::ObservedHost observed{.generation = wanted.generation};
      for (const auto& [key, assignment] : wanted.instances) {
        const bool is_done = result == fleet::OrderResult::done;
        observed.instances[key] = {.revision = is_done ? assignment.revision : fleet::kNoRevision,
                                   .order = assignment.order,
                                   .result = result,
                                   .health = fleet::Health::good,
                                   .connections = connections};
      }
      for (const auto& [component, share] : wanted.shares) {
        if (proxies_answer) observed.shares[component] = as_told(share);
      }
      control->received(session,
                        {host, rpc::EnvelopeKind::observed, 0, fleet::write_observed(observed)});
    }
  }
  // What the proxy's agent says once all is as it is wanted.
  static fleet::SeenShare as_told(const fleet::ProxyShare& share) {
    fleet::SeenShare seen{.result = fleet::OrderResult::done};
    for (const auto& one : share.canaries) seen.canaries.push_back({one.host, one.order, 0});
    return seen;
  }
  // Again and again, until the rollout is in one of its last phases; which.
  std::string end_of(const std::string& rollout) {
    for (int i = 0; i < 1'000; ++i) {
      const std::string phase = phase_of(rollout);
      if (phase == "done" || phase == "undone" || phase == "failed" || phase == "superseded") {
        return phase;
      }
      carry_out();
      run_for(std::chrono::seconds(5));
    }
    return "not over";
  }
  std::string phase_of(const std::string& rollout) {
    return ask("GET", "/v1/rollouts/" + rollout).json.at("phase").get<std::string>();
  }

  // ---- Deployments
  static Json deployment(const std::string& version, std::uint32_t approvals = 0) {
    fleet::ComponentSpec spec = fleet::process_component();
    spec.release.version = version;
    fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::all_at_once);
    strategy.limits.bake = std::chrono::milliseconds(0);
    strategy.late_watch = std::chrono::milliseconds(0);
    strategy.approvals = approvals;
    return {{"component", Json::parse(fleet::write_component(spec))},
            {"strategy", Json::parse(fleet::write_strategy(strategy))}};
  }
  std::string deploy(const std::string& version, std::uint32_t approvals = 0,
                     const std::string& token = "") {
    const Answer answer =
        ask("POST", "/v1/deployments", deployment(version, approvals).dump(), token);
    EXPECT_EQ(answer.status, 201U) << answer.body;
    return answer.json.value("rollout", "");
  }

  // ---- Signatures
  static crypto::PrivateKey key_of(char seed) {
    return crypto::PrivateKey::ed25519_from_seed(std::string(32, seed)).value();
  }
  static SigningKey public_key_of(char seed) {
    return signing_key_of(key_of(seed).public_key().pem()).value();
  }
  // Who may sign with the key of this seed, and do nothing else.
  std::string set_signer(const std::string& name, char seed,
                         std::vector<std::string> components = {}) {
    return set_person(name, {Right::sign}, std::move(components), {public_key_of(seed)});
  }
  // A deployment's body, with a signature of the component in it.
  [[nodiscard]] Json signed_with(char seed, Json body) const {
    const auto spec = fleet::read_component(body.at("component").dump()).value();
    body["signatures"] = Json::array({signature_of(seed, spec)});
    return body;
  }
  [[nodiscard]] Json signature_of(char seed, const fleet::ComponentSpec& spec) const {
    const std::string fleet = pki::fingerprint_of(authority_.public_key());
    const auto signature =
        fleet::sign_deployment(key_of(seed), fleet::deployment_statement(fleet, spec)).value();
    return {{"key", signature.key}, {"signature", signature.signature}};
  }

  // Half of new connections, by the kernel, until somebody says otherwise.
  std::string deploy_canary(const std::string& version) {
    fleet::ComponentSpec spec = fleet::process_component();
    spec.release.version = version;
    spec.sharing.kind = fleet::Sharing::Kind::kernel;
    spec.contract.listen = {{"web", control::Listen::Kind::tcp, "::1", 80}};
    spec.contract.listen.front().group = true;
    fleet::Strategy strategy = fleet::careful(fleet::StrategyKind::canary);
    strategy.canary.steps = {{.share_ppm = fleet::kWholeShare / 2, .limits = strategy.limits}};
    strategy.canary.steps.front().limits.bake = std::chrono::hours(1);
    const Answer answer = ask("POST", "/v1/deployments",
                              Json{{"component", Json::parse(fleet::write_component(spec))},
                                   {"strategy", Json::parse(fleet::write_strategy(strategy))}}
                                  .dump());
    EXPECT_EQ(answer.status, 201U) << answer.body;
    return answer.json.value("rollout", "");
  }

  // ---- What webhooks are sent, and what they answer
  struct Posted {
    WebhookPost post;
    Webhooks::OnStatus on_status;
  };
  void answer_post(std::size_t number, base::Result<long> status) {
    std::exchange(posts.at(number).on_status, nullptr)(std::move(status));
  }

  store::TestScheduler scheduler;
  SchedulerClock clock{scheduler};
  std::shared_ptr<store::MemoryDatabase> database =
      std::make_shared<store::MemoryDatabase>(scheduler);
  base::Log log;
  std::unique_ptr<store::MemoryStore> store;
  std::unique_ptr<Control> control;
  std::unique_ptr<Api> api;
  std::string admin;  // the token
  std::vector<Posted> posts;
  std::optional<base::Error> fatal;
  std::uint64_t connections = 3;  // of every instance, as hosts see it
  bool proxies_answer = true;

 private:
  void open() {
    store = std::make_unique<store::MemoryStore>(database, scheduler);
    std::optional<base::Result<Books>> books;
    read_books(*store, [&](base::Result<Books> read) { books = std::move(read); });
    ASSERT_TRUE(scheduler.run_until([&] { return books.has_value(); }));
    ASSERT_TRUE(*books) << books->error().to_string();
    control = std::make_unique<Control>(
        Control::Parts{*store, scheduler, clock, log},
        Control::Settings{.authority = authority_,
                          .on_fatal = [this](const base::Error& why) { fatal = why; },
                          .post =
                              [this](WebhookPost post, Webhooks::OnStatus on_status) {
                                posts.push_back({std::move(post), std::move(on_status)});
                              }},
        std::move(**books));
    api = std::make_unique<Api>(*control, clock, "segue.example:7443");
    control->begin();
  }

  pki::Authority authority_ =
      pki::Authority::create(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value(),
                             "test", clock.realtime_now(), std::chrono::hours(1'000),
                             "0123456789abcdef")
          .value();
  std::map<std::string, pki::Certificate> certificates_;
  std::map<std::string, rpc::SessionId> sessions_;
  rpc::SessionId last_session_ = 0;
};

}  // namespace segue::server
