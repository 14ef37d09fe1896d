// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_client.h"

#include <algorithm>
#include <utility>

#include "base/assert.h"

namespace segue::store {
namespace {

using base::Error;
using base::ErrorCode;
using etcd::Refusal;

constexpr long kStatusOk = 200;
// A page of small entries, in base64, with what JSON puts around each.
constexpr std::uint64_t kMaxAnswerBytes = kMaxPageBytes * 2;

}  // namespace

base::Duration etcd_pause(std::size_t attempts, std::size_t members) {
  // Each member once, first of all.
  if (attempts < members) return base::Duration(0);
  constexpr std::size_t kMaxDoublings = 4;
  return std::chrono::milliseconds(50) * (1U << std::min(attempts - members, kMaxDoublings));
}

struct EtcdClient::Request {
  Kind kind = Kind::repeatable;
  std::string path;
  std::string body;
  OnEnd on_end;
  std::size_t attempts = 0;
  base::MonotonicTime deadline;
};

EtcdClient::EtcdClient(EtcdSettings settings, LoopScheduler& scheduler, os::EpollLoop& loop,
                       const os::Clock& clock)
    : settings_(std::move(settings)), scheduler_(&scheduler), http_(loop, clock) {
  SEGUE_ASSERT(!settings_.members.empty());
}

std::string EtcdClient::url(const std::string& path) const {
  return settings_.members[member_] + "/v3/" + path;
}

fetch::HttpPost EtcdClient::make_post(const std::string& path, std::string body) const {
  fetch::HttpPost post;
  post.url = url(path);
  post.body = std::move(body);
  // A member that has lost its leader refuses at once.
  post.fields = {"Grpc-Metadata-hasleader: true"};
  post.tls = settings_.tls;
  post.max_bytes = kMaxAnswerBytes;
  post.connect = settings_.connect;
  return post;
}

void EtcdClient::at(base::Duration delay, std::function<void()> call) {
  scheduler_->call_at(scheduler_->now() + delay,
                      [call = std::move(call), alive = std::weak_ptr(alive_)] {
                        if (!alive.expired()) call();
                      });
}

void EtcdClient::leave(std::size_t member) {
  if (member != member_ || settings_.members.size() == 1) return;
  member_ = (member_ + 1) % settings_.members.size();
  if (when_left_) when_left_();
}

void EtcdClient::request(Kind kind, std::string path, std::string body, OnEnd on_end) {
  auto request = std::make_shared<Request>();
  request->kind = kind;
  request->path = std::move(path);
  request->body = std::move(body);
  request->on_end = std::move(on_end);
  request->deadline = scheduler_->now() + settings_.patience;
  if (at_once_ < kMaxAtOnce) {
    start(request);
  } else if (waiting_.size() < kMaxPending) {
    waiting_.push_back(std::move(request));
  } else {
    at(base::Duration(0), [request] {
      request->on_end(tl::unexpected(
          Refusal{.kind = Refusal::Kind::refused,
                  .error = Error(ErrorCode::resource_exhausted,
                                 fmt::format("{} requests wait for etcd already", kMaxPending))}));
    });
  }
}

void EtcdClient::start(const std::shared_ptr<Request>& request) {
  ++at_once_;
  attempt(request);
}

void EtcdClient::attempt(const std::shared_ptr<Request>& request) {
  ++request->attempts;
  fetch::HttpPost post = make_post(request->path, request->body);
  post.total = request->kind == Kind::once ? settings_.write_limit : settings_.read_limit;
  http_.post(std::move(post), [this, request, member = member_](fetch::HttpPostEnd end) {
    end_attempt(request, member, std::move(end));
  });
}

void EtcdClient::end_attempt(const std::shared_ptr<Request>& request, std::size_t member,
                             fetch::HttpPostEnd end) {
  if (end.answer && end.answer->status == kStatusOk) {
    return finish(request, std::move(end.answer->body));
  }
  Refusal refusal{.kind = Refusal::Kind::unclear, .error = Error(ErrorCode::internal, "")};
  if (end.answer) {
    refusal = etcd::read_refusal(end.answer->status, end.answer->body);
  } else {
    refusal.error = std::move(end.answer).error();
    if (!end.may_be_sent) refusal.kind = Refusal::Kind::passing;
    // No other member has a shorter answer.
    const bool is_too_long = refusal.error.code() == ErrorCode::resource_exhausted;
    if (is_too_long && request->kind == Kind::repeatable) refusal.kind = Refusal::Kind::refused;
  }
  if (refusal.kind == Refusal::Kind::refused) {
    return finish(request, tl::unexpected(std::move(refusal)));
  }
  leave(member);
  if (refusal.kind == Refusal::Kind::unclear && request->kind == Kind::once) {
    refusal.error = Error(ErrorCode::unknown_outcome, refusal.error.message());
    return finish(request, tl::unexpected(std::move(refusal)));
  }
  retry(request, refusal);
}

void EtcdClient::retry(const std::shared_ptr<Request>& request, const Refusal& refusal) {
  const base::Duration pause = etcd_pause(request->attempts, settings_.members.size());
  if (scheduler_->now() + pause < request->deadline) {
    return at(pause, [this, request] { attempt(request); });
  }
  finish(request,
         tl::unexpected(Refusal{
             .kind = Refusal::Kind::passing,
             .error = Error(ErrorCode::unavailable,
                            fmt::format("no member of etcd has done it after {} attempts; the last "
                                        "said: {}",
                                        request->attempts, refusal.error.message()))}));
}

// Later, for what it calls may destroy this.
void EtcdClient::finish(const std::shared_ptr<Request>& request,
                        tl::expected<std::string, Refusal> body) {
  --at_once_;
  if (!waiting_.empty()) {
    start(waiting_.front());
    waiting_.pop_front();
  }
  at(base::Duration(0), [request, body = std::move(body)] { request->on_end(body); });
}

}  // namespace segue::store
