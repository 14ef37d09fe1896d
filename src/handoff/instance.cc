// SPDX-License-Identifier: Apache-2.0
#include "handoff/instance.h"

#include <sys/epoll.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "handoff/clock.h"
#include "handoff/journal.h"
#include "handoff/keeper_descriptors.h"
#include "handoff/sized.h"
#include "handoff/sockets.h"

namespace segue::handoff {
namespace {

constexpr uint64_t kProgressIntervalNs = 50 * kMillisecond;
constexpr size_t kWhyBytes = 512;
constexpr size_t kPageBytes = 4096;

// As they were when each structure was first published.
constexpr size_t kFirstOptionsBytes = offsetof(segue_options, on_crash);
constexpr size_t kFirstCallbacksBytes = offsetof(segue_callbacks, replay_note);

uint64_t or_default(uint32_t value, uint32_t otherwise) {
  return value == 0 ? otherwise : value;
}

// How long a loop that offered itself waits for the instance's thread.
Loops::Patience patience_of(const segue_options& options) {
  const uint64_t slice_ns = or_default(options.slice_us, 500) * kMicrosecond;
  const uint64_t budget_ns = or_default(options.budget_us, 10'000) * kMicrosecond;
  return {slice_ns, std::max(slice_ns, budget_ns / 2)};
}

}  // namespace

Status Instance::validate(const segue_options& given_options,
                          const segue_callbacks& given_callbacks, segue_options& options,
                          segue_callbacks& callbacks) {
  if (!take_sized(given_options, kFirstOptionsBytes, options) ||
      !take_sized(given_callbacks, kFirstCallbacksBytes, callbacks)) {
    return Status::bad(SEGUE_INVALID, "a structure's size member does not match this library");
  }
  if (options.service == nullptr || !is_name(options.service)) {
    return Status::bad(SEGUE_INVALID, "options.service must be 1 to 63 of [A-Za-z0-9._:-]");
  }
  if (options.version == nullptr || *options.version == '\0') {
    return Status::bad(SEGUE_INVALID, "options.version is missing");
  }
  if (options.meeting > SEGUE_MEET_SUCCESSOR_LISTENS) {
    return Status::bad(SEGUE_INVALID, "options.meeting is not a segue_meeting");
  }
  if (options.on_crash > SEGUE_ON_CRASH_RESTART) {
    return Status::bad(SEGUE_INVALID, "options.on_crash is not a segue_on_crash");
  }
  if (options.journal_bytes != 0 && (options.journal_bytes < kSmallestJournalBytes ||
                                     options.journal_bytes > kLargestJournalBytes)) {
    return Status::bad(SEGUE_INVALID, "options.journal_bytes must be 65,536 to 1,073,741,824");
  }
  if (callbacks.freeze == nullptr || callbacks.resume == nullptr || callbacks.activate == nullptr ||
      callbacks.terminate == nullptr) {
    return Status::bad(SEGUE_INVALID,
                       "the callbacks freeze, resume, activate and terminate are required");
  }
  return Status::good();
}

Instance::Instance(const segue_options& options, const segue_callbacks& callbacks, void* user)
    : callbacks_(callbacks),
      user_(user),
      service_(options.service),
      version_(options.version),
      directory_(options.directory == nullptr ? "" : options.directory),
      flag_(options.flag == nullptr ? "" : options.flag),
      successor_listens_(options.meeting == SEGUE_MEET_SUCCESSOR_LISTENS),
      poll_ns_(or_default(options.poll_interval_ms, 100) * kMillisecond),
      inventory_(patience_of(options)) {
  terms_.budget_ns = or_default(options.budget_us, 10'000) * kMicrosecond;
  terms_.max_rounds = or_default(options.max_rounds, 30);
  terms_.max_attempts = or_default(options.max_attempts, 5);
  terms_.background_ns = or_default(options.background_ms, 300'000) * kMillisecond;
  terms_.rehearsal_ns = or_default(options.rehearsal_ms, 60'000) * kMillisecond;
  terms_.answer_ns = or_default(options.answer_ms, 5'000) * kMillisecond;
  terms_.slice_ns = or_default(options.slice_us, 500) * kMicrosecond;
  terms_.probation_ns = or_default(options.probation_ms, 2'000) * kMillisecond;
  terms_.hang_ns = or_default(options.hang_ms, 3'000) * kMillisecond;
  terms_.spin_ns = or_default(options.spin_us, 2'000) * kMicrosecond;
  terms_.vote_required = options.vote_required == 1;
  terms_.skip_rehearsal = options.skip_rehearsal == 1;
  terms_.on_crash = static_cast<segue_on_crash>(options.on_crash);
  terms_.journal_bytes = options.journal_bytes == 0 ? kDefaultJournalBytes : options.journal_bytes;
  terms_.journal_bytes = (terms_.journal_bytes + kPageBytes - 1) / kPageBytes * kPageBytes;
  progress_.size = sizeof progress_;
}

Status Instance::check_on_crash() const {
  const bool replays = terms_.on_crash == SEGUE_ON_CRASH_REPLAY;
  if (!replays && terms_.on_crash != SEGUE_ON_CRASH_ARENAS) return Status::good();
  if (!replays && inventory_.loops.count() > 0) {
    return Status::bad(SEGUE_INVALID, "going on from arenas is for one event loop");
  }
  if (!replays && callbacks_.check_arenas == nullptr) {
    return Status::bad(SEGUE_INVALID, "going on from arenas needs the callback check_arenas");
  }
  if (replays && !inventory_.arenas.empty()) {
    return Status::bad(SEGUE_INVALID, "arena " + inventory_.arenas.front()->name +
                                          ": what a successor did in an arena cannot be undone, "
                                          "and a replay would do it twice");
  }
  for (const auto& cls : inventory_.classes) {
    if (replays ? cls->can_replay() : cls->ops.drop != nullptr) continue;
    return Status::bad(SEGUE_INVALID,
                       "class " + cls->name +
                           (replays ? ": a replay needs readable, writable, accepted, drop"
                                    : ": going on from arenas needs drop"));
  }
  return Status::good();
}

// ---- Meeting -------------------------------------------------------------------------------

Status Instance::start() {
  if (started_) return Status::bad(SEGUE_STATE, "segue_start() was called before");
  if (Status status = check_on_crash(); !status.ok()) return status;
  started_ = true;
  const InCallbacks inside(*this);
  KeeperDescriptors from_keeper;
  if (Status status = take_keeper_descriptors(from_keeper); !status.ok()) return status;
  if (from_keeper.channel.valid()) {
    inherited_lock_ = std::move(from_keeper.lock);
    const int fd = from_keeper.channel.get();
    keeper_ = std::make_unique<KeeperChannel>(*this, std::move(from_keeper.channel));
    poller_.watch(fd, EPOLLIN, [this] { keeper_->on_ready(); });
    keeper_->hello(service_, version_);
    return Status::good();
  }
  find_directory();
  if (!directory_.empty()) return meet_alone(directory_);
  return become_first();
}

Status Instance::meet_alone(const std::string& directory) {
  meeting_ = std::make_unique<LoneMeeting>(
      LoneMeeting::Options{directory, flag_, successor_listens_, poll_ns_},
      [this](UniqueFd link, UniqueFd pidfd, const std::string& nonce) {
        met(std::move(link), std::move(pidfd), nonce);
      });
  bool first = false;
  if (Status status = meeting_->open(first); !status.ok()) return status;
  Status status = first ? become_first() : meeting_->seek();
  settle();
  return status;
}

void Instance::met(UniqueFd link, UniqueFd pidfd, const std::string& nonce) {
  Terms terms = terms_;
  terms.nonce = nonce;
  if (me_ != kNobody) {
    if (predecessor_) forget_predecessor();  // it is over: this process serves
    return begin_predecessor(std::move(link), std::move(pidfd), std::move(terms));
  }
  begin_successor(std::move(link), std::move(pidfd), std::move(terms));
}

bool Instance::seek_again() {
  if (meeting_ == nullptr || me_ != kNobody) return false;
  return meeting_->seek().ok();
}

Status Instance::become_first() {
  if (!page_.valid()) {
    if (Status status = OwnerPage::create(page_); !status.ok()) return status;
  }
  if (Status status = announce_listeners(); !status.ok()) return status;
  if (Status status = provide_missing(false); !status.ok()) return status;
  if (!acquire()) return Status::bad(SEGUE_REFUSED, "a single-access resource could not be taken");
  if (me_ == kNobody) me_ = page_.new_name();
  uint32_t epoch = 0;
  if (!page_.take(me_, epoch)) {
    return Status::bad(SEGUE_REFUSED, "another instance owns this service already");
  }
  activate(true, epoch, 0);
  report(AttemptRole::successor, 0, KeeperEvent::activated, 0, {});
  if (keeper_) keeper_->store(inventory_.listeners);
  serve_meeting_ = true;
  return Status::good();
}

Status Instance::open_loop(const std::string& name, segue_loop*& loop) {
  const bool is_first = inventory_.loops.count() == 0;
  if (Status status = inventory_.loops.open(name, loop); !status.ok()) return status;
  if (!is_first) return Status::good();
  inventory_.share();
  poller_.watch(inventory_.loops.offers_fd(), EPOLLIN, [this] {
    inventory_.loops.drain_offers();
    if (predecessor_) return predecessor_->on_offer();
    survey_ ? work_on_survey() : inventory_.loops.decline_offers();
  });
  return Status::good();
}

Status Instance::open_operations(const std::string& name, const segue_operations_ops& ops,
                                 void* user, segue_operations*& operations) {
  Operations& all = inventory_.operations;
  const bool is_first = all.ended_fd() < 0;
  if (Status status = all.open(name, ops, user, operations); !status.ok()) return status;
  if (!is_first) return Status::good();
  inventory_.share();
  poller_.watch(all.ended_fd(), EPOLLIN, [this] {
    inventory_.operations.drain_ended();
    if (predecessor_) predecessor_->on_operations_ended();
  });
  return Status::good();
}

// Those that the keeper had stored.
Status Instance::announce_listeners() {
  for (const NamedFds::Entry& entry : inventory_.listeners.entries) {
    if (Status status = listener_arrived(entry.name, entry.fd.get()); !status.ok()) return status;
  }
  return Status::good();
}

Status Instance::provide_missing(bool anew) {
  for (const Declared& declared : declared_listeners) {
    if (inventory_.listeners.find(declared.name) != nullptr) continue;
    UniqueFd fd;
    if (Status status = bind_listener(declared.address, declared.backlog, fd); !status.ok()) {
      return status;
    }
    const int raw = fd.get();
    inventory_.listeners.put(declared.name, std::move(fd), false);
    if (Status status = listener_arrived(declared.name, raw); !status.ok()) return status;
  }
  for (const auto& arena : inventory_.arenas) {
    if (arena->data != nullptr && !anew) continue;
    if (Status status = create_arena(*arena); !status.ok()) return status;
  }
  for (const auto& heap : inventory_.heaps) {
    if (heap->image.valid() && !anew) continue;
    if (Status status = heap->create(heap->max_size); !status.ok()) return status;
  }
  return Status::good();
}

void Instance::begin_predecessor(UniqueFd link, UniqueFd pidfd, Terms terms) {
  survey_.reset();  // whoever asked has decided
  predecessor_ =
      std::make_unique<Predecessor>(*this, std::move(link), std::move(pidfd), std::move(terms));
  watch_side(*predecessor_);
}

void Instance::begin_successor(UniqueFd link, UniqueFd pidfd, Terms terms) {
  successor_ =
      std::make_unique<Successor>(*this, std::move(link), std::move(pidfd), std::move(terms));
  watch_side(*successor_);
}

template <typename Side>
void Instance::watch_side(Side& side) {
  Side* pointer = &side;
  poller_.watch(side.link_fd(), EPOLLIN, [pointer] { pointer->on_link(); });
  poller_.watch(side.pidfd(), EPOLLIN, [pointer] { pointer->on_death(); });
}

void Instance::forget_side(int link_fd, int pidfd) {
  poller_.forget(link_fd);
  poller_.forget(pidfd);
}

// ---- Dispatch ------------------------------------------------------------------------------

int Instance::dispatch() {
  if (!started_ || in_callbacks_) return SEGUE_STATE;
  const InCallbacks inside(*this);
  attempt_failed_ = false;
  poller_.run();
  run_timers();
  if (predecessor_ && predecessor_->has_work()) predecessor_->work();
  if (successor_ && successor_->has_work()) successor_->work();
  if (surveys()) work_on_survey();
  settle();
  return attempt_failed_ ? SEGUE_PEER : SEGUE_OK;
}

void Instance::run_timers() {
  const uint64_t now = monotonic_ns();
  if (predecessor_) predecessor_->on_time(now);
  if (successor_) successor_->on_time(now);
  if (departure_) watch_departure(now);
  if (seeks_keeper()) rejoin_keeper(now);
  if (seeks_fence()) ask_next_keeper(now);
  if (meeting_ && meeting_->on_time(now)) {
    if (const Status status = become_first(); !status.ok()) {
      note(status.text);
      terminate(SEGUE_END_REFUSED);
    }
  }
}

// Brings the watches, the timer and the finished sides in line with what just happened.
void Instance::settle() {
  if (predecessor_ && predecessor_->over()) {
    forget_predecessor();
    serve_meeting_ = serve_meeting_ || (meeting_ && meeting_->rests() && serving());
  }
  if (successor_ && successor_->over()) {
    forget_side(successor_->link_fd(), successor_->pidfd());
    if (successor_->committed() && alone()) see_off_predecessor();
    successor_.reset();
    serve_meeting_ = serve_meeting_ || serving();
    if (keeper_ && serving()) keeper_->store(inventory_.listeners);
  }
  if (!predecessor_ && !successor_) fence_.reset();
  if (keeper_ && keeper_->lost()) {
    poller_.forget(keeper_->fd());
    keeper_.reset();
    if (rejoin_) rejoin_->begin(monotonic_ns());
    if (me_ == kNobody && !successor_) {
      note("the keeper ended before it said what this instance is to do");
      terminate(SEGUE_END_REFUSED);
    }
  }
  if (std::exchange(released_, false)) leave_keeper();
  settle_departure();
  settle_meeting();
  const auto interest = [](bool reads, bool writes) {
    return (reads ? uint32_t{EPOLLIN} : 0U) | (writes ? uint32_t{EPOLLOUT} : 0U);
  };
  uint64_t next = kNever;
  bool work = false;
  if (predecessor_) {
    poller_.change(predecessor_->link_fd(),
                   interest(predecessor_->wants_read(), predecessor_->wants_write()));
    if (!predecessor_->wants_read()) poller_.forget(predecessor_->link_fd());
    if (!predecessor_->wants_death()) poller_.forget(predecessor_->pidfd());
    next = std::min(next, predecessor_->deadline());
    work = predecessor_->has_work();
  }
  if (successor_) {
    poller_.change(successor_->link_fd(),
                   interest(successor_->wants_read(), successor_->wants_write()));
    if (!successor_->wants_read()) poller_.forget(successor_->link_fd());
    next = std::min(next, successor_->deadline());
    work = work || successor_->has_work();
  }
  if (keeper_) poller_.change(keeper_->fd(), interest(true, keeper_->wants_write()));
  if (meeting_) next = std::min(next, meeting_->deadline());
  if (departure_) next = std::min(next, departure_->deadline());
  if (wants_next_keeper()) next = std::min(next, rejoin_->deadline());
  poller_.set_timer(next);
  poller_.wake(work || surveys());
}

// Under the keeper, the keeper does.
void Instance::see_off_predecessor() {
  departure_ = std::make_unique<Departure>(successor_->take_pidfd(), monotonic_ns());
  if (departure_->over()) return;
  poller_.watch(departure_->pidfd(), EPOLLIN, [this] { departure_->on_death(); });
}

void Instance::watch_departure(uint64_t now) {
  const std::string text = departure_->on_time(now);
  if (text.empty()) return;
  note(text);
  tell_lingering(now - departure_->since());
}

void Instance::settle_departure() {
  if (!departure_ || !departure_->over()) return;
  poller_.forget(departure_->pidfd());
  departure_.reset();
  if (progress_.predecessor_lingers_ms > 0) tell_lingering(0);
}

void Instance::tell_lingering(uint64_t lingers_ns) {
  progress_.predecessor_lingers_ms = lingers_ns / kMillisecond;
  if (callbacks_.progress != nullptr) callbacks_.progress(user_, &progress_);
}

void Instance::settle_meeting() {
  if (!meeting_) return;
  if (std::exchange(serve_meeting_, false) && !ended_) {
    if (const Status status = meeting_->serve(); !status.ok()) note(status.text);
  }
  if (!meeting_->error().empty()) note(meeting_->error());
  if (meeting_->listener_serial() == watched_serial_) return;
  const int listener = meeting_->listening_fd();
  if (watched_listener_ >= 0) poller_.forget(watched_listener_);
  watched_listener_ = listener;
  watched_serial_ = meeting_->listener_serial();
  if (listener >= 0) poller_.watch(listener, EPOLLIN, [this] { meeting_->on_connection(); });
}

// ---- Host ----------------------------------------------------------------------------------

void Instance::report(AttemptRole role, uint64_t attempt, KeeperEvent event, uint64_t number,
                      const std::string& text) {
  if (event == KeeperEvent::failed) {
    attempt_failed_ = true;
    note(text);
  }
  if (!keeper_) return;
  const uint32_t epoch = page_.valid() ? page_.look().epoch : 0;
  keeper_->event(role, attempt, event, number, text, epoch);
}

void Instance::progressed(AttemptRole role, uint64_t attempt) {
  const uint64_t now = monotonic_ns();
  const bool same_phase = progressed_phase_ == progress_.phase;
  if (same_phase && now - progressed_ns_ < kProgressIntervalNs) return;
  progressed_ns_ = now;
  progressed_phase_ = progress_.phase;
  if (keeper_) keeper_->progress(role, attempt, progress_);
  if (callbacks_.progress != nullptr) callbacks_.progress(user_, &progress_);
}

Status Instance::listener_arrived(const std::string& name, int fd) {
  if (callbacks_.listener == nullptr || callbacks_.listener(user_, name.c_str(), fd) == SEGUE_OK) {
    return Status::good();
  }
  return Status::bad(SEGUE_REFUSED, "this version refuses the listener " + name);
}

Status Instance::descriptor_arrived(const std::string& name, int fd) {
  if (callbacks_.descriptor == nullptr ||
      callbacks_.descriptor(user_, name.c_str(), fd) == SEGUE_OK) {
    return Status::good();
  }
  return Status::bad(SEGUE_REFUSED, "this version refuses the descriptor " + name);
}

bool Instance::freeze() {
  if (inventory_.traffic) inventory_.traffic->hand_on();
  const bool willing = callbacks_.freeze(user_) == SEGUE_OK;
  inventory_.let_heaps_be_written(false);
  return willing;
}

bool Instance::release() {
  return callbacks_.release(user_) == SEGUE_OK;
}

void Instance::resume(segue_resume_reason reason, bool released) {
  inventory_.let_heaps_be_written(true);
  if (reason == SEGUE_RESUME_RECLAIMED || reason == SEGUE_RESUME_REPLAYED ||
      reason == SEGUE_RESUME_FROM_ARENAS) {
    // Who sees the service go on may start the next version at once, and has to find the new nonce.
    serve_meeting_ = meeting_ && !meeting_->serve().ok();
  }
  callbacks_.resume(user_, reason, released ? 1 : 0);
  inventory_.loops.give_all_back();
}

bool Instance::check(std::string& why) {
  if (callbacks_.check == nullptr) return true;
  char text[kWhyBytes] = "";
  if (callbacks_.check(user_, text, sizeof text) == SEGUE_OK) return true;
  text[sizeof text - 1] = '\0';
  why = text;
  return false;
}

bool Instance::check_left_arenas(std::string& why) {
  if (const Status status = check_arenas(inventory_); !status.ok()) {
    why = status.text;
    return false;
  }
  if (callbacks_.check_arenas == nullptr) {
    why = "the service has no check_arenas";
    return false;
  }
  char text[kWhyBytes] = "";
  if (callbacks_.check_arenas(user_, text, sizeof text) == SEGUE_OK) return true;
  text[sizeof text - 1] = '\0';
  why = text;
  return false;
}

bool Instance::acquire() {
  return callbacks_.acquire == nullptr || callbacks_.acquire(user_) == SEGUE_OK;
}

void Instance::yield() {
  if (callbacks_.yield != nullptr) callbacks_.yield(user_);
}

void Instance::activate(bool first, uint32_t epoch, uint64_t blackout_ns) {
  const segue_activation activation{sizeof(segue_activation), first ? 1U : 0U, epoch, blackout_ns};
  inventory_.let_heaps_be_written(true);
  callbacks_.activate(user_, &activation);
  inventory_.loops.give_all_back();
}

void Instance::terminate(segue_end_reason reason) {
  if (std::exchange(ended_, true)) return;
  callbacks_.terminate(user_, reason);
  inventory_.loops.end_all();
}

int Instance::lock_fd() const {
  return meeting_ ? meeting_->lock_fd() : -1;
}

void Instance::take_lock(UniqueFd fd) {
  if (meeting_) meeting_->take_lock(std::move(fd));
}

uint64_t Instance::keeper_silent_ns(uint64_t now) const {
  return keeper_ ? now - keeper_->last_heard_ns() : kNever;
}

// ---- The keeper's orders -------------------------------------------------------------------

void Instance::start_first(OwnerName name, OwnerPage page, NamedFds stored) {
  if (me_ != kNobody || successor_) return;
  page_ = std::move(page);
  me_ = name;
  for (NamedFds::Entry& entry : stored.entries) {
    inventory_.listeners.put(entry.name, std::move(entry.fd), false);
  }
  if (const Status status = become_first(); !status.ok()) {
    report(AttemptRole::successor, 0, KeeperEvent::failed, 0, status.text);
    terminate(SEGUE_END_REFUSED);
  }
}

void Instance::begin_attempt(AttemptRole role, const Terms& terms, UniqueFd link, OwnerPage page,
                             UniqueFd peer_pidfd) {
  if (predecessor_ && predecessor_->over()) settle();
  if (role == AttemptRole::predecessor) {
    const char* why = nullptr;
    if (!serving()) why = "this instance does not serve";
    if (predecessor_) why = "another handoff of this service is under way";
    if (why != nullptr) return report(role, terms.attempt, KeeperEvent::failed, 0, why);
    return begin_predecessor(std::move(link), std::move(peer_pidfd), terms);
  }
  if (me_ != kNobody || successor_) {
    return report(role, terms.attempt, KeeperEvent::failed, 0, "this instance serves already");
  }
  page_ = std::move(page);
  begin_successor(std::move(link), std::move(peer_pidfd), terms);
}

void Instance::keeper_commits(uint64_t attempt) {
  if (successor_ && successor_->attempt() == attempt) successor_->keeper_commits();
}

void Instance::keeper_aborts(uint64_t attempt, const std::string& why) {
  if (predecessor_ && predecessor_->attempt() == attempt) return predecessor_->abort(why);
  if (successor_ && successor_->attempt() == attempt) successor_->abort(why);
}

void Instance::keeper_ends(segue_end_reason reason) {
  terminate(reason);
}

bool Instance::serving() const {
  if (!page_.valid() || me_ == kNobody) return false;
  const Ownership now = page_.look();
  return now.owner == me_ && now.state == OwnerState::serving &&
         !(predecessor_ && predecessor_->frozen());
}

void Instance::listener_added(const std::string& name) {
  (void)name;
  if (keeper_ && serving()) keeper_->store(inventory_.listeners);
}

void Instance::listener_removed(const std::string& name) {
  if (keeper_) keeper_->unstore(name);
}

void Instance::stop() {
  const InCallbacks inside(*this);
  if (predecessor_) predecessor_->abort("the predecessor is being stopped");
  if (successor_) successor_->abort("the successor is being stopped");
  inventory_.loops.end_all();
}

Status Instance::cast_vote(bool good, const std::string& why) {
  const InCallbacks inside(*this);
  return successor_ ? successor_->vote(good, why) : Status::good();
}

}  // namespace segue::handoff
