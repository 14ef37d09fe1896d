// SPDX-License-Identifier: Apache-2.0
// An engine for a program that has nothing else to do than to wait for it.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "os/clock.h"
#include "os/epoll_loop.h"
#include "runtime/engine.h"

namespace segue::runtime {

// The path of unix:///PATH; of an empty `engine` the first of the usual sockets that is there.
// unavailable: none of them is; invalid_argument: it is not such a URL.
base::Result<std::string> engine_socket(const std::string& engine);

class EngineConnection {
 public:
  // As engine_socket(). It need not run: every call says whether it does.
  static base::Result<std::unique_ptr<EngineConnection>> open(const std::string& engine);

  [[nodiscard]] const std::string& url() const { return url_; }  // unix:///PATH
  [[nodiscard]] os::EpollLoop& loop() { return loop_; }
  [[nodiscard]] const os::Clock& clock() const { return clock_; }
  [[nodiscard]] ContainerEngine& engine() { return *engine_; }

  // Blocks until the answer of what `begin` has begun, which is bounded by the engine's own limits.
  template <class T>
  base::Result<T> ask(const std::function<CallHandle(OnAnswer<T> on_answer)>& begin) {
    std::optional<base::Result<T>> answer;
    const CallHandle call = begin([&](base::Result<T> got) { answer = std::move(got); });
    while (!answer) {
      if (auto turned = loop_.run_once(std::chrono::seconds(1)); !turned) {
        return tl::unexpected(std::move(turned).error());
      }
    }
    return *std::move(answer);
  }

 private:
  EngineConnection(std::string url, std::unique_ptr<os::SystemClock> clock, os::EpollLoop loop);

  std::string url_;
  std::unique_ptr<os::SystemClock> own_clock_;  // the loop holds on to it
  const os::Clock& clock_;
  os::EpollLoop loop_;
  std::unique_ptr<ContainerEngine> engine_;
};

}  // namespace segue::runtime
