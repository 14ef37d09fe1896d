// SPDX-License-Identifier: Apache-2.0
#include "rpc/fleet_client.h"

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/tls_certificate_provider.h>
#include <grpcpp/security/tls_certificate_verifier.h>
#include <grpcpp/security/tls_credentials_options.h>

#include <deque>
#include <mutex>

#include "fleet.grpc.pb.h"
#include "os/loop_mailbox.h"
#include "pki/certificate.h"
#include "rpc/grpc_runtime.h"
#include "rpc/messages.h"
#include "rpc/status.h"

namespace segue::rpc {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

constexpr int kKeepaliveMs = 20'000;
constexpr int kKeepaliveTimeoutMs = 10'000;

Result<void> check_server(const ServerAddress& server, const std::string& chain_pem,
                          base::RealTime now) {
  std::string authorities = server.authorities_pem;
  if (authorities.empty()) {
    SEGUE_ASSIGN(authorities, pki::pinned_authority(chain_pem, server.authority_pin));
  }
  SEGUE_ASSIGN(const auto certificate,
               pki::verify_certificate(chain_pem, authorities, now, pki::Expiry::refused));
  if (certificate.identity.role == server.role) return {};
  return fail(ErrorCode::permission_denied, "{} is {}, not a {}", server.address,
              pki::uri_of(certificate.identity), to_string(server.role));
}

// Names and addresses say nothing here: whom the authority calls a server is one.
class ServerVerifier final : public grpc::experimental::ExternalCertificateVerifier {
 public:
  ServerVerifier(const os::Clock& clock, ServerAddress server)
      : clock_(clock), server_(std::move(server)) {}

  bool Verify(grpc::experimental::TlsCustomVerificationCheckRequest* request,
              std::function<void(grpc::Status)> /*callback*/, grpc::Status* status) override {
    const auto chain = request->peer_cert_full_chain();
    const auto checked =
        check_server(server_, std::string(chain.data(), chain.size()), clock_.realtime_now());
    *status = checked ? grpc::Status::OK
                      : grpc::Status(grpc::StatusCode::UNAUTHENTICATED, checked.error().message());
    return true;
  }
  void Cancel(grpc::experimental::TlsCustomVerificationCheckRequest* /*request*/) override {}

 private:
  const os::Clock& clock_;
  const ServerAddress server_;
};

std::unique_ptr<wire::Fleet::Stub> stub_for(const os::Clock& clock, const ServerAddress& server,
                                            const OwnCertificate* own) {
  prepare_grpc();
  grpc::experimental::TlsChannelCredentialsOptions options;
  options.set_verify_server_certs(false);  // by the verifier
  options.set_check_call_host(false);
  options.set_certificate_verifier(
      grpc::experimental::ExternalCertificateVerifier::Create<ServerVerifier>(clock, server));
  if (own != nullptr) {
    options.set_certificate_provider(
        std::make_shared<grpc::experimental::StaticDataCertificateProvider>(
            std::vector<grpc::experimental::IdentityKeyCertPair>{
                {own->key_pem, own->certificate_pem}}));
    options.watch_identity_key_cert_pairs();
  }
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMs);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveTimeoutMs);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);  // a new one shows a new certificate
  arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
  return wire::Fleet::NewStub(grpc::CreateCustomChannel(
      server.address, grpc::experimental::TlsCredentials(options), arguments));
}

base::Error error_at(const ServerAddress& server, const grpc::Status& status) {
  if (status.ok()) return {ErrorCode::unavailable, "the server ended the connection"};
  return error_of(status).with("server " + server.address);
}

}  // namespace

// ---- CredentialsCall

struct CredentialsCall::State {
  // Lives until gRPC has answered, whoever waits for that.
  struct Call {
    std::unique_ptr<wire::Fleet::Stub> stub;
    grpc::ClientContext context;
    wire::JoinRequest join;
    wire::RenewRequest renew;
    wire::Credentials answer;
  };

  static Result<std::unique_ptr<State>> make(os::EpollLoop& loop, const os::Clock& clock,
                                             const ServerAddress& server, const OwnCertificate* own,
                                             TakeCredentials take) {
    auto state = std::make_unique<State>();
    SEGUE_ASSIGN(state->mailbox, os::LoopMailbox::open(loop));
    state->call = std::make_shared<Call>();
    state->call->stub = stub_for(clock, server, own);
    state->call->context.set_deadline(clock.realtime_now() + CredentialsCall::kLimit);
    state->on_status = [poster = state->mailbox->poster(), call = state->call, server,
                        take = std::move(take)](const grpc::Status& status) {
      poster.post([call, server, take, status] {
        take(status.ok() ? Result<Credentials>(from_wire(call->answer))
                         : fail(error_at(server, status)));
      });
    };
    return state;
  }

  std::unique_ptr<os::LoopMailbox> mailbox;
  std::shared_ptr<Call> call;
  std::function<void(grpc::Status)> on_status;
};

CredentialsCall::CredentialsCall(std::unique_ptr<State> state) : state_(std::move(state)) {}
CredentialsCall::~CredentialsCall() {
  state_->call->context.TryCancel();
}

Result<std::unique_ptr<CredentialsCall>> CredentialsCall::join(os::EpollLoop& loop,
                                                               const os::Clock& clock,
                                                               const ServerAddress& server,
                                                               const JoinRequest& request,
                                                               TakeCredentials take) {
  SEGUE_ASSIGN(auto state, State::make(loop, clock, server, nullptr, std::move(take)));
  auto& call = *state->call;
  call.join.set_token(request.token);
  call.join.set_request_pem(request.request_pem);
  call.join.set_site(request.site);
  for (const auto& label : request.labels) call.join.add_labels(label);
  call.join.set_program_version(request.program_version);
  call.stub->async()->Join(&call.context, &call.join, &call.answer, state->on_status);
  return std::unique_ptr<CredentialsCall>(new CredentialsCall(std::move(state)));
}

Result<std::unique_ptr<CredentialsCall>> CredentialsCall::renew(
    os::EpollLoop& loop, const os::Clock& clock, const ServerAddress& server,
    const OwnCertificate& own, const RenewRequest& request, TakeCredentials take) {
  SEGUE_ASSIGN(auto state, State::make(loop, clock, server, &own, std::move(take)));
  auto& call = *state->call;
  call.renew.set_request_pem(request.request_pem);
  call.renew.set_certificate_pem(request.certificate_pem);
  call.renew.set_proof(request.proof);
  call.stub->async()->Renew(&call.context, &call.renew, &call.answer, state->on_status);
  return std::unique_ptr<CredentialsCall>(new CredentialsCall(std::move(state)));
}

// ---- FleetClient

namespace {

class Stream final : public grpc::ClientBidiReactor<wire::Envelope, wire::Envelope>,
                     public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::unique_ptr<wire::Fleet::Stub> stub, ServerAddress server,
         os::LoopMailbox::Poster poster, std::shared_ptr<const FleetClient::Handler> handler)
      : stub_(std::move(stub)),
        server_(std::move(server)),
        poster_(std::move(poster)),
        handler_(std::move(handler)) {}

  void begin() {
    self_ = shared_from_this();
    stub_->async()->Attach(&context_, this);
    AddHold();  // as writes are begun from outside of its callbacks
    reading_ = true;
    StartRead(&incoming_);
    StartCall();
  }

  // ---- On the loop's thread
  bool send(Envelope&& envelope) {
    const std::lock_guard lock(mutex_);
    if (ended_) return false;
    if (unsent_.size() >= FleetClient::kMaxUnsent) {
      context_.TryCancel();
      return false;
    }
    unsent_.push_back(to_wire(std::move(envelope)));
    if (unsent_.size() == 1) StartWrite(&unsent_.front());
    return true;
  }
  bool has_room() {
    const std::lock_guard lock(mutex_);
    wants_room_ = unsent_.size() >= FleetClient::kRoomy && !ended_;
    return !wants_room_;
  }
  // Nobody listens any more.
  void cancel() {
    context_.TryCancel();
    {
      const std::lock_guard lock(mutex_);
      if (reading_) return;  // whose end is still to come
    }
    release();
  }

  // ---- On gRPC's threads
  void OnReadInitialMetadataDone(bool ok) override {
    if (!ok) return;
    poster_.post([handler = handler_] {
      if (handler->attached) handler->attached();
    });
  }
  void OnReadDone(bool ok) override {
    {
      const std::lock_guard lock(mutex_);
      reading_ = false;
    }
    if (!ok) return release();
    if (!poster_.post([self = shared_from_this()] { self->deliver(); })) release();
  }
  void OnWriteDone(bool ok) override {
    const std::lock_guard lock(mutex_);
    if (!unsent_.empty()) unsent_.pop_front();
    if (!ok) {
      ended_ = true;
      return;
    }
    if (!unsent_.empty() && !ended_) StartWrite(&unsent_.front());
    if (unsent_.size() < FleetClient::kRoomy / 2 && std::exchange(wants_room_, false)) {
      poster_.post([handler = handler_] {
        if (handler->room) handler->room();
      });
    }
  }
  void OnDone(const grpc::Status& status) override {
    poster_.post(
        [handler = handler_, error = error_at(server_, status)] { handler->ended(error); });
    self_.reset();
  }

 private:
  void deliver() {
    handler_->received(from_wire(incoming_));
    const std::lock_guard lock(mutex_);
    if (released_) return;
    incoming_.Clear();
    reading_ = true;
    StartRead(&incoming_);
  }

  // No read is under way and none will be: what is left is the end of the call.
  void release() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
      if (released_) return;
      released_ = true;
    }
    context_.TryCancel();
    RemoveHold();
  }

  std::unique_ptr<wire::Fleet::Stub> stub_;
  const ServerAddress server_;
  const os::LoopMailbox::Poster poster_;
  const std::shared_ptr<const FleetClient::Handler> handler_;
  grpc::ClientContext context_;
  wire::Envelope incoming_;
  std::shared_ptr<Stream> self_;

  std::mutex mutex_;
  std::deque<wire::Envelope> unsent_;  // the first is being written
  bool wants_room_ = false;
  bool reading_ = false;
  bool ended_ = false;
  bool released_ = false;
};

}  // namespace

struct FleetClient::State {
  std::unique_ptr<os::LoopMailbox> mailbox;
  std::shared_ptr<Stream> stream;
};

FleetClient::FleetClient(std::unique_ptr<State> state) : state_(std::move(state)) {}
FleetClient::~FleetClient() {
  state_->mailbox.reset();
  state_->stream->cancel();
}

Result<std::unique_ptr<FleetClient>> FleetClient::open(os::EpollLoop& loop, const os::Clock& clock,
                                                       const ServerAddress& server,
                                                       const OwnCertificate& own, Handler handler) {
  auto state = std::make_unique<State>();
  SEGUE_ASSIGN(state->mailbox, os::LoopMailbox::open(loop));
  state->stream =
      std::make_shared<Stream>(stub_for(clock, server, &own), server, state->mailbox->poster(),
                               std::make_shared<const Handler>(std::move(handler)));
  state->stream->begin();
  return std::unique_ptr<FleetClient>(new FleetClient(std::move(state)));
}

bool FleetClient::send(Envelope envelope) {
  return state_->stream->send(std::move(envelope));
}

bool FleetClient::has_room() {
  return state_->stream->has_room();
}

}  // namespace segue::rpc
