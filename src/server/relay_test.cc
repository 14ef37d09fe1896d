// SPDX-License-Identifier: Apache-2.0
// A server that leads a fleet, over real connections on loopback, and relays and agents that say
// whatever a test wants.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "crypto/keys.h"
#include "fleet/servers.h"
#include "os/files.h"
#include "os/temp_directory.h"
#include "pki/request.h"
#include "rpc/fleet_client.h"
#include "rpc/fleet_server.h"
#include "server/control.h"
#include "store/loop_scheduler.h"
#include "store/memory_store.h"

namespace segue::server {
namespace {

using base::ErrorCode;
using base::Result;
using rpc::Envelope;
using rpc::EnvelopeKind;
using testing::HasSubstr;

const std::string kSerial = "0123456789abcdef";

// A host or a relay that has joined.
struct Member {
  pki::Identity identity;
  crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
  std::string certificate;

  [[nodiscard]] rpc::OwnCertificate own() const { return {certificate, key.to_pem("").value()}; }
};

// One attached session, and what came over it.
struct Attached {
  std::unique_ptr<rpc::FleetClient> client;
  bool is_attached = false;
  std::vector<Envelope> got;
  std::optional<base::Error> ended;

  [[nodiscard]] const Envelope* find(EnvelopeKind kind, std::uint64_t line) const {
    for (const auto& envelope : got) {
      if (envelope.kind == kind && envelope.line == line) return &envelope;
    }
    return nullptr;
  }
};

class RelayTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto key = crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
    const std::string pem =
        authority_
            .issue(key.public_key(),
                   {{pki::Role::server, "main"}, std::chrono::hours(1), {}, kSerial},
                   clock_.realtime_now())
            .value();
    ASSERT_TRUE(
        os::write_file_atomically(directory_.path("c.pem"), pem + authority_.certificate()));
    ASSERT_TRUE(os::write_file_atomically(directory_.path("k.pem"), key.to_pem("").value()));
    control_.emplace(
        Control::Parts{store_, *scheduler_, clock_, log_},
        Control::Settings{.authority = authority_,
                          .on_fatal = [](const base::Error& why) { FAIL() << why.to_string(); }},
        Books{});
    sessions_ = rpc::FleetServer::open(loop_, clock_,
                                       {"127.0.0.1:0", directory_.path("c.pem"),
                                        directory_.path("k.pem"), authority_.certificate()},
                                       *control_)
                    .value();
    control_->send_through(*sessions_);
    control_->begin();
    relay_ = join(pki::Role::relay, "berlin-relay", "berlin");
  }
  void TearDown() override {
    relays_.clear();
    sessions_.reset();
    control_.reset();
  }

  void run_until(const std::function<bool()>& done, const std::string& what = "") {
    const auto deadline = clock_.monotonic_now() + std::chrono::seconds(60);
    while (!done() && clock_.monotonic_now() < deadline) {
      ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(100)));
    }
    ASSERT_TRUE(done()) << what;
  }
  rpc::ServerAddress address() {
    return {fmt::format("127.0.0.1:{}", sessions_->port()), authority_.certificate(), ""};
  }

  std::string token(const std::string& site, bool is_relay) {
    std::string text;
    control_->enrolment().make_token({.site = site, .is_relay = is_relay, .by = "test"},
                                     {"127.0.0.1:1"},
                                     [&](const Result<std::string>& made) { text = made.value(); });
    run_until([&] { return !text.empty(); }, "a token");
    return text;
  }
  Result<rpc::Credentials> ask_to_join(const Member& member, const std::string& token) {
    std::optional<Result<rpc::Credentials>> answer;
    control_->join({.token = token,
                    .request_pem = pki::make_request(member.key, member.identity).value(),
                    .site = "default",
                    .program_version = "1"},
                   [&](Result<rpc::Credentials> given) { answer = std::move(given); });
    run_until([&] { return answer.has_value(); }, "an answer");
    return *answer;
  }
  Member join(pki::Role role, const std::string& name, const std::string& site) {
    Member member{.identity = {role, name}};
    member.certificate =
        ask_to_join(member, token(site, role == pki::Role::relay)).value().certificate_pem;
    return member;
  }

  Attached& attach(const Member& member) {
    Attached& attached = *relays_.emplace_back(std::make_unique<Attached>());
    attached.client =
        rpc::FleetClient::open(
            loop_, clock_, address(), member.own(),
            {.attached = [&] { attached.is_attached = true; },
             .received = [&](Envelope envelope) { attached.got.push_back(std::move(envelope)); },
             .ended = [&](base::Error why) { attached.ended = std::move(why); }})
            .value();
    run_until([&] { return attached.is_attached || attached.ended; }, "to attach");
    return attached;
  }
  static void introduce(Attached& relay, std::uint64_t line, const Member& host,
                        const std::string& incarnation = "first") {
    relay.client->send({.host = host.identity.name,
                        .kind = EnvelopeKind::hello,
                        .document = fleet::write_hello({.incarnation = incarnation}),
                        .line = line,
                        .certificate_pem = host.certificate});
  }
  void expect_refused(Attached& relay, std::uint64_t line, const std::string& why) {
    run_until([&] { return relay.find(EnvelopeKind::refused, line) != nullptr; }, why);
    EXPECT_THAT(relay.find(EnvelopeKind::refused, line)->document, HasSubstr(why));
    EXPECT_FALSE(relay.ended);
  }
  void expect_desired(Attached& relay, std::uint64_t line) {
    run_until([&] { return relay.find(EnvelopeKind::desired, line) != nullptr; }, "what is wanted");
  }
  const Attachments::Attachment& attachment(const Member& host) {
    return *control_->attachments().find(host.identity.name);
  }

  os::SystemClock clock_;
  base::Log log_{{.now = [this] { return clock_.realtime_now(); }}};
  os::EpollLoop loop_ = os::EpollLoop::create(clock_).value();
  os::TempDirectory directory_;
  std::unique_ptr<store::LoopScheduler> scheduler_ =
      store::LoopScheduler::create(loop_, clock_).value();
  store::MemoryStore store_{std::make_shared<store::MemoryDatabase>(*scheduler_), *scheduler_};
  pki::Authority authority_ =
      pki::Authority::create(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value(),
                             "test", clock_.realtime_now(), std::chrono::hours(1000), kSerial)
          .value();
  std::optional<Control> control_;
  std::unique_ptr<rpc::FleetServer> sessions_;
  Member relay_;
  std::vector<std::unique_ptr<Attached>> relays_;
};

TEST_F(RelayTest, a_host_that_its_relay_introduces_is_heard_and_gets_what_is_wanted) {
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  Attached& relay = attach(relay_);
  introduce(relay, 4, host);
  expect_desired(relay, 4);
  const Envelope desired = *relay.find(EnvelopeKind::desired, 4);
  EXPECT_EQ(desired.host, "berlin-1");
  EXPECT_TRUE(
      pki::check_signed(authority_.certificate(), rpc::signed_text(desired), desired.signature));
  EXPECT_EQ(control_->relay_of(attachment(host).way), "berlin-relay");

  relay.client->send({.host = "berlin-1", .kind = EnvelopeKind::heartbeat, .number = 7, .line = 4});
  run_until([&] { return attachment(host).generation == 7; }, "its generation");
  const auto heard = attachment(host).heard;
  relay.client->send({.host = "berlin-relay", .kind = EnvelopeKind::heartbeats, .lines = {4, 99}});
  run_until([&] { return attachment(host).heard > heard; }, "its heartbeat");
  EXPECT_EQ(attachment(host).generation, 7U);

  relay.client->send({.host = "berlin-1", .kind = EnvelopeKind::gone, .line = 4});
  run_until([&] { return attachment(host).way.session == 0; }, "that it has gone");
  EXPECT_FALSE(attachment(host).silent);  // its lease goes on
}

TEST_F(RelayTest, who_says_hello_is_told_where_the_servers_are_and_again_when_that_changes) {
  control_->set_servers({"a.example:7443", "b.example:7443"});
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  for (const Member& member : {host, relay_}) {
    Attached& session = attach(member);
    session.client->send({.host = member.identity.name,
                          .kind = EnvelopeKind::hello,
                          .document = fleet::write_hello({})});
    run_until([&] { return session.find(EnvelopeKind::servers, 0) != nullptr; }, "the servers");
    const Envelope told = *session.find(EnvelopeKind::servers, 0);
    EXPECT_EQ(fleet::read_servers(told.document).value(), control_->servers());
    EXPECT_TRUE(
        pki::check_signed(authority_.certificate(), rpc::signed_text(told), told.signature));
    // A relay passes it on as it is, to any host.
    Envelope passed_on{.host = "oslo-1", .kind = told.kind, .document = told.document};
    EXPECT_TRUE(
        pki::check_signed(authority_.certificate(), rpc::signed_text(passed_on), told.signature));
    session.got.clear();
    control_->set_servers({"a.example:7443", member.identity.name + ":7443"});
    run_until([&] { return session.find(EnvelopeKind::servers, 0) != nullptr; }, "the new ones");
  }
}

TEST_F(RelayTest, a_host_of_another_site_is_refused) {
  const Member host = join(pki::Role::host, "oslo-1", "oslo");
  Attached& relay = attach(relay_);
  introduce(relay, 1, host);
  expect_refused(relay, 1, "of site oslo");
  EXPECT_EQ(attachment(host).way.session, 0U);
}

TEST_F(RelayTest, a_relay_does_not_speak_for_a_host_that_it_did_not_introduce) {
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  Attached& relay = attach(relay_);
  relay.client->send({.host = "berlin-1",
                      .kind = EnvelopeKind::observed,
                      .document = fleet::write_observed({}),
                      .line = 1});
  expect_refused(relay, 1, "may not speak for");
  // With a certificate of another host, of nobody, of itself.
  const Member other = join(pki::Role::host, "berlin-2", "berlin");
  relay.client->send({.host = "berlin-1",
                      .kind = EnvelopeKind::hello,
                      .document = fleet::write_hello({}),
                      .line = 2,
                      .certificate_pem = other.certificate});
  expect_refused(relay, 2, "shows a certificate of berlin-2");
  introduce(relay, 3, {.identity = host.identity});
  expect_refused(relay, 3, "");
  introduce(relay, 5, {.identity = host.identity, .certificate = relay_.certificate});
  expect_refused(relay, 5, "is no host");
}

TEST_F(RelayTest, a_host_carries_nobody) {
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  const Member other = join(pki::Role::host, "berlin-2", "berlin");
  Attached& session = attach(host);
  introduce(session, 1, other);
  expect_refused(session, 1, "may not speak for");
}

TEST_F(RelayTest, a_removed_host_is_refused_and_its_relay_stays) {
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  const Member other = join(pki::Role::host, "berlin-2", "berlin");
  Attached& relay = attach(relay_);
  introduce(relay, 1, host);
  expect_desired(relay, 1);
  ASSERT_TRUE(control_->remove_host("berlin-1", false, "test"));
  expect_refused(relay, 1, "was removed from the fleet");
  introduce(relay, 2, host);
  expect_refused(relay, 2, "was removed from the fleet");
  introduce(relay, 3, other);
  expect_desired(relay, 3);
}

TEST_F(RelayTest, a_removed_relay_is_let_go) {
  Attached& relay = attach(relay_);
  ASSERT_TRUE(control_->remove_host("berlin-relay", false, "test"));
  run_until([&] { return relay.ended.has_value(); }, "its end");
  EXPECT_THAT(attach(relay_).ended->to_string(), HasSubstr("was removed"));
}

TEST_F(RelayTest, an_agent_that_comes_by_another_way_is_closed_on_the_old_one) {
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  const Member second = join(pki::Role::relay, "berlin-relay-2", "berlin");
  Attached& first_relay = attach(relay_);
  Attached& second_relay = attach(second);
  introduce(first_relay, 1, host);
  expect_desired(first_relay, 1);
  introduce(first_relay, 2, host);
  expect_refused(first_relay, 1, "attached again");
  introduce(second_relay, 1, host);
  expect_refused(first_relay, 2, "attached again");
  expect_desired(second_relay, 1);
  // What the first relay still says of it does not count.
  first_relay.client->send({.host = "berlin-1", .kind = EnvelopeKind::gone, .line = 2});
  expect_refused(first_relay, 2, "");
  EXPECT_EQ(control_->relay_of(attachment(host).way), "berlin-relay-2");

  Attached& direct = attach(host);
  direct.client->send(
      {"berlin-1", EnvelopeKind::hello, 0, fleet::write_hello({.incarnation = "first"})});
  expect_desired(direct, 0);
  expect_refused(second_relay, 1, "attached again");
}

TEST_F(RelayTest, two_agents_with_one_identity_are_told_of) {
  const Member host = join(pki::Role::host, "berlin-1", "berlin");
  Attached& relay = attach(relay_);
  introduce(relay, 1, host, "first");
  expect_desired(relay, 1);
  introduce(relay, 2, host, "second");
  expect_refused(relay, 2, "another agent is attached as berlin-1");
  relay.client->send({.host = "berlin-1", .kind = EnvelopeKind::heartbeat, .line = 1});
  const auto alarms = [&] {
    const auto events = control_->events().after(0, EventLog::kMaxKept, "berlin-1");
    return std::ranges::count_if(events,
                                 [](const FleetEvent& event) { return event.severity == "alarm"; });
  };
  run_until([&] { return alarms() == 1; }, "an alarm");
  EXPECT_EQ(attachment(host).way.line, 1U);
  relay.client->send({.host = "berlin-1", .kind = EnvelopeKind::gone, .line = 1});
  introduce(relay, 3, host, "third");
  expect_desired(relay, 3);
  introduce(relay, 4, host, "first");
  expect_refused(relay, 4, "two agents say that they are berlin-1");
  EXPECT_EQ(attachment(host).way.line, 3U);
}

TEST_F(RelayTest, a_host_renews_through_its_relay_and_the_replaced_certificate_is_refused) {
  const Member old = join(pki::Role::host, "berlin-1", "berlin");
  Member renewed{.identity = old.identity};
  rpc::RenewRequest request{.request_pem = pki::make_request(renewed.key, old.identity).value(),
                            .certificate_pem = old.certificate};
  const auto ask = [&](const Member& relay) {
    std::optional<Result<rpc::Credentials>> answer;
    const auto call = rpc::CredentialsCall::renew(
        loop_, clock_, address(), relay.own(), request,
        [&](Result<rpc::Credentials> given) { answer = std::move(given); });
    run_until([&] { return answer.has_value(); }, "an answer");
    return *answer;
  };
  // By a relay alone, which has not the host's key; by one of another site.
  request.proof = pki::prove_sender(relay_.key, request.request_pem).value();
  EXPECT_THAT(ask(relay_).error().to_string(), HasSubstr("was not sent by the host"));
  request.proof = pki::prove_sender(old.key, request.request_pem).value();
  EXPECT_THAT(ask(join(pki::Role::relay, "oslo-relay", "oslo")).error().to_string(),
              HasSubstr("may not speak for"));

  renewed.certificate = ask(relay_).value().certificate_pem;
  Attached& relay = attach(relay_);
  introduce(relay, 1, old);  // it counts until the new one is shown
  expect_desired(relay, 1);
  introduce(relay, 2, renewed);
  expect_desired(relay, 2);
  introduce(relay, 3, old);
  expect_refused(relay, 3, "a certificate that was replaced");
}

TEST_F(RelayTest, a_token_for_hosts_makes_no_relay_and_the_other_way_round) {
  const Member host{.identity = {pki::Role::host, "h"}};
  const Member relay{.identity = {pki::Role::relay, "r"}};
  EXPECT_EQ(ask_to_join(relay, token("berlin", false)).error().code(),
            ErrorCode::permission_denied);
  EXPECT_EQ(ask_to_join(host, token("berlin", true)).error().code(), ErrorCode::permission_denied);
  // Nor does the key of a host that has joined.
  Member both = join(pki::Role::host, "berlin-1", "berlin");
  both.identity.role = pki::Role::relay;
  EXPECT_FALSE(ask_to_join(both, token("berlin", true)));
  std::optional<Result<std::string>> made;
  control_->enrolment().make_token({.is_relay = true, .by = "test"}, {"127.0.0.1:1"},
                                   [&](Result<std::string> text) { made = std::move(text); });
  ASSERT_TRUE(made);
  EXPECT_THAT(made->error().message(), HasSubstr("has to name the site"));
}

TEST_F(RelayTest, more_hosts_than_a_session_takes_at_once_all_get_what_is_wanted) {
  constexpr std::uint64_t kHosts = rpc::FleetServer::kMaxUnsent + 64;
  Attached& relay = attach(relay_);
  for (std::uint64_t line = 1; line <= kHosts; ++line) {
    introduce(relay, line, join(pki::Role::host, fmt::format("berlin-{}", line), "berlin"));
  }
  run_until([&] { return relay.got.size() == kHosts; }, "all of them");
  control_->stop(true, "test");  // concerns all at once
  run_until([&] { return relay.got.size() == 2 * kHosts; }, "all of them again");
  EXPECT_FALSE(relay.ended);
}

}  // namespace
}  // namespace segue::server
