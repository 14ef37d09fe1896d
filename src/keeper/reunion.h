// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "handoff/link.h"
#include "handoff/owner_page.h"
#include "keeper/adoption.h"
#include "keeper/instance_channel.h"
#include "keeper/saved_state.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"

namespace segue::keeper {

// Waits for the instances of a dead keeper at the socket that it had named, until the one that owns
// is there. Sees the deaths of all of them by their pidfds.
class Reunion {
 public:
  static constexpr base::Duration kLimit = std::chrono::seconds(10);  // outside a handoff
  static constexpr std::size_t kMaxVisitors = 64;                     // connections at once

  struct Member {
    FoundInstance found;
    os::UniqueFd pidfd;
    std::unique_ptr<handoff::Link> channel;  // where it has rejoined
    handoff::OwnerName owner_name = handoff::kNobody;
    std::uint64_t start_ticks = 0;
  };
  struct Result {
    std::map<Generation, Member> members;
    Generation owner = 0;
    handoff::OwnerPage page;
    os::UniqueFd lock;
    std::vector<Stored> listeners;
  };

  // All outlive it.
  Reunion(os::EpollLoop& loop, const os::Clock& clock, const SavedState& saved);
  ~Reunion();
  Reunion(const Reunion&) = delete;
  Reunion& operator=(const Reunion&) = delete;

  // Blocks. not_found: all have ended meanwhile. failed_precondition: somebody serves and cannot,
  // or does not, rejoin. `on_wait` is called about once a second with what is waited for.
  base::Result<Result> wait(const std::string& socket_path,
                            const std::function<void(const std::string&)>& on_wait);

 private:
  struct Visitor {
    std::unique_ptr<handoff::Link> link;
    os::UniqueFd pidfd;
    pid_t pid = -1;
  };

  void find_living();
  void on_connection();
  void on_visitor(int fd);
  // False: it is sent away.
  bool rejoin(Visitor& visitor, handoff::Message& message);
  // A member that waits, frozen, for the end of the other side of its handoff.
  void fence_beside(Generation generation);
  void on_death(Generation generation);
  void drop(int fd);
  [[nodiscard]] std::string who_is_missing() const;
  [[nodiscard]] base::Duration limit() const;
  void collect_listeners(Member& member);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const SavedState& saved_;
  os::UniqueFd listener_;
  std::map<int, Visitor> visitors_;
  Result result_;
};

}  // namespace segue::keeper
