// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <segue/segue.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "connection.h"
#include "engine.h"
#include "event_loop.h"

namespace respkv {

// The engine and the event loops that share it: the first on the instance's thread, the others on
// threads of their own. Handoff tells it when to serve.
class Server final : public Host {
 public:
  // 1 to kMaxThreads.
  explicit Server(unsigned threads);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // What libsegue is told about; set before the first change.
  struct Tables {
    segue_instance* handle = nullptr;
    segue_class* clients = nullptr;
    segue_table* keyspace = nullptr;
    segue_table* service = nullptr;
  };
  void set_tables(const Tables& tables) { tables_ = tables; }
  [[nodiscard]] const Tables& tables() const { return tables_; }
  // Declares the event loops beside the first. The reason why that failed, or "".
  std::string open_loops(segue_instance* handle);

  // Runs until stop(), on the instance's thread; the other threads begin and end inside.
  void run();
  void stop() { stopped_ = true; }

  // Registered at once, polled only while serving. -1: it is gone.
  bool set_listener(std::string_view name, int fd);
  // Of the listener with this number.
  [[nodiscard]] int listener(std::size_t number) const { return listeners_[number].fd; }

  void start_serving();
  void freeze() {
    serving_ = false;
    frozen_ = true;
  }
  // The successor was active and is dead: closes the connections that it used, or may have used.
  void close_used_by_successor();

  // What the dead successor did, done again, on this thread while no loop runs: see segue/replay.h.
  bool welcome(segue_conn* handle, int fd);
  void replay_note(std::uint32_t tag, const void* data, std::size_t size);
  void end_replay(std::uint64_t closed);
  // Tells the keyspace the time, as the successor saw it where its doings are done again.
  void look_at_clock(Note what);
  // On any loop's thread; returns the time, which stays for all that happens in the turn.
  std::uint64_t begin_turn();

  // A connection that came from the predecessor; its session is complete. Takes ownership.
  bool attach(std::unique_ptr<Connection> connection);
  // Its session was replaced by a newer record: epoll and indices follow.
  bool follow(Connection& connection);
  // Forgets it; libsegue closes the descriptor.
  void detach(Connection& connection);

  std::string check();
  std::size_t client_count();

  // Calls `action` once, after so many milliseconds of serving; the newest one only.
  void after(std::uint64_t delay_ms, std::function<void()> action);
  [[nodiscard]] std::uint64_t action_at_ms() const { return action_ ? action_at_ms_ : 0; }
  void act_if_due();

  // Guards engine, sessions and inboxes; free of charge with one thread. Taken last: whoever holds
  // it waits for nothing else.
  class Exclusive {
   public:
    explicit Exclusive(Server& server) : mutex_(server.several() ? &server.mutex_ : nullptr) {
      if (mutex_ != nullptr) mutex_->lock();
    }
    ~Exclusive() {
      if (mutex_ != nullptr) mutex_->unlock();
    }
    Exclusive(const Exclusive&) = delete;
    Exclusive& operator=(const Exclusive&) = delete;

   private:
    std::mutex* mutex_;
  };

  // What one event loop does with the engine in one go: what follows from it reaches the others
  // when it ends.
  class Batch {
   public:
    Batch(Server& server, EventLoop& loop) : server_(&server), loop_(&loop) {
      if (server.several()) server.begin_batch();
    }
    ~Batch() { server_->several() ? server_->end_batch(*loop_) : server_->route_attention(*loop_); }
    Batch(const Batch&) = delete;
    Batch& operator=(const Batch&) = delete;

   private:
    Server* server_;
    EventLoop* loop_;
  };

  [[nodiscard]] bool several() const { return loops_.size() > 1; }
  // Sessions that drew attention go on where they can, whichever loop's they are, so that what
  // comes of a request does not depend on when a loop has its turn. Then their loops attend to
  // them, and libsegue is told of their change.
  void route_attention(EventLoop& from);
  void tell_of_service_change();

  Engine engine;
  std::uint64_t epoch = 0;
  std::uint64_t last_blackout_ns = 0;
  std::uint64_t activated_at_ms = 0;  // time of day
  bool service_changed = false;
  static std::uint64_t now_ms();

 private:
  std::string address_of(const Session& session) override;
  std::string information() override;
  void sleep(double seconds) override;
  void note(Note what, std::string& text) override;
  void key_changed(const std::string& key) override;
  void key_erased(const std::string& key) override;
  void all_keys_erased() override;

  void pass_on(Connection& connection, const EventLoop& from);
  void wake_others(std::uint64_t loops);
  void begin_batch();
  void end_batch(EventLoop& loop);

  Tables tables_;
  int signals_ = -1;
  bool serving_ = false;
  bool frozen_ = false;  // has served, and may serve again
  bool stopped_ = false;
  std::function<void()> action_;  // due at action_at_ms_
  std::uint64_t action_at_ms_ = 0;
  struct Listener {
    std::string name;
    int fd;
  };
  std::vector<Listener> listeners_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<EventLoop>> loops_;
  std::size_t next_home_ = 0;
  std::vector<char> note_buffer_;
  std::vector<Session*> attention_;
  std::uint64_t to_be_woken_ = 0;               // loops, a bit each
  std::vector<std::uint64_t> came_with_input_;  // connections handed over that may have to go on
};

}  // namespace respkv
