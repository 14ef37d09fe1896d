// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "base/error.h"
#include "os/epoll_loop.h"

namespace segue::os {

// How other threads reach the thread of an event loop. What is posted runs there, in its order;
// what was not run when the mailbox ends is dropped. Who posts has to bound how much.
class LoopMailbox {
 public:
  using Task = std::function<void()>;

  // A way to post that may outlive the mailbox, and then does nothing. Threads: any.
  class Poster {
   public:
    // False: the mailbox is gone, and `task` will not run.
    bool post(Task task) const;

   private:
    friend class LoopMailbox;
    struct State;
    explicit Poster(std::shared_ptr<State> state) : state_(std::move(state)) {}
    std::shared_ptr<State> state_;
  };

  // The loop outlives it; made and ended on the loop's thread.
  static base::Result<std::unique_ptr<LoopMailbox>> open(EpollLoop& loop);
  ~LoopMailbox();
  LoopMailbox(const LoopMailbox&) = delete;
  LoopMailbox& operator=(const LoopMailbox&) = delete;

  [[nodiscard]] Poster poster() const { return poster_; }

 private:
  LoopMailbox(EpollLoop& loop, Poster poster) : loop_(loop), poster_(std::move(poster)) {}
  static void run_tasks(const std::weak_ptr<Poster::State>& held);

  EpollLoop& loop_;
  Poster poster_;
};

}  // namespace segue::os
