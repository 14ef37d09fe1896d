// SPDX-License-Identifier: Apache-2.0
// One call of Attach, between gRPC's threads and the loop's.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/server_callback.h>

#include <deque>
#include <memory>
#include <mutex>

#include "os/loop_mailbox.h"
#include "rpc/fleet_server.h"
#include "rpc/messages.h"

namespace segue::rpc {

class Session final : public grpc::ServerBidiReactor<wire::Envelope, wire::Envelope>,
                      public std::enable_shared_from_this<Session> {
 public:
  // Called on the loop's thread.
  struct Owner {
    std::function<base::Result<void>(const std::shared_ptr<Session>&)> attached;
    std::function<void(Session&, Envelope)> received;
    std::function<void(Session&)> detached;
    std::function<void(Session&)> room;
  };

  Session(grpc::CallbackServerContext* context, pki::Certificate who,
          os::LoopMailbox::Poster poster, std::weak_ptr<const Owner> owner);

  // On gRPC's thread; it holds itself until OnDone().
  void begin();

  // ---- On the loop's thread
  [[nodiscard]] const pki::Certificate& who() const { return who_; }
  void send(Envelope&& envelope);
  bool has_room();
  void end(const grpc::Status& status);
  SessionId id = 0;

  // ---- On gRPC's threads
  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;

 private:
  void enter();
  void finish(const grpc::Status& status);
  void finish_locked(const grpc::Status& status);

  grpc::CallbackServerContext* context_;
  const pki::Certificate who_;
  const os::LoopMailbox::Poster poster_;
  const std::weak_ptr<const Owner> owner_;
  std::shared_ptr<Session> self_;
  wire::Envelope incoming_;  // between StartRead() and the next: nobody else's

  std::mutex mutex_;
  std::deque<wire::Envelope> unsent_;  // the first is being written, if `writing_`
  bool writing_ = false;
  bool wants_room_ = false;
  bool finished_ = false;
  std::optional<grpc::Status> finish_with_;  // when what is being written is
};

}  // namespace segue::rpc
