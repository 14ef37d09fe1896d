// SPDX-License-Identifier: Apache-2.0
// The instance after its keeper: finding the next one, or going on alone.
#include <sys/epoll.h>

#include <algorithm>
#include <cstdlib>
#include <map>

#include "handoff/clock.h"
#include "handoff/fields.h"
#include "handoff/instance.h"
#include "handoff/peer.h"

namespace segue::handoff {
namespace {

// Of the records in K_PONG (protocol/handoff.md).
enum class Registered : uint64_t {
  connections = 1,
  listener = 2,
  descriptor = 3,
  arena = 4,
  table = 5,
  own = 6,
};
constexpr uint64_t kAskAgainNs = 1'000 * kMillisecond;
constexpr size_t kMaxRanges = 8'192;  // of descriptors of one kind; what is beyond is only counted

// Pairs of first and count.
std::string ranges_of(std::vector<int> fds) {
  std::sort(fds.begin(), fds.end());
  std::string ranges;
  size_t written = 0;
  for (size_t i = 0; i < fds.size() && written < kMaxRanges; ++written) {
    size_t end = i + 1;
    while (end < fds.size() && fds[end] == fds[end - 1] + 1) ++end;
    append_varint(ranges, static_cast<uint64_t>(fds[i]));
    append_varint(ranges, end - i);
    i = end;
  }
  return ranges;
}

void put_registered(segue_writer& out, Registered kind, const std::string& name, uint64_t number,
                    std::vector<int> fds) {
  std::erase_if(fds, [](int fd) { return fd < 0; });
  segue_writer record;
  put_number(record, 1, static_cast<uint64_t>(kind));
  put_field(record, 2, name);
  put_number(record, 3, number);
  if (!fds.empty()) put_field(record, 4, ranges_of(std::move(fds)));
  put_field(out, 4, record.fields);
}

}  // namespace

void Instance::describe(segue_writer& out) const {
  std::map<const segue_class*, std::vector<int>> by_class;
  inventory_.connections.each(
      [&by_class](const segue_class& cls, int fd) { by_class[&cls].push_back(fd); });
  for (const auto& cls : inventory_.classes) {
    std::vector<int> fds = std::move(by_class[cls.get()]);
    const size_t count = fds.size();
    put_registered(out, Registered::connections, cls->name, count, std::move(fds));
  }
  for (const auto& entry : inventory_.listeners.entries) {
    put_registered(out, Registered::listener, entry.name, 1, {entry.fd.get()});
  }
  for (const auto& entry : inventory_.descriptors.entries) {
    put_registered(out, Registered::descriptor, entry.name, 1, {entry.fd.get()});
  }
  for (const auto& arena : inventory_.arenas) {
    put_registered(out, Registered::arena, arena->name, arena->used, {arena->fd.get()});
  }
  for (const auto& table : inventory_.tables) {
    put_registered(out, Registered::table, table->name, 0, {});
  }
  std::vector<int> own = poller_.own_fds();
  own.push_back(page_.fd());
  if (keeper_) own.push_back(keeper_->fd());
  if (rejoin_) own.push_back(rejoin_->rendezvous().lock.get());
  put_registered(out, Registered::own, "", own.size(), std::move(own));
}

// Only who serves is found again, and only outside a handoff: the others end, or are about to
// serve.
bool Instance::seeks_keeper() const {
  return rejoin_ && !keeper_ && !predecessor_ && !successor_ && !ended_ && serving();
}

void Instance::rejoin_keeper(uint64_t now) {
  UniqueFd fd = rejoin_->try_connect(now);
  if (!fd.valid()) return;
  const int raw = fd.get();
  keeper_ = std::make_unique<KeeperChannel>(*this, std::move(fd));
  poller_.watch(raw, EPOLLIN, [this] { keeper_->on_ready(); });
  keeper_->rejoin(service_, version_, rejoin_->rendezvous(), me_, page_);
  keeper_->store(inventory_.listeners);
}

// Where this process cannot end the other one, as their PID namespaces do not see each other, an
// ancestor of both can.
Status Instance::end_peer(const Terms& terms, int pidfd, OwnerName other) {
  const Status killed = kill_peer(pidfd);
  if (killed.ok() || !terms.keeper_fences || other == kNobody) return killed;
  const uint64_t now = monotonic_ns();
  if (fence_ && fence_->other == other && now - fence_->asked_ns < kAskAgainNs) {
    return Status::good();
  }
  fence_ = Fence{terms.attempt, other, now};
  if (keeper_) keeper_->fence(terms.attempt, other);
  return Status::good();
}

// The keeper has died: the next one can do it before anything else.
void Instance::ask_next_keeper(uint64_t now) {
  UniqueFd fd = rejoin_->try_connect(now);
  if (!fd.valid()) return;
  KeeperChannel asking(*this, std::move(fd));
  asking.rejoin(service_, version_, rejoin_->rendezvous(), me_, page_, fence_->other);
}

std::string Instance::items() const {
  return describe_items(inventory_);
}

void Instance::keeper_surveys(uint64_t number, std::string_view items) {
  // Where it cannot be said now, nothing is said: the keeper does not wait for ever.
  if (!serving() || predecessor_) return;
  survey_ = std::make_unique<LossSurvey>(inventory_, number, items);
  survey_waits_ = false;
}

void Instance::work_on_survey() {
  Loops& loops = inventory_.loops;
  const LoopNumber wanted = survey_->wanted_loop();
  survey_waits_ = wanted != kInstanceThread && !loops.borrow(wanted);
  if (survey_waits_) return;  // its offer comes
  survey_->work(monotonic_ns() + terms_.slice_ns);
  loops.give_back(wanted);
  if (!survey_->over()) return;
  if (keeper_) keeper_->losses(survey_->result());
  survey_.reset();
}

void Instance::find_directory() {
  if (!directory_.empty()) return;
  const char* variable = getenv("SEGUE_DIRECTORY");
  if (variable != nullptr) directory_ = variable;
}

// From now on it is as if it had been started alone: where it has a directory, successors find it.
void Instance::leave_keeper() {
  if (keeper_) {
    poller_.forget(keeper_->fd());
    keeper_.reset();
  }
  rejoin_.reset();
  if (directory_.empty()) return;
  meeting_ = std::make_unique<LoneMeeting>(
      LoneMeeting::Options{directory_, flag_, successor_listens_, poll_ns_},
      [this](UniqueFd link, UniqueFd pidfd, const std::string& nonce) {
        met(std::move(link), std::move(pidfd), nonce);
      });
  bool first = false;
  const Status status = meeting_->open(first);
  if (status.ok() && first) {
    serve_meeting_ = true;
    return;
  }
  note(status.ok() ? "another instance serves in " + directory_ : status.text);
  meeting_.reset();
}

void Instance::keeper_can_be_found(Rendezvous rendezvous) {
  rejoin_ = std::make_unique<KeeperRejoin>(std::move(rendezvous));
}

void Instance::keeper_releases() {
  if (!serving() || predecessor_ || successor_) return;  // the keeper asks at rest only
  find_directory();
  report(AttemptRole::successor, 0, KeeperEvent::released, directory_.empty() ? 0 : 1, directory_);
  released_ = true;
}

}  // namespace segue::handoff
