// SPDX-License-Identifier: Apache-2.0
#include "store/etcd_watch.h"

#include <algorithm>
#include <deque>
#include <utility>

#include "base/assert.h"

namespace segue::store {
namespace {

using base::Error;
using base::ErrorCode;

// A member that hangs sends nothing on its streams, like one that has nothing to say.
constexpr std::chrono::seconds kBetweenLooks{5};

std::size_t bytes_of(const Change& change) {
  std::size_t bytes = sizeof(Change);
  for (const Event& event : change.events) {
    bytes += sizeof(Event) + event.key.size() + event.value.size();
  }
  return bytes;
}

}  // namespace

struct EtcdWatches::State {
  std::string prefix;
  Revision next = 0;  // what the stream has shown ends before it
  std::deque<Change> queue;
  std::size_t queued_bytes = 0;
  Watch::OnChange waiting;
  bool is_scheduled = false;
  std::optional<WatchEnd> end;

  std::optional<fetch::AsyncHttp::Id> stream;
  std::size_t member = 0;
  std::size_t attempts = 0;  // since the last that was good
  base::MonotonicTime trouble_since;
  std::optional<etcd::WatchReader> reader;
  std::optional<Error> stream_error;
};

class EtcdWatches::EtcdWatch final : public Watch {
 public:
  EtcdWatch(EtcdWatches& watches, Shared state)
      : watches_(&watches), alive_(watches.alive_), state_(std::move(state)) {}
  ~EtcdWatch() override {
    state_->waiting = nullptr;
    if (!alive_.expired()) watches_->close(*state_);
  }

  void next(OnChange on_change) override {
    SEGUE_ASSERT(!state_->waiting);
    state_->waiting = std::move(on_change);
    if (!alive_.expired()) watches_->deliver_later(state_);
  }

 private:
  EtcdWatches* watches_;
  std::weak_ptr<char> alive_;
  Shared state_;
};

EtcdWatches::EtcdWatches(EtcdClient& client) : client_(&client) {
  client_->when_left([this] { move_all(); });
}

EtcdWatches::~EtcdWatches() {
  client_->when_left({});
  for (const Shared& state : all()) close(*state);
}

std::vector<EtcdWatches::Shared> EtcdWatches::all() {
  std::vector<Shared> there;
  for (const auto& state : states_) {
    if (auto shared = state.lock()) there.push_back(std::move(shared));
  }
  states_.assign(there.begin(), there.end());
  return there;
}

std::unique_ptr<Watch> EtcdWatches::watch(std::string prefix, Revision first) {
  SEGUE_ASSERT(first > 0);
  auto state = std::make_shared<State>();
  state->prefix = std::move(prefix);
  state->next = first;
  if (all().size() >= kMaxWatches) {
    finish(state, WatchEnd::Reason::failed,
           Error(ErrorCode::resource_exhausted,
                 fmt::format("there are {} watches already", kMaxWatches)));
  } else {
    states_.push_back(state);
    open(state);
    look_at_member();
  }
  return std::make_unique<EtcdWatch>(*this, std::move(state));
}

void EtcdWatches::open(const Shared& state) {
  if (state->end || state->stream) return;
  if (state->attempts++ == 0) state->trouble_since = client_->scheduler().now();
  state->member = client_->member();
  state->reader.emplace(client_->settings().root, state->next);
  state->stream_error.reset();
  fetch::HttpPost post = client_->make_post(
      "watch", etcd::watch_body(client_->settings().root, state->prefix, state->next));
  post.total = base::Duration(0);
  const std::weak_ptr<State> weak = state;  // the stream ends with the watch
  state->stream = client_->http().post(
      std::move(post),
      [this, weak](const fetch::HttpPostEnd& end) {
        if (const Shared here = weak.lock()) end_stream(here, end);
      },
      [this, weak](std::string_view bytes) {
        const Shared here = weak.lock();
        if (!here) return false;
        here->attempts = 0;
        auto taken = here->reader->take(
            bytes, [this, &here](Change change) { queue(*here, std::move(change)); });
        if (!taken) here->stream_error = taken.error();
        if (here->end || !here->queue.empty()) deliver_later(here);
        return taken.has_value() && !here->end;
      });
}

void EtcdWatches::queue(State& state, Change change) {
  if (state.end) return;
  state.next = change.revision + 1;
  state.queued_bytes += bytes_of(change);
  state.queue.push_back(std::move(change));
  const EtcdSettings& settings = client_->settings();
  if (state.queue.size() <= settings.max_queued_changes &&
      state.queued_bytes <= settings.max_queued_bytes) {
    return;
  }
  const std::size_t count = state.queue.size();
  state.queue.clear();
  state.end = WatchEnd{
      .reason = WatchEnd::Reason::lagging,
      .error = Error(
          ErrorCode::failed_precondition,
          fmt::format("{} changes of '{}' wait to be asked for: list again", count, state.prefix))};
}

void EtcdWatches::end_stream(const Shared& state, const fetch::HttpPostEnd& end) {
  state->stream.reset();
  if (state->end) return;
  Error error(ErrorCode::unavailable, "the stream has ended");
  if (state->stream_error) {
    error = *state->stream_error;
  } else if (end.answer && end.answer->status != 200) {
    const etcd::Refusal refusal = etcd::read_refusal(end.answer->status, end.answer->body);
    error = Error(refusal.kind == etcd::Refusal::Kind::refused ? refusal.error.code()
                                                               : ErrorCode::unavailable,
                  refusal.error.message());
  } else if (!end.answer) {
    error = Error(ErrorCode::unavailable, end.answer.error().message());
  }
  if (error.code() == ErrorCode::failed_precondition) {
    return finish(state, WatchEnd::Reason::compacted, std::move(error));
  }
  if (error.code() != ErrorCode::unavailable) {
    return finish(state, WatchEnd::Reason::failed, std::move(error));
  }
  if (state->attempts == 0) state->trouble_since = client_->scheduler().now();
  const base::Duration pause =
      etcd_pause(std::max<std::size_t>(state->attempts, 1), client_->settings().members.size());
  const base::MonotonicTime next_try = client_->scheduler().now() + pause;
  if (next_try - state->trouble_since > client_->settings().watch_patience) {
    return finish(state, WatchEnd::Reason::failed, std::move(error));
  }
  state->attempts = std::max<std::size_t>(state->attempts, 1);
  client_->leave(state->member);
  client_->at(pause, [this, weak = std::weak_ptr(state), alive = std::weak_ptr(alive_)] {
    const Shared here = weak.lock();
    if (!alive.expired() && here) open(here);
  });
}

void EtcdWatches::finish(const Shared& state, WatchEnd::Reason reason, Error error) {
  state->end = WatchEnd{.reason = reason, .error = std::move(error)};
  deliver_later(state);
}

void EtcdWatches::deliver_later(const Shared& state) {
  if (!state->waiting || (state->queue.empty() && !state->end)) return;
  if (std::exchange(state->is_scheduled, true)) return;
  client_->at(base::Duration(0), [weak = std::weak_ptr(state), alive = std::weak_ptr(alive_)] {
    const Shared here = weak.lock();
    if (alive.expired() || !here) return;
    here->is_scheduled = false;
    if (!here->waiting) return;
    const Watch::OnChange on_change = std::exchange(here->waiting, nullptr);
    if (here->queue.empty()) return on_change(tl::unexpected(*here->end));
    Change change = std::move(here->queue.front());
    here->queue.pop_front();
    here->queued_bytes -= bytes_of(change);
    on_change(std::move(change));
  });
}

void EtcdWatches::close(State& state) {
  if (state.stream) client_->http().cancel(*std::exchange(state.stream, std::nullopt));
}

// Not from inside a stream's own callback.
void EtcdWatches::move_all() {
  for (const Shared& state : all()) {
    if (!state->stream || state->end || state->member == client_->member()) continue;
    close(*state);
    open(state);
  }
}

void EtcdWatches::look_at_member() {
  if (is_looking_ || all().empty()) return;
  is_looking_ = true;
  client_->at(kBetweenLooks, [this, alive = std::weak_ptr(alive_)] {
    if (alive.expired()) return;
    // Whether it answers is all that matters: the client leaves one that does not.
    client_->request(EtcdClient::Kind::repeatable, "kv/range",
                     etcd::get_body(client_->settings().root, "look"), [this, alive](const auto&) {
                       if (alive.expired()) return;
                       is_looking_ = false;
                       look_at_member();
                     });
  });
}

}  // namespace segue::store
