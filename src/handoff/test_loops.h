// SPDX-License-Identifier: Apache-2.0
// For tests only: a service with several event loops, each on a thread of its own, that keeps
// changing what it owns without any lock where libsegue promises that none is needed.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "handoff/test_service.h"
#include "handoff/unique_fd.h"
#include "segue/segue.h"

namespace segue::handoff::test {

// An event loop that runs tasks, and `turn` whenever it has nothing else to do.
class LoopThread {
 public:
  LoopThread(segue_loop* loop, std::function<void()> turn);
  ~LoopThread();  // the loop must have ended
  LoopThread(const LoopThread&) = delete;
  LoopThread& operator=(const LoopThread&) = delete;

  void post(std::function<void()> task);
  // The number of turns so far.
  [[nodiscard]] uint64_t turns() const { return turns_; }
  [[nodiscard]] bool ended() const { return ended_; }

 private:
  void run();
  bool run_tasks();

  segue_loop* loop_;
  std::function<void()> turn_;
  UniqueFd wake_;
  std::mutex mutex_;
  std::deque<std::function<void()>> tasks_;
  std::atomic<uint64_t> turns_ = 0;
  std::atomic<bool> ended_ = false;
  std::thread thread_;
};

struct LoopedOptions {
  std::string directory;
  uint32_t loops = 0;  // beside that of the instance's thread
  uint32_t budget_us = 2'000'000;
  uint32_t answer_ms = 10'000;
  uint32_t slice_us = 0;
  uint32_t max_attempts = 0;
  bool bind = true;  // tables to loops; if not, nothing changes either
  bool fail_check = false;
  bool vote_required = false;
};

class LoopedService {
 public:
  static constexpr uint32_t kShards = 4;

  explicit LoopedService(const LoopedOptions& options);
  // Ends the loops, by segue_stop() if nothing else did.
  ~LoopedService();
  LoopedService(const LoopedService&) = delete;
  LoopedService& operator=(const LoopedService&) = delete;

  int start() { return segue_start(instance.get()); }
  void join();

  struct Client {
    segue_conn* conn = nullptr;
    std::string state;
  };
  // A table that is bound to a loop, and connections; no lock guards them.
  struct Shard {
    LoopedService* service = nullptr;
    segue_table* table = nullptr;
    segue_loop* loop = nullptr;
    std::map<std::string, std::string> records;
    std::map<uint64_t, Client> clients;
    uint64_t changes = 0;
  };
  // On the thread of the shard's loop.
  void change_something(Shard& shard);
  // Adds a connection to the shard, on its loop's thread; returns the client's end.
  UniqueFd connect(uint32_t shard, const std::string& state);
  // Runs the task on the thread of the shard's loop and waits for its end.
  void on_loop(uint32_t shard, const std::function<void(Shard&)>& task);

  [[nodiscard]] bool active() const { return segue_is_active(instance.get()) == 1; }
  [[nodiscard]] bool ended() const { return end_reason != 0; }
  [[nodiscard]] std::string error() const { return segue_error(instance.get()); }
  [[nodiscard]] segue_progress progress() const;
  // All shards' connections by id; while no loop runs.
  [[nodiscard]] std::map<uint64_t, std::string> client_states() const;

  struct Free {
    void operator()(segue_instance* s) const { segue_free(s); }
  };
  std::unique_ptr<segue_instance, Free> instance;
  std::vector<segue_loop*> loops;
  std::vector<Shard> shards{kShards};
  std::vector<std::unique_ptr<LoopThread>> threads;
  std::mutex shared_mutex;
  std::map<std::string, uint64_t> shared;  // a table that is bound to no loop
  segue_table* shared_table = nullptr;
  segue_class* clients = nullptr;
  std::atomic<bool> changing = true;
  int end_reason = 0;
  int freezes = 0;
  int resumes = 0;
  int activations = 0;

 private:
  static segue_callbacks callbacks();
  void declare_shard(uint32_t number);
  void declare_shared();
  void declare_clients();
  Shard& home_of(segue_conn* conn);

  LoopedOptions options_;
};

// Dispatches the services in turn until `done`; false after ten seconds.
bool run_looped(const std::vector<LoopedService*>& services, const std::function<bool()>& done);

}  // namespace segue::handoff::test
