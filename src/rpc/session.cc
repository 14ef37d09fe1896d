// SPDX-License-Identifier: Apache-2.0
#include "rpc/session.h"

#include "rpc/status.h"

namespace segue::rpc {

Session::Session(grpc::CallbackServerContext* context, pki::Certificate who,
                 os::LoopMailbox::Poster poster, std::weak_ptr<const Owner> owner)
    : context_(context),
      who_(std::move(who)),
      poster_(std::move(poster)),
      owner_(std::move(owner)) {}

void Session::begin() {
  self_ = shared_from_this();
  if (!poster_.post([self = self_] { self->enter(); })) {
    finish({grpc::StatusCode::UNAVAILABLE, "the server ends"});
  }
}

void Session::enter() {
  const auto owner = owner_.lock();
  if (!owner) return finish({grpc::StatusCode::UNAVAILABLE, "the server ends"});
  const auto attached = owner->attached(shared_from_this());
  if (!attached) return finish(status_of(attached.error()));
  const std::lock_guard lock(mutex_);
  if (finished_) return;
  StartSendInitialMetadata();
  StartRead(&incoming_);
}

void Session::send(Envelope&& envelope) {
  const std::lock_guard lock(mutex_);
  if (finished_ || finish_with_) return;
  if (unsent_.size() >= FleetServer::kMaxUnsent) {
    return finish_locked(
        {grpc::StatusCode::RESOURCE_EXHAUSTED, "it does not take what it is sent: attach again"});
  }
  unsent_.push_back(to_wire(std::move(envelope)));
  if (writing_) return;
  writing_ = true;
  StartWrite(&unsent_.front());
}

bool Session::has_room() {
  const std::lock_guard lock(mutex_);
  wants_room_ = unsent_.size() >= FleetServer::kRoomy && !finished_;
  return !wants_room_;
}

void Session::end(const grpc::Status& status) {
  finish(status);
}

void Session::OnReadDone(bool ok) {
  if (!ok && context_->IsCancelled()) return finish(grpc::Status::OK);
  if (!ok) {
    return finish({grpc::StatusCode::INVALID_ARGUMENT,
                   "what came is no envelope, or nothing more will come: attach again"});
  }
  const bool posted = poster_.post([self = shared_from_this()] {
    const auto owner = self->owner_.lock();
    if (!owner) return;
    owner->received(*self, from_wire(self->incoming_));
    const std::lock_guard lock(self->mutex_);
    if (self->finished_) return;
    self->incoming_.Clear();
    self->StartRead(&self->incoming_);
  });
  if (!posted) finish({grpc::StatusCode::UNAVAILABLE, "the server ends"});
}

void Session::OnWriteDone(bool ok) {
  const std::lock_guard lock(mutex_);
  writing_ = false;
  if (!unsent_.empty()) unsent_.pop_front();
  if (finish_with_) return finish_locked(*finish_with_);
  if (!ok) return finish_locked({grpc::StatusCode::UNAVAILABLE, "the line broke"});
  if (unsent_.size() < FleetServer::kRoomy / 2 && std::exchange(wants_room_, false)) {
    poster_.post([self = shared_from_this()] {
      if (const auto owner = self->owner_.lock()) owner->room(*self);
    });
  }
  if (unsent_.empty() || finished_) return;
  writing_ = true;
  StartWrite(&unsent_.front());
}

void Session::OnCancel() {
  finish({grpc::StatusCode::CANCELLED, "the line broke"});
}

void Session::OnDone() {
  poster_.post([self = self_] {
    if (const auto owner = self->owner_.lock()) owner->detached(*self);
  });
  self_.reset();
}

void Session::finish(const grpc::Status& status) {
  const std::lock_guard lock(mutex_);
  finish_locked(status);
}

void Session::finish_locked(const grpc::Status& status) {
  if (finished_) return;
  if (writing_) {  // gRPC wants that first; a peer that does not read would make it wait for ever
    if (finish_with_) return;
    finish_with_ = status;
    context_->TryCancel();
    return;
  }
  finished_ = true;
  Finish(status);
}

}  // namespace segue::rpc
