// SPDX-License-Identifier: Apache-2.0
#include "os/loop_mailbox.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <mutex>
#include <vector>

#include "os/unique_fd.h"

namespace segue::os {

using base::Result;

struct LoopMailbox::Poster::State {
  std::mutex mutex;
  std::vector<Task> tasks;
  bool open = true;
  UniqueFd wake;
};

bool LoopMailbox::Poster::post(Task task) const {
  const std::lock_guard lock(state_->mutex);
  if (!state_->open) return false;
  state_->tasks.push_back(std::move(task));
  const std::uint64_t one = 1;
  // It cannot fail but for a full counter, and then the loop is awake.
  (void)!::write(state_->wake.get(), &one, sizeof(one));
  return true;
}

Result<std::unique_ptr<LoopMailbox>> LoopMailbox::open(EpollLoop& loop) {
  UniqueFd wake(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake) return base::fail(base::errno_error("eventfd", errno));
  auto state = std::make_shared<Poster::State>();
  state->wake = std::move(wake);
  const std::weak_ptr<Poster::State> held = state;
  SEGUE_TRY(loop.watch(state->wake.get(), EPOLLIN, [held](std::uint32_t) { run_tasks(held); }));
  return std::unique_ptr<LoopMailbox>(new LoopMailbox(loop, Poster(std::move(state))));
}

LoopMailbox::~LoopMailbox() {
  loop_.unwatch(poster_.state_->wake.get());
  std::vector<Task> dropped;
  const std::lock_guard lock(poster_.state_->mutex);
  poster_.state_->open = false;
  dropped.swap(poster_.state_->tasks);
}

void LoopMailbox::run_tasks(const std::weak_ptr<Poster::State>& held) {
  const auto state = held.lock();
  if (!state) return;
  std::uint64_t count = 0;
  (void)!::read(state->wake.get(), &count, sizeof(count));
  std::vector<Task> tasks;
  {
    const std::lock_guard lock(state->mutex);
    tasks.swap(state->tasks);
  }
  for (auto& task : tasks) {
    {
      const std::lock_guard lock(state->mutex);
      if (!state->open) return;  // a task has ended the mailbox
    }
    task();
  }
}

}  // namespace segue::os
