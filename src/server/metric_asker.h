// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/time.h"
#include "os/epoll_loop.h"
#include "server/gate_watch.h"

namespace segue::server {

// Asks Prometheus servers on threads of its own, so that one that is slow holds nobody up.
class MetricAsker {
 public:
  static constexpr std::size_t kThreads = 2;
  static constexpr std::size_t kMaxWaiting = 100;
  static constexpr base::Duration kLimit = std::chrono::seconds(5);  // of one query

  struct Question {
    std::string url;
    std::vector<std::string> queries;
  };
  using Take = std::function<void(const MetricAnswers& answers)>;

  // The loop outlives it. Its end waits for what is being asked, for kLimit at most.
  static base::Result<std::unique_ptr<MetricAsker>> open(os::EpollLoop& loop);
  ~MetricAsker();
  MetricAsker(const MetricAsker&) = delete;
  MetricAsker& operator=(const MetricAsker&) = delete;

  // `take` is called once, from the loop: with an answer to each query, those after one without an
  // answer have the same error. False: kMaxWaiting wait already, and it is never called.
  bool ask(Question question, Take take);

 private:
  struct Shared;
  explicit MetricAsker(os::EpollLoop& loop);
  void deliver();

  os::EpollLoop& loop_;
  std::unique_ptr<Shared> shared_;
};

}  // namespace segue::server
