// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <string>

#include "base/error.h"
#include "os/clock.h"
#include "os/epoll_loop.h"

namespace segue::builder {

// Posts to where people look for a commit's status, in the background of an event loop. Each post
// is tried kMaxTries times, waiting longer each time; whatever it comes to is told once.
class StatusSender {
 public:
  static constexpr std::size_t kMaxPosts = 256;  // that are under way or wait
  static constexpr std::uint32_t kMaxTries = 6;
  static constexpr base::Duration kFirstWait = std::chrono::seconds(1);  // then twice as long …
  static constexpr base::Duration kTryLimit = std::chrono::seconds(15);

  struct Post {
    std::string url;  // http or https
    std::string body;
    std::string header;  // one more line, "Name: value"; empty: none
    std::string secret;  // X-Segue-Signature-256: sha256=HMAC of the body; empty: none
  };
  // Any 2xx is good; of everything else the last reason.
  using OnEnd = std::function<void(base::Result<void>)>;

  // `loop` and `clock` outlive it. `first_wait` is for tests.
  StatusSender(os::EpollLoop& loop, const os::Clock& clock, base::Duration first_wait = kFirstWait);
  ~StatusSender();
  StatusSender(const StatusSender&) = delete;
  StatusSender& operator=(const StatusSender&) = delete;

  // resource_exhausted: too many; on_end is not called.
  base::Result<void> send(Post post, OnEnd on_end);
  [[nodiscard]] std::size_t pending() const;

 private:
  struct Transfer;
  struct State;
  friend struct State;

  void begin(Transfer& transfer);
  void end_try(Transfer& transfer, base::Result<void> result);
  void collect();
  void forget(Transfer& transfer);

  os::EpollLoop& loop_;
  const os::Clock& clock_;
  base::Duration first_wait_;
  std::unique_ptr<State> state_;
};

}  // namespace segue::builder
