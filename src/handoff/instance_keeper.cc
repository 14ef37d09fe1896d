// SPDX-License-Identifier: Apache-2.0
// The instance after its keeper: finding the next one, or going on alone.
#include <sys/epoll.h>

#include <cstdlib>

#include "handoff/clock.h"
#include "handoff/instance.h"

namespace segue::handoff {

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
