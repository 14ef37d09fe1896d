// SPDX-License-Identifier: Apache-2.0
#include "store/election.h"

#include <utility>

namespace segue::store {
namespace {

using base::ErrorCode;
using base::Result;

constexpr base::Duration kBetweenTries = std::chrono::milliseconds(500);

}  // namespace

// Requests and timers carry the number of the round they belong to; those of another are stale.
struct Election::State : std::enable_shared_from_this<State> {
  State(Store& the_store, Scheduler& the_scheduler, Settings the_settings, Observer the_observer)
      : store(the_store),
        scheduler(the_scheduler),
        settings(std::move(the_settings)),
        observer(std::move(the_observer)) {}

  // Wraps a callback: it is not called once this is gone or the round is over.
  template <class... Args, class F>
  std::function<void(Args...)> in_round(F call) {
    return [weak = weak_from_this(), number = round, call](const Args&... args) {
      const auto self = weak.lock();
      if (self && self->round == number) call(*self, args...);
    };
  }

  void after(base::Duration delay, void (State::*next)()) {
    scheduler.call_at(scheduler.now() + delay, in_round<>([next](State& self) { (self.*next)(); }));
  }

  void begin_round() {
    ++round;
    watch.reset();
    token = 0;
    look();
  }

  // Who leads?
  void look() {
    store.get(settings.key,
              in_round<Result<Reading>>([](State& self, const Result<Reading>& reading) {
                if (!reading) return self.after(kBetweenTries, &State::look);
                self.take(*reading);
              }));
  }

  void take(const Reading& reading) {
    const auto& entry = reading.entry;
    // One of this candidate's own from before, whose answer was lost.
    if (entry && lease != 0 && entry->value == value()) return lead(entry->modified);
    announce(
        entry ? std::optional(Leader{.candidate = name_in(entry->value), .token = entry->modified})
              : std::nullopt);
    if (!entry) return lease == 0 ? get_lease() : put();
    await_change(reading.revision + 1);
  }

  void announce(const std::optional<Leader>& leader) {
    if (has_announced && leader == announced) return;
    has_announced = true;
    announced = leader;
    if (observer.on_leader) observer.on_leader(leader);
  }

  void await_change(Revision first) {
    watch = store.watch(settings.key, first);
    wait_for_change();
  }

  void wait_for_change() {
    watch->next(in_round<tl::expected<Change, WatchEnd>>(
        [](State& self, const tl::expected<Change, WatchEnd>& change) {
          // Of the key itself, not of longer ones.
          bool is_ours = !change;
          for (std::size_t i = 0; change && i < change->events.size(); ++i) {
            is_ours = is_ours || change->events[i].key == self.settings.key;
          }
          if (!is_ours) return self.wait_for_change();
          if (self.token != 0) return self.check_leadership();
          self.watch.reset();
          self.look();
        }));
  }

  // The key has changed, or the watch has ended, while this leads.
  void check_leadership() {
    watch.reset();
    store.get(settings.key,
              in_round<Result<Reading>>([](State& self, const Result<Reading>& reading) {
                if (!reading) return self.after(kBetweenTries, &State::check_leadership);
                const auto& entry = reading->entry;
                if (!entry || entry->modified != self.token) {
                  return self.depose("its lease has ended");
                }
                self.await_change(reading->revision + 1);
              }));
  }

  void get_lease() {
    lease_asked = scheduler.now();
    store.grant_lease(settings.ttl,
                      in_round<Result<LeaseId>>([](State& self, const Result<LeaseId>& granted) {
                        if (!granted) return self.after(kBetweenTries, &State::look);
                        self.lease = *granted;
                        self.lease_ends = self.lease_asked + self.settings.ttl;
                        self.put();
                      }));
  }

  void put() {
    Transaction transaction;
    transaction.expect_absent(settings.key).put(settings.key, value(), lease);
    store.commit(std::move(transaction),
                 in_round<CommitResult>([](State& self, const CommitResult& result) {
                   if (result) return self.lead(*result);
                   // The lease may have ended by itself: then the next try gets another.
                   if (result.error().error.code() == ErrorCode::not_found) self.lease = 0;
                   const bool is_conflict = result.error().kind == CommitFailure::Kind::conflict;
                   self.after(is_conflict ? base::Duration(0) : kBetweenTries, &State::look);
                 }));
  }

  void lead(Revision revision) {
    token = revision;
    announced = Leader{.candidate = settings.candidate, .token = revision};
    has_announced = true;
    await_change(revision + 1);
    keep_lease();
    const std::uint64_t here = round;
    if (observer.on_elected) observer.on_elected(guard());
    if (round == here) watch_clock();
  }

  // The store counts from when it hears this, which is later than when it was said.
  void keep_lease() {
    const base::MonotonicTime asked = scheduler.now();
    store.keep_alive(lease, in_round<Result<void>>([asked](State& self, const Result<void>& kept) {
                       if (!kept && kept.error().code() == ErrorCode::not_found) {
                         return self.depose("its lease has ended");
                       }
                       if (kept) self.lease_ends = asked + self.settings.ttl;
                       self.after(self.settings.ttl / 3, &State::keep_lease);
                     }));
  }

  void watch_clock() {
    if (scheduler.now() >= lease_ends) return depose("the store has not been reached in time");
    after(lease_ends - scheduler.now(), &State::watch_clock);
  }

  void depose(const std::string& why) {
    lease = 0;
    begin_round();
    has_announced = false;
    if (observer.on_deposed) observer.on_deposed(why);
  }

  void resign(Store::OnDone on_done) {
    const bool led = token != 0;
    ++round;
    is_running = false;
    watch.reset();
    token = 0;
    const LeaseId old = std::exchange(lease, 0);
    has_announced = false;
    const auto finish = [weak = weak_from_this(), led,
                         on_done = std::move(on_done)](const Result<void>& revoked) {
      const auto self = weak.lock();
      if (!self) return;
      if (led && self->observer.on_deposed) self->observer.on_deposed("it has resigned");
      if (on_done) on_done(revoked);
    };
    if (old == 0) return scheduler.call_soon([finish] { finish({}); });
    store.revoke_lease(old, [finish](const Result<void>& revoked) {
      const bool has_ended = !revoked && revoked.error().code() == ErrorCode::not_found;
      finish(has_ended ? Result<void>() : revoked);
    });
  }

  [[nodiscard]] Compare guard() const { return {.key = settings.key, .modified = token}; }

  // The lease tells this candidacy from an earlier one under the same name.
  [[nodiscard]] std::string value() const {
    return fmt::format("{:x} {}", lease, settings.candidate);
  }
  [[nodiscard]] static std::string name_in(const std::string& value) {
    const std::size_t space = value.find(' ');
    return space == std::string::npos ? value : value.substr(space + 1);
  }

  Store& store;
  Scheduler& scheduler;
  Settings settings;
  Observer observer;
  std::uint64_t round = 0;
  bool is_running = false;
  std::unique_ptr<Watch> watch;
  LeaseId lease = 0;  // 0: none
  base::MonotonicTime lease_asked;
  base::MonotonicTime lease_ends;
  Revision token = 0;  // 0: it does not lead
  bool has_announced = false;
  std::optional<Leader> announced;
};

Election::Election(Store& store, Scheduler& scheduler, Settings settings, Observer observer)
    : state_(std::make_shared<State>(store, scheduler, std::move(settings), std::move(observer))) {}

Election::~Election() = default;

void Election::campaign() {
  if (!std::exchange(state_->is_running, true)) state_->begin_round();
}

void Election::resign(Store::OnDone on_done) {
  state_->resign(std::move(on_done));
}

std::optional<Compare> Election::guard() const {
  const State& state = *state_;
  if (state.token == 0 || state.scheduler.now() >= state.lease_ends) return std::nullopt;
  return state.guard();
}

}  // namespace segue::store
