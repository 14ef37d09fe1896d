// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "agent/proxy_share.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/loop_mailbox.h"

namespace segue::agent {

// Sees to it that a component's proxy does what is wanted of it: looks again and again, puts back
// what a reload has lost, and counts what moves. A proxy that hangs keeps nobody else waiting: each
// look is a thread's, one at a time.
class ProxyDriver {
 public:
  static constexpr base::Duration kLookEvery = std::chrono::seconds(1);
  static constexpr base::Duration kTellEvery = std::chrono::seconds(5);  // what only counts

  using Tell = std::function<void(const fleet::SeenShare& seen)>;
  // Loop, clock and log outlive it. `tell` is never called from within a call.
  static base::Result<std::unique_ptr<ProxyDriver>> open(os::EpollLoop& loop,
                                                         const os::Clock& clock,
                                                         const base::Log& log,
                                                         std::string component, Tell tell);
  // Waits for a look that is under way: at most a few times ProxySocket::kAnswerLimit.
  ~ProxyDriver();
  ProxyDriver(const ProxyDriver&) = delete;
  ProxyDriver& operator=(const ProxyDriver&) = delete;

  // From now on.
  void keep(const fleet::ProxyShare& share);

 private:
  ProxyDriver(os::EpollLoop& loop, const os::Clock& clock, const base::Log& log,
              std::string component, Tell tell, std::unique_ptr<os::LoopMailbox> mailbox);

  void look();
  void looked(const fleet::ProxyShare& share, const base::Result<ProxyLook>& look);
  void count(const traffic::ProxyWanted& wanted, const ProxyLook& look);
  void tell(const fleet::SeenShare& seen);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  const base::Log& log_;
  const std::string component_;
  Tell tell_;
  fleet::ProxyShare share_;
  bool is_new_ = false;  // it was not set so far
  traffic::ProxyMeter meter_;
  std::optional<traffic::ProxyWanted> measured_;  // what the meter counts for
  std::optional<fleet::SeenShare> told_;
  base::MonotonicTime told_at_{};
  std::optional<os::EpollLoop::TimerId> timer_;
  std::thread thread_;  // of the look that is under way
  bool looks_ = false;
  std::unique_ptr<os::LoopMailbox> mailbox_;
};

}  // namespace segue::agent
