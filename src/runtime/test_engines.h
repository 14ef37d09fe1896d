// SPDX-License-Identifier: Apache-2.0
// A real container engine of a test's own: its socket, storage and processes lie in a directory
// that is removed with it; and an image that holds one program.
#pragma once

#include <optional>
#include <string>

#include "os/clock.h"
#include "os/epoll_loop.h"
#include "os/process.h"
#include "os/temp_directory.h"
#include "runtime/docker_engine.h"

namespace segue::runtime {

class TestEngine {
 public:
  explicit TestEngine(EngineKind kind);
  ~TestEngine();
  TestEngine(const TestEngine&) = delete;
  TestEngine& operator=(const TestEngine&) = delete;

  // Why a test cannot have one here; empty: it can.
  static std::string why_not(EngineKind kind);

  // And waits until it answers. False: it ends by itself, as this host does not let it be.
  bool start();
  [[nodiscard]] bool is_up() const { return static_cast<bool>(process_.pidfd); }
  void kill();  // with SIGKILL, alone: not its containers
  [[nodiscard]] std::string socket_path() const { return directory_.path("s"); }
  [[nodiscard]] std::string path(const std::string& name) const { return directory_.path(name); }
  [[nodiscard]] os::EpollLoop& loop() { return loop_; }
  [[nodiscard]] const os::Clock& clock() const { return clock_; }
  [[nodiscard]] ContainerEngine& api() { return *api_; }

  // Runs the loop until `done` says so; false after a minute.
  bool run_until(const std::function<bool()>& done);
  // The answer of a call: await<int>([&](auto on_answer) { return api().wait_container(…); })
  template <class T, class Begin>
  base::Result<T> await(Begin begin) {
    std::optional<base::Result<T>> answer;
    const CallHandle call =
        begin(OnAnswer<T>([&](base::Result<T> given) { answer.emplace(std::move(given)); }));
    if (!run_until([&] { return answer.has_value(); })) {
      return base::fail(base::ErrorCode::deadline_exceeded, "nothing came in a minute");
    }
    return *std::move(answer);
  }

  // Asks the engine for something that Segue never asks for.
  bool post(const std::string& path, const std::string& body);
  // Loads the test's image, and says its id.
  std::string load_image();
  // A file with the image (docker-archive).
  std::string image_archive();

 private:
  bool start_containerd();
  void stop();

  EngineKind kind_;
  os::SystemClock clock_;
  os::EpollLoop loop_;
  os::TempDirectory directory_;
  os::Child containerd_;  // of Docker
  os::Child process_;
  bool was_up_ = false;  // and was killed
  std::unique_ptr<DockerEngine> api_;
};

}  // namespace segue::runtime
