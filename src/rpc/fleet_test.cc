// SPDX-License-Identifier: Apache-2.0
// Both ends over real connections on loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>

#include "crypto/keys.h"
#include "os/files.h"
#include "os/temp_directory.h"
#include "pki/authority.h"
#include "pki/request.h"
#include "rpc/fleet_client.h"
#include "rpc/fleet_server.h"

namespace segue::rpc {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using std::chrono::hours;
using testing::ElementsAre;
using testing::HasSubstr;

const std::string kSerial = "0123456789abcdef";

struct Keys {
  crypto::PrivateKey key = crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value();
  std::string certificate;

  [[nodiscard]] OwnCertificate own() const { return {certificate, key.to_pem("").value()}; }
};

class Handler final : public FleetHandler {
 public:
  void join(const JoinRequest& request, GiveCredentials give) override {
    joins.push_back(request);
    if (request.token != "good") return give(fail(ErrorCode::permission_denied, "no such token"));
    give(Credentials{"certificate", "authorities", "site"});
  }
  void renew(const pki::Certificate& who, const RenewRequest& request,
             GiveCredentials give) override {
    renewed.push_back(who.identity.name);
    give(Credentials{request.request_pem, request.certificate_pem + request.proof});
  }
  Result<void> attached(SessionId session, const pki::Certificate& who) override {
    if (who.identity.name == "unknown") {
      return fail(ErrorCode::permission_denied, "the host unknown is not known here");
    }
    sessions[session] = who.identity.name;
    return {};
  }
  void received(SessionId session, Envelope envelope) override {
    envelopes.push_back(std::move(envelope));
    if (answer) server->send(session, *answer);
  }
  void refused(const base::Error& why) override { refusals.push_back(why.message()); }
  void detached(SessionId session) override { gone.push_back(sessions.at(session)); }
  void room(SessionId /*session*/) override {
    if (on_room) on_room();
  }

  FleetServer* server = nullptr;
  std::vector<JoinRequest> joins;
  std::vector<std::string> renewed;
  std::map<SessionId, std::string> sessions;
  std::vector<std::string> gone;
  std::vector<std::string> refusals;
  std::vector<Envelope> envelopes;
  std::optional<Envelope> answer;
  std::function<void()> on_room;
};

class FleetTest : public testing::Test {
 protected:
  void SetUp() override {
    server_keys_ = keys_for({pki::Role::server, "main"});
    write("certificate.pem", server_keys_.certificate + authority_.certificate());
    write("key.pem", server_keys_.own().key_pem);
    FleetServer::Settings settings{"127.0.0.1:0", path("certificate.pem"), path("key.pem"),
                                   authority_.certificate()};
    server_ = FleetServer::open(loop_, clock_, settings, handler_).value();
    handler_.server = server_.get();
    host_ = keys_for({pki::Role::host, "db-1"});
  }

  std::string path(const std::string& name) { return directory_.path() + "/" + name; }
  void write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(os::write_file_atomically(path(name), text));
  }
  Keys keys_for(const pki::Identity& identity, base::Duration lifetime = hours(1)) {
    Keys keys;
    keys.certificate =
        authority_
            .issue(keys.key.public_key(), {identity, lifetime, {}, kSerial}, clock_.realtime_now())
            .value();
    return keys;
  }
  ServerAddress address() {
    return {fmt::format("127.0.0.1:{}", server_->port()), authority_.certificate(), ""};
  }
  void run_until(const std::function<bool()>& done) {
    const auto deadline = clock_.monotonic_now() + std::chrono::seconds(60);
    while (!done() && clock_.monotonic_now() < deadline) {
      ASSERT_TRUE(loop_.run_once(std::chrono::milliseconds(100)));
    }
    ASSERT_TRUE(done());
  }
  std::unique_ptr<FleetClient> attach(const Keys& keys, const ServerAddress& to) {
    ended_.reset();
    attached_ = false;
    return FleetClient::open(loop_, clock_, to, keys.own(),
                             {.attached = [this] { attached_ = true; },
                              .received = [this](Envelope e) { got_.push_back(std::move(e)); },
                              .ended = [this](base::Error e) { ended_ = std::move(e); }})
        .value();
  }
  Result<Credentials> credentials(
      const std::function<Result<std::unique_ptr<CredentialsCall>>(TakeCredentials)>& call) {
    std::optional<Result<Credentials>> taken;
    const auto held = call([&](Result<Credentials> given) { taken = std::move(given); });
    run_until([&] { return taken.has_value(); });
    return *taken;
  }

  os::SystemClock clock_;
  os::EpollLoop loop_ = os::EpollLoop::create(clock_).value();
  os::TempDirectory directory_;
  pki::Authority authority_ =
      pki::Authority::create(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value(),
                             "test", clock_.realtime_now(), hours(1000), kSerial)
          .value();
  Keys server_keys_;
  Keys host_;
  Handler handler_;
  std::unique_ptr<FleetServer> server_;
  bool attached_ = false;
  std::vector<Envelope> got_;
  std::optional<base::Error> ended_;
};

TEST_F(FleetTest, a_host_with_a_certificate_attaches_and_both_send) {
  handler_.answer = Envelope{"db-1", EnvelopeKind::desired, 7, "{}"};
  const auto client = attach(host_, address());
  run_until([&] { return attached_; });
  const Envelope hello{"db-1", EnvelopeKind::hello, 3, "{\"a\":1}"};
  EXPECT_TRUE(client->send(hello));
  EXPECT_TRUE(client->send({"db-1", EnvelopeKind::heartbeat, 4, ""}));
  run_until([&] { return got_.size() == 2; });
  EXPECT_EQ(handler_.envelopes.front(), hello);
  EXPECT_EQ(got_.front(), *handler_.answer);
}

TEST_F(FleetTest, the_server_hears_that_a_host_has_gone) {
  auto client = attach(host_, address());
  run_until([&] { return attached_; });
  client.reset();
  run_until([&] { return !handler_.gone.empty(); });
  EXPECT_THAT(handler_.gone, ElementsAre("db-1"));
  EXPECT_FALSE(server_->send(handler_.sessions.begin()->first, {}));
}

TEST_F(FleetTest, the_host_hears_that_the_server_has_gone) {
  const auto client = attach(host_, address());
  run_until([&] { return attached_; });
  server_.reset();
  run_until([&] { return ended_.has_value(); });
  EXPECT_FALSE(client->send({}));
}

TEST_F(FleetTest, a_session_that_the_server_closes_is_told_why) {
  const auto client = attach(host_, address());
  run_until([&] { return attached_; });
  server_->close(handler_.sessions.begin()->first,
                 {ErrorCode::permission_denied, "revoked by somebody"});
  run_until([&] { return ended_.has_value(); });
  EXPECT_EQ(ended_->code(), ErrorCode::permission_denied);
  EXPECT_THAT(ended_->to_string(), HasSubstr("revoked by somebody"));
}

TEST_F(FleetTest, whom_the_handler_refuses_is_told_why) {
  const auto client = attach(keys_for({pki::Role::host, "unknown"}), address());
  run_until([&] { return ended_.has_value(); });
  EXPECT_FALSE(attached_);
  EXPECT_THAT(ended_->to_string(), HasSubstr("is not known here"));
  EXPECT_THAT(handler_.gone, ElementsAre());
}

TEST_F(FleetTest, an_expired_certificate_renews_but_does_not_attach) {
  const Keys expired = keys_for({pki::Role::host, "db-1"}, -std::chrono::minutes(1));
  const auto client = attach(expired, address());
  run_until([&] { return ended_.has_value(); });
  EXPECT_THAT(ended_->to_string(), HasSubstr("expired"));

  const auto renewed = credentials([&](TakeCredentials take) {
    return CredentialsCall::renew(loop_, clock_, address(), expired.own(), {"request", "", ""},
                                  take);
  });
  ASSERT_TRUE(renewed) << renewed.error().to_string();
  EXPECT_EQ(renewed->certificate_pem, "request");
  EXPECT_THAT(handler_.renewed, ElementsAre("db-1"));
}

TEST_F(FleetTest, a_relay_asks_for_a_certificate_of_a_host) {
  const Keys relay = keys_for({pki::Role::relay, "r-1"});
  const auto renewed = credentials([&](TakeCredentials take) {
    return CredentialsCall::renew(loop_, clock_, address(), relay.own(),
                                  {"request", "certificate,", "proof"}, take);
  });
  ASSERT_TRUE(renewed) << renewed.error().to_string();
  EXPECT_EQ(renewed->certificate_pem, "request");
  EXPECT_EQ(renewed->authorities_pem, "certificate,proof");
}

TEST_F(FleetTest, what_is_between_a_relay_and_its_server_arrives) {
  handler_.answer = Envelope{.host = "db-1", .kind = EnvelopeKind::refused, .line = 3};
  const auto client = attach(keys_for({pki::Role::relay, "r-1"}), address());
  run_until([&] { return attached_; });
  const Envelope hello{.host = "db-1",
                       .kind = EnvelopeKind::hello,
                       .line = 3,
                       .certificate_pem = "certificate",
                       .lines = {3, std::uint64_t{1} << 40U}};
  EXPECT_TRUE(client->send(hello));
  run_until([&] { return !got_.empty(); });
  EXPECT_EQ(handler_.envelopes.front(), hello);
  EXPECT_EQ(got_.front(), *handler_.answer);
}

TEST_F(FleetTest, who_has_much_to_send_sends_as_it_is_taken) {
  constexpr std::size_t kMany = 4 * FleetServer::kMaxUnsent;
  std::size_t sent = 0;
  std::size_t answered = 0;
  SessionId session = 0;
  handler_.on_room = [&] {
    while (answered < kMany && server_->has_room(session)) {
      server_->send(session, {"r-1", EnvelopeKind::desired, ++answered, "{}"});
    }
  };
  std::unique_ptr<FleetClient> client;
  const auto send_more = [&] {
    while (sent < kMany && client->has_room()) {
      ASSERT_TRUE(client->send({"r-1", EnvelopeKind::observed, ++sent, "{}"}));
    }
  };
  client = FleetClient::open(loop_, clock_, address(), host_.own(),
                             {.attached = [&] { attached_ = true; },
                              .received = [&](Envelope e) { got_.push_back(std::move(e)); },
                              .ended = [&](base::Error e) { ended_ = std::move(e); },
                              .room = send_more})
               .value();
  run_until([&] { return attached_; });
  session = handler_.sessions.begin()->first;
  send_more();
  handler_.on_room();
  run_until([&] { return handler_.envelopes.size() == kMany && got_.size() == kMany; });
  EXPECT_FALSE(ended_);
  EXPECT_EQ(got_.back().number, kMany);
  EXPECT_EQ(handler_.envelopes.back().number, kMany);
}

TEST_F(FleetTest, a_certificate_of_another_authority_neither_attaches_nor_renews) {
  const auto ours = std::exchange(
      authority_,
      pki::Authority::create(crypto::PrivateKey::generate(crypto::KeyType::ecdsa_p256).value(),
                             "test", clock_.realtime_now(), hours(1000), kSerial)
          .value());
  const Keys foreign = keys_for({pki::Role::host, "db-1"});
  authority_ = ours;
  const auto client = attach(foreign, address());
  run_until([&] { return ended_.has_value() && !handler_.refusals.empty(); });
  EXPECT_EQ(ended_->code(), ErrorCode::permission_denied);
  EXPECT_THAT(handler_.refusals, ElementsAre(HasSubstr("its certificate is refused")));
  const auto renewed = credentials([&](TakeCredentials take) {
    return CredentialsCall::renew(loop_, clock_, address(), foreign.own(), {"request", "", ""},
                                  take);
  });
  ASSERT_FALSE(renewed);
  EXPECT_EQ(renewed.error().code(), ErrorCode::permission_denied);
  EXPECT_TRUE(handler_.sessions.empty());
}

TEST_F(FleetTest, a_token_joins_when_the_servers_authority_has_the_pin) {
  ServerAddress pinned{address().address, "", pki::pin_of(authority_.certificate()).value()};
  const JoinRequest request{"good", "request", "berlin", {"disk=ssd"}, "1.0"};
  const auto joined = credentials([&](TakeCredentials take) {
    return CredentialsCall::join(loop_, clock_, pinned, request, take);
  });
  ASSERT_TRUE(joined) << joined.error().to_string();
  EXPECT_EQ(joined->authorities_pem, "authorities");
  EXPECT_EQ(handler_.joins.front().labels, request.labels);

  pinned.authority_pin = std::string(64, '0');
  const auto refused = credentials([&](TakeCredentials take) {
    return CredentialsCall::join(loop_, clock_, pinned, request, take);
  });
  ASSERT_FALSE(refused);
  EXPECT_EQ(handler_.joins.size(), 1U);
  EXPECT_THAT(refused.error().to_string(), HasSubstr("its authority is another"));
}

TEST_F(FleetTest, a_host_that_plays_the_server_is_not_believed) {
  write("certificate.pem", host_.certificate + authority_.certificate());
  write("key.pem", host_.own().key_pem);
  server_.reset();
  FleetServer::Settings settings{"127.0.0.1:0", path("certificate.pem"), path("key.pem"),
                                 authority_.certificate()};
  server_ = FleetServer::open(loop_, clock_, settings, handler_).value();
  const auto client = attach(host_, address());
  run_until([&] { return ended_.has_value(); });
  EXPECT_THAT(ended_->to_string(), HasSubstr("not a server"));
}

TEST_F(FleetTest, whoever_expects_a_relay_believes_no_server) {
  ServerAddress relay = address();
  relay.role = pki::Role::relay;
  const auto client = attach(host_, relay);
  run_until([&] { return ended_.has_value(); });
  EXPECT_THAT(ended_->to_string(), HasSubstr("not a relay"));
}

TEST_F(FleetTest, what_is_no_text_ends_the_session_and_fills_no_log) {
  testing::internal::CaptureStderr();
  for (int i = 0; i < 5; ++i) {
    const auto client = attach(host_, address());
    run_until([&] { return attached_; });
    EXPECT_TRUE(client->send({"db-1\xff", EnvelopeKind::heartbeat, 0, ""}));
    run_until([&] { return ended_.has_value(); });
    EXPECT_EQ(ended_->code(), ErrorCode::invalid_argument);
    EXPECT_THAT(ended_->to_string(), HasSubstr("no envelope"));
  }
  run_until([&] { return handler_.gone.size() == 5; });
  const auto joined = credentials([&](TakeCredentials take) {
    return CredentialsCall::join(loop_, clock_, address(), {"good\xc0", "", "", {}, ""}, take);
  });
  EXPECT_FALSE(joined);
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_TRUE(handler_.envelopes.empty());
  EXPECT_TRUE(handler_.joins.empty());
  // Of an envelope's parts that is the document's own affair.
  const auto client = attach(host_, address());
  EXPECT_TRUE(client->send({"db-1", EnvelopeKind::observed, 0, "\xff"}));
  run_until([&] { return handler_.envelopes.size() == 1; });
  EXPECT_EQ(handler_.envelopes.front().document, "\xff");
}

TEST_F(FleetTest, a_host_that_does_not_read_is_let_go) {
  auto client = attach(host_, address());
  run_until([&] { return attached_; });
  const SessionId session = handler_.sessions.begin()->first;
  // The client's loop does not turn, as it is this thread's.
  const std::string document(kMaxDocumentBytes / 8, 'x');
  for (std::size_t i = 0; i < FleetServer::kMaxUnsent + 64; ++i) {
    server_->send(session, {"db-1", EnvelopeKind::desired, i, document});
  }
  run_until([&] { return !handler_.gone.empty(); });
}

TEST_F(FleetTest, a_port_that_is_taken_is_an_error) {
  const FleetServer::Settings settings{address().address, path("certificate.pem"), path("key.pem"),
                                       authority_.certificate()};
  const auto second = FleetServer::open(loop_, clock_, settings, handler_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), ErrorCode::unavailable);
}

TEST_F(FleetTest, a_server_that_is_not_there_is_unavailable) {
  const auto client = attach(host_, {"127.0.0.1:1", authority_.certificate(), ""});
  run_until([&] { return ended_.has_value(); });
  EXPECT_EQ(ended_->code(), ErrorCode::unavailable);
  EXPECT_THAT(ended_->to_string(), HasSubstr("127.0.0.1:1"));
}

}  // namespace
}  // namespace segue::rpc
