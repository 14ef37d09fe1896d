// SPDX-License-Identifier: Apache-2.0
#include "rpc/fleet_server.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_credentials_options.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>

#include <atomic>
#include <unordered_map>

#include "base/assert.h"
#include "fleet.grpc.pb.h"
#include "os/loop_mailbox.h"
#include "rpc/grpc_runtime.h"
#include "rpc/session.h"
#include "rpc/status.h"

namespace segue::rpc {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;
constexpr unsigned kRereadCertificateS = 30;
constexpr int kMaxUntoldRefusals = 16;

// A unary call that the loop's thread answers.
class CredentialsReactor final : public grpc::ServerUnaryReactor,
                                 public std::enable_shared_from_this<CredentialsReactor> {
 public:
  explicit CredentialsReactor(wire::Credentials* answer) : answer_(answer) {}

  void hold() { self_ = shared_from_this(); }
  void give(Result<Credentials> credentials) {
    const std::lock_guard lock(mutex_);
    if (finished_) return;
    finished_ = true;
    if (!credentials) return Finish(status_of(credentials.error()));
    answer_->set_certificate_pem(std::move(credentials->certificate_pem));
    answer_->set_authorities_pem(std::move(credentials->authorities_pem));
    answer_->set_site(std::move(credentials->site));
    Finish(grpc::Status::OK);
  }
  void OnCancel() override { give(fail(ErrorCode::unavailable, "the call was cancelled")); }
  void OnDone() override { self_.reset(); }

 private:
  wire::Credentials* answer_;
  std::mutex mutex_;
  bool finished_ = false;
  std::shared_ptr<CredentialsReactor> self_;
};

std::shared_ptr<grpc::ServerCredentials> credentials_of(const FleetServer::Settings& settings) {
  grpc::experimental::TlsServerCredentialsOptions options(
      std::make_shared<grpc::experimental::FileWatcherCertificateProvider>(
          settings.key_file, settings.certificate_file, kRereadCertificateS));
  options.watch_identity_key_cert_pairs();
  // Verified by ourselves: an expired certificate still renews.
  options.set_cert_request_type(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  return grpc::experimental::TlsServerCredentials(options);
}

}  // namespace

struct FleetServer::State {
  class Service final : public wire::Fleet::CallbackService {
   public:
    explicit Service(State& state) : state_(state) {}

    grpc::ServerUnaryReactor* Join(grpc::CallbackServerContext* /*context*/,
                                   const wire::JoinRequest* request,
                                   wire::Credentials* answer) override {
      JoinRequest join{request->token(),
                       request->request_pem(),
                       request->site(),
                       {request->labels().begin(), request->labels().end()},
                       request->program_version()};
      return answer_later(answer, [&state = state_, join = std::move(join)](GiveCredentials give) {
        state.handler.join(join, std::move(give));
      });
    }

    grpc::ServerUnaryReactor* Renew(grpc::CallbackServerContext* context,
                                    const wire::RenewRequest* request,
                                    wire::Credentials* answer) override {
      auto who = state_.caller(*context, pki::Expiry::allowed);
      return answer_later(answer,
                          [&state = state_, who = std::move(who),
                           renew = RenewRequest{request->request_pem(), request->certificate_pem(),
                                                request->proof()}](GiveCredentials give) {
                            if (!who) return give(fail(who.error()));
                            state.handler.renew(*who, renew, std::move(give));
                          });
    }

    grpc::ServerBidiReactor<wire::Envelope, wire::Envelope>* Attach(
        grpc::CallbackServerContext* context) override {
      auto who = state_.caller(*context, pki::Expiry::refused);
      if (!who) {
        state_.tell_refusal(who.error());
        return new Refusal(status_of(who.error()));
      }
      const auto session = std::make_shared<Session>(context, *std::move(who),
                                                     state_.mailbox->poster(), state_.owner);
      session->begin();
      return session.get();
    }

   private:
    class Refusal final : public grpc::ServerBidiReactor<wire::Envelope, wire::Envelope> {
     public:
      explicit Refusal(const grpc::Status& status) { Finish(status); }
      void OnDone() override { delete this; }  // gRPC's own way for reactors
    };

    grpc::ServerUnaryReactor* answer_later(wire::Credentials* answer,
                                           const std::function<void(GiveCredentials)>& ask) {
      const auto reactor = std::make_shared<CredentialsReactor>(answer);
      reactor->hold();
      const bool posted = state_.mailbox->poster().post([reactor, ask] {
        ask([reactor](Result<Credentials> credentials) { reactor->give(std::move(credentials)); });
      });
      if (!posted) reactor->give(fail(ErrorCode::unavailable, "the server ends"));
      return reactor.get();
    }

    State& state_;
  };

  State(const os::Clock& its_clock, FleetHandler& its_handler, std::string authorities)
      : clock(its_clock), handler(its_handler), authorities_pem(std::move(authorities)) {}

  [[nodiscard]] Result<pki::Certificate> caller(const grpc::CallbackServerContext& context,
                                                pki::Expiry expiry) const {
    const auto shown = context.auth_context()->FindPropertyValues("x509_pem_cert");
    if (shown.size() != 1) {
      return fail(ErrorCode::permission_denied, "no certificate was shown: join first");
    }
    return pki::verify_certificate({shown.front().data(), shown.front().size()}, authorities_pem,
                                   clock.realtime_now(), expiry);
  }

  Result<void> attached(const std::shared_ptr<Session>& session) {
    session->id = ++last_id;
    sessions.emplace(session->id, session);
    auto let_in = handler.attached(session->id, session->who());
    if (!let_in) sessions.erase(session->id);
    return let_in;
  }

  // Of a flood of them not every one is told.
  void tell_refusal(const base::Error& why) {
    if (untold_refusals.fetch_add(1) >= kMaxUntoldRefusals) {
      --untold_refusals;
      return;
    }
    mailbox->poster().post([this, why] {
      --untold_refusals;
      handler.refused(why);
    });
  }

  void detached(const Session& session) {
    if (sessions.erase(session.id) != 0) handler.detached(session.id);
  }

  const os::Clock& clock;
  FleetHandler& handler;
  const std::string authorities_pem;
  std::unique_ptr<os::LoopMailbox> mailbox;
  std::shared_ptr<const Session::Owner> owner;
  std::unordered_map<SessionId, std::shared_ptr<Session>> sessions;
  SessionId last_id = 0;
  std::atomic<int> untold_refusals = 0;  // of gRPC's threads
  int port = 0;
  Service service{*this};
  std::unique_ptr<grpc::Server> server;
};

FleetServer::FleetServer(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<FleetServer>> FleetServer::open(os::EpollLoop& loop, const os::Clock& clock,
                                                       const Settings& settings,
                                                       FleetHandler& handler) {
  prepare_grpc();
  auto state = std::make_unique<State>(clock, handler, settings.authorities_pem);
  SEGUE_ASSIGN(state->mailbox, os::LoopMailbox::open(loop));
  state->owner = std::make_shared<const Session::Owner>(Session::Owner{
      .attached = [&held = *state](const auto& session) { return held.attached(session); },
      .received =
          [&held = *state](const Session& session, Envelope envelope) {
            held.handler.received(session.id, std::move(envelope));
          },
      .detached = [&held = *state](const Session& session) { held.detached(session); },
      .room =
          [&held = *state](const Session& session) {
            if (held.sessions.contains(session.id)) held.handler.room(session.id);
          }});
  grpc::ServerBuilder builder;
  builder.AddListeningPort(settings.address, credentials_of(settings), &state->port);
  builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                             kKeepaliveMs / 2);
  builder.SetMaxReceiveMessageSize(kMaxMessageBytes);
  builder.RegisterService(&state->service);
  state->server = builder.BuildAndStart();
  if (!state->server || state->port == 0) {
    return fail(ErrorCode::unavailable,
                "cannot listen on {}: is the port taken, and is there a certificate in {}?",
                settings.address, settings.certificate_file);
  }
  return std::unique_ptr<FleetServer>(new FleetServer(std::move(state)));
}

FleetServer::~FleetServer() {
  state_->owner.reset();
  state_->mailbox.reset();  // nothing comes to the loop any more
  state_->server->Shutdown(std::chrono::system_clock::time_point{});
  state_->server->Wait();
}

std::uint16_t FleetServer::port() const {
  return static_cast<std::uint16_t>(state_->port);
}

bool FleetServer::send(SessionId session, Envelope envelope) {
  const auto found = state_->sessions.find(session);
  if (found == state_->sessions.end()) return false;
  found->second->send(std::move(envelope));
  return true;
}

bool FleetServer::has_room(SessionId session) {
  const auto found = state_->sessions.find(session);
  return found != state_->sessions.end() && found->second->has_room();
}

void FleetServer::close(SessionId session, const base::Error& why) {
  const auto found = state_->sessions.find(session);
  if (found != state_->sessions.end()) found->second->end(status_of(why));
}

}  // namespace segue::rpc
