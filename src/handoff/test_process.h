// SPDX-License-Identifier: Apache-2.0
// For tests only: code, and services, that run in processes of their own.
#pragma once

#include <sys/types.h>

#include <csignal>
#include <functional>
#include <string>
#include <vector>

#include "handoff/test_service.h"
#include "handoff/unique_fd.h"

namespace segue::handoff::test {

// Runs `body` in a forked child. True if it returned without a test failure; the child's messages
// go to stderr.
bool holds_in_child(const std::function<void()>& body);

// A forked child that holds no descriptor of this process but its end of a channel
// (SOCK_SEQPACKET).
class Child {
 public:
  // The child exits with 0 when `body` returns, with 1 if it failed a test.
  explicit Child(const std::function<void(int channel)>& body);
  // Ends it with SIGKILL.
  ~Child();
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int channel() const { return channel_.get(); }
  void hang_up() { channel_.reset(); }

  // Before its end was awaited.
  void signal(int number) const { ::kill(pid_, number); }
  // SIGKILL, and waits for its end.
  void kill();
  // Waits until it has ended. True if it exited with 0.
  bool ends();

 private:
  pid_t pid_ = -1;
  UniqueFd channel_;
  bool reaped_ = false;
  bool ended_well_ = false;
};

// A Service in a child, started; it ends when the library tells it to.
class ServiceProcess : public Child {
 public:
  struct Behaviour {
    ServiceOptions options;
    // In the child, between construction and start; and after start.
    std::function<void(Service&)> declare;
    std::function<void(Service&)> fill;
    // Answers what ask() does not know itself.
    std::function<std::string(Service&, const std::string& question)> answer;
    bool linger = false;  // after its end was told, until the test hangs up
  };
  explicit ServiceProcess(const Behaviour& behaviour);

  // Waits until it has reported such an event (see Service::events), or "failed ..." at start.
  // False after ten seconds, or when it has ended without.
  bool wait_for(const std::string& prefix);
  // What it has reported so far, without waiting.
  [[nodiscard]] bool has(const std::string& prefix);
  // "get KEY", "put KEY VALUE", "size" (of the table), "connections", "error", "active", "vote",
  // "bad vote", "port", "fds", or what `answer` knows. Empty if it does not answer in ten seconds.
  std::string ask(const std::string& question);

 private:
  static void serve(const Behaviour& behaviour, int channel);
  // Reads one report; false when none came within the time.
  bool listen(int timeout_ms);

  std::vector<std::string> events_;
  std::string answer_;
  bool closed_ = false;  // by the child
};

}  // namespace segue::handoff::test
